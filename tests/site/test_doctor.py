"""What doctor says of a site whose parts work, and of each that does not: in words, in seconds, without passwords."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from mlabhub.cli import doctor_site
from mlabhub.cli.doctor_site import assess_docker_mirrors, check_ca, check_file, check_language, check_site
from mlabhub.cli.findings import Check, in_background
from mlabhub.site import Site as Settings
from mlabhub.site import SiteFile, read_site_file
from tests.installation import free_port
from tests.site.mirrors import Site, make_certificates

MLABHUB = str(Path(sys.executable).parent / "mlabhub")
NOW = datetime.now(timezone.utc)


def look(folder: Path, text: str, mode: int = 0o600) -> dict[str, Check]:
    """Write site.conf and return what is said of it, by name."""
    file = folder / "site.conf"
    file.write_text(text)
    file.chmod(mode)
    return {check.name: check for check in check_site(read_site_file(file), NOW)}


@pytest.fixture
def closed() -> int:
    """A port that nobody listens on."""
    return free_port()


def test_nothing_set_is_fine():
    [check] = check_site(SiteFile(), NOW)
    assert check.status == "info"


def test_everything_works(lab: Site, tmp_path: Path):
    more = {"CONDA_CHANNELS": "conda-forge defaults", "PIP_EXTRA_INDEX_URL": "https://pypi.test/other"}
    checks = look(tmp_path, lab.text(**more))
    assert {name: check.status for name, check in checks.items()} == {
        "site settings": "ok",
        "company CA": "ok",
        "apt mirror (bookworm)": "ok",
        "apt mirror (bookworm-security)": "ok",
        "pip index": "ok",
        "npm registry": "ok",
        "conda channel": "ok",
        "registry mirror": "ok",
        "git server": "ok",
        "HTTP_PROXY": "better",
    }
    assert "whose ports are closed to people's servers" in checks["HTTP_PROXY"].found
    assert "sesame" not in str(checks)


@pytest.mark.parametrize(
    ("change", "name", "said", "fix"),
    [
        ({"CA_FILE": ""}, "pip index", "certificate is not trusted", "CA_FILE="),
        ({"PIP_INDEX_URL": "https://pypi.test/gone"}, "pip index", "answers 404", "PIP_INDEX_URL"),
        ({"DEBIAN_MIRROR": "http://deb.test/wrong"}, "apt mirror (bookworm)", "answers 404", "DEBIAN_MIRROR"),
        (
            {"PIP_INDEX_URL": "http://127.0.0.1:{closed}/x"},
            "pip index",
            "nothing listens there",
            "this machine reaches",
        ),
        ({"NPM_REGISTRY": "http://u:sesame@127.0.0.1:{closed}/"}, "npm registry", "http://***@127", "NPM_REGISTRY"),
        ({"HTTPS_PROXY": "http://127.0.0.1:{port}"}, "pip index", "the proxy refuses (407)", "NAME:PASSWORD"),
        ({"HTTP_PROXY": "http://x:sesame@127.0.0.1:{closed}"}, "HTTP_PROXY", "nothing listens", "Check HTTP_PROXY"),
        ({"NPM_REGISTRY": "https://unknown.test/"}, "npm registry", "the proxy refuses (502)", "NO_PROXY"),
    ],
)
def test_what_does_not_work_is_said(
    lab: Site, tmp_path: Path, closed: int, change: dict[str, str], name: str, said: str, fix: str
):
    values = {key: value.format(closed=closed, port=lab.proxy_port) for key, value in change.items()}
    check = look(tmp_path, lab.text(**values))[name]
    assert check.status == "missing"
    assert said in check.found
    assert fix in check.fix
    assert "sesame" not in str(check)


def test_silence_costs_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor_site, "CONNECT_SECONDS", 0.5)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        started = time.monotonic()
        checks = look(tmp_path, f"PIP_INDEX_URL=http://127.0.0.1:{silent.getsockname()[1]}/\n")
    assert time.monotonic() - started < 4
    assert "does not answer" in checks["pip index"].found


def test_work_that_hangs_keeps_nobody():
    started = time.monotonic()
    assert in_background(lambda: 7).result(5) == 7
    hanging = in_background(lambda: time.sleep(60))
    assert not hanging.done()
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("days", "ca", "status", "said"),
    [
        (300, True, "ok", "Company"),
        (9, True, "better", "ends on"),
        (-2, True, "missing", "ended on"),
        (300, False, "missing", "not an authority's"),
    ],
)
def test_the_companys_ca(tmp_path: Path, days: int, ca: bool, status: str, said: str):
    make_certificates(tmp_path, days=days, ca=ca)
    check = check_ca(tmp_path / "company.pem", NOW)
    assert (check.status, bool(check.fix)) == (status, status != "ok")
    assert said in check.found
    assert check_ca(tmp_path / "none.pem", NOW).status == "missing"
    assert check_ca(tmp_path / "company.pem", NOW + timedelta(days=999)).status == "missing"


def test_passwords_that_everybody_can_read(tmp_path: Path):
    file = tmp_path / "site.conf"
    file.write_text("HTTP_PROXY=http://lab:sesame@127.0.0.1:1\n")
    file.chmod(0o644)
    check = check_file(read_site_file(file))
    assert check.status == "better"
    assert "chmod 640" in check.fix
    file.write_text("HTTP_PROXY=http://127.0.0.1:1\nREGISTRY_MIRRORS=docker.io=http://m:1\n")
    assert check_file(read_site_file(file)).status == "ok"


@pytest.mark.parametrize(("language", "status"), [("zh_CN.UTF-8", "ok"), ("de_DE.UTF-8", "better")])
def test_a_language_that_our_images_lack(language: str, status: str):
    assert check_language(language).status == status


def test_docker_has_settings_of_its_own():
    site = Settings(registry_mirrors=(("docker.io", "https://m.lab"), ("ghcr.io", "https://n.lab")))
    assert assess_docker_mirrors(site, "[https://m.lab/]").status == "ok"
    check = assess_docker_mirrors(site, None)
    assert '"registry-mirrors": ["https://m.lab"]' in check.fix


def test_faults_come_from_doctor_and_check_alike(tmp_path: Path):
    (tmp_path / "site.conf").write_text("PIP_INDEX_URL=http://u:sesame@h/'\n")
    environment = {**os.environ, "MLABHUB_SITE": str(tmp_path / "site.conf")}
    [check] = look(tmp_path, "PIP_INDEX_URL=http://u:sesame@h/'\n").values()
    assert check.status == "missing"
    done = subprocess.run([MLABHUB, "check"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"{tmp_path}/site.conf:1: PIP_INDEX_URL: " in done.stderr
    assert "sesame" not in done.stdout + done.stderr
    done = subprocess.run([MLABHUB, "check", "--json"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert '"path": "PIP_INDEX_URL"' in done.stdout
