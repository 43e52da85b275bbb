"""A hub with a certificate of its own authority and a site.conf: people's pods trust the one and follow the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.kubectl import get, kubectl
from tests.cluster.site import make_site, start_site
from tests.installation import wait_for
from tests.site.mirrors import make_certificates

SEEN = """
import os, urllib.request
print(os.environ["https_proxy"], os.environ["SSL_CERT_FILE"])
print([line for line in open("/etc/xdg/pip/pip.conf") if "index-url" in line][0].split()[-1])
print(urllib.request.urlopen(os.environ["JUPYTERHUB_API_URL"]).status)
"""


@pytest.mark.timeout(300)
def test_pods_trust_the_hub_and_get_what_the_site_says(
    tmp_path: Path, nas: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = make_certificates(tmp_path, names=("hub.test",))
    file = tmp_path / "site.conf"
    lines = (
        "HTTP_PROXY=http://127.0.0.1:9",
        "HTTPS_PROXY=http://127.0.0.1:9",
        "PIP_INDEX_URL=https://pypi.test/simple",
    )
    file.write_text("\n".join((*lines, f"CA_FILE={tmp_path}/company.pem")))
    monkeypatch.setenv("MLABHUB_SITE", str(file))
    site = make_site(tmp_path, nas, arguments=("--tls-cert", str(certificate), "--tls-key", str(key)), name="tls")
    site.tls = True
    start_site(site)
    try:
        site.add_user("alice", "vision")
        site.start_server("alice", profile="cpu")
        said = kubectl("exec", site.pod_name("alice"), "-n", site.namespace, "--", "python3", "-c", SEEN).split()
        assert said == ["http://127.0.0.1:9", "/var/lib/mlabhub/ca.pem", "https://pypi.test/simple", "200"]
        [kept] = get("configmaps", site.namespace, "-l", "mlabhub/part=site")
        assert {"ca.pem", "pip__pip.conf"} <= set(kept["binaryData"])
        site.stop_server("alice")
        wait_for(site.is_clean, 60, "nothing left")
        kubectl("delete", "configmap", kept["metadata"]["name"], "-n", site.namespace)
        site.launch("alice", profile="cpu")
        wait_for(site.is_clean, 90, "a start without what it mounts is given up")
        site.start_server("alice", profile="cpu")
    finally:
        site.close()
