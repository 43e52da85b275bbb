"""Other ways to be reached: https with a certificate that signed itself, and one address only.

In both the site has a proxy at which nobody listens, so whatever reached the hub by it would not reach it.
"""

from __future__ import annotations

import socket
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.installation import MLABHUB, Installation, free_port
from tests.site.mirrors import make_certificates

pytestmark = pytest.mark.timeout(300)


def _certificate(folder: Path, *, name: str = "hub.test", days: int = 2) -> tuple[str, str]:
    """Write a certificate that signed itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    now = datetime.now(timezone.utc)
    builder = x509.CertificateBuilder().subject_name(who).issuer_name(who).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=9)).not_valid_after(now + timedelta(days=days))
    if name:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    (folder / "cert.pem").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key.pem").write_bytes(plain)
    return str(folder / "cert.pem"), str(folder / "key.pem")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a site.conf with a company's CA and a dead proxy, for the `mlabhub up` that the test starts."""
    make_certificates(tmp_path)
    file = tmp_path / "site.conf"
    lines = ("HTTP_PROXY=http://127.0.0.1:9", "HTTPS_PROXY=http://127.0.0.1:9", f"CA_FILE={tmp_path}/company.pem")
    file.write_text("\n".join((*lines, "PIP_INDEX_URL=https://pypi.test/simple")))
    monkeypatch.setenv("MLABHUB_SITE", str(file))
    return file


SEEN = """
import os
print(os.environ["https_proxy"], os.environ["no_proxy"].split(",")[:3], os.environ["SSL_CERT_FILE"])
print(open("/etc/xdg/pip/pip.conf").read().split()[-4])
"""


def _starts_a_server(installation: Installation, code: str = "") -> None:
    installation.add_user("alice", "vision")
    assert installation.launch("alice", profile="cpu").status_code == 201
    installation.wait_ready("alice")
    with installation.api("alice") as client:
        assert client.get("user/alice/api/status").status_code == 200
    if code:
        said = installation.run_code("alice", code).split()
        assert said[0] == "http://127.0.0.1:9"
        assert said[-2:] == ["/var/lib/mlabhub/ca.pem", "https://pypi.test/simple"]
    installation.stop_server("alice")


def test_https(tmp_path: Path, site: Path) -> None:
    (tmp_path / "hub").mkdir()
    certificate, key = _certificate(tmp_path / "hub")
    installation = Installation(
        tmp_path / "state", free_port(), ("--tls-cert", certificate, "--tls-key", key), tls=True
    )
    try:
        installation.start()
        bundle = (tmp_path / "state" / "run" / "ca.pem").read_text()
        assert site.with_name("company.pem").read_text().strip() in bundle
        assert Path(certificate).read_text().strip() in bundle
        assert installation.settings["public_url"] == f"https://hub.test:{installation.port}/"
        _starts_a_server(installation)
    finally:
        installation.close()


def test_one_address_only(tmp_path: Path, site: Path) -> None:
    """Loopback answers, the machine's other addresses do not, and people's servers reach the hub all the same."""
    installation = Installation(tmp_path / "state", free_port(), ("--host", "127.0.0.1"))
    try:
        installation.start()
        _starts_a_server(installation, SEEN)
        with pytest.raises(httpx.ConnectTimeout):
            httpx.get(f"http://127.0.0.2:{installation.port}/hub/login", timeout=1)
        with socket.socket(socket.AF_INET6) as other:
            other.settimeout(1)
            assert other.connect_ex(("::1", installation.port)) != 0
    finally:
        installation.close()


@pytest.mark.parametrize(
    ("name", "days", "words"),
    [("", 2, "names no host"), ("hub.test", -1, "ended on"), ("other-key", 2, "cannot be used for https")],
)
def test_a_certificate_that_cannot_work(tmp_path: Path, name: str, days: int, words: str) -> None:
    certificate, key = _certificate(tmp_path, name=name, days=days)
    if name == "other-key":
        (tmp_path / "other").mkdir()
        key = _certificate(tmp_path / "other")[1]
    argv = [MLABHUB, "up", "--state", str(tmp_path / "state"), "--port", str(free_port())]
    done = subprocess.run(
        [*argv, "--tls-cert", certificate, "--tls-key", key], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
