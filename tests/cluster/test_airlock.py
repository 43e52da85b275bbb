"""The airlock on a cluster: what comes in by sftp is in closed servers at once; it alone reaches what is outside."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mlabhub.cluster import labels, reach
from mlabhub.cluster.airlock import get_airlock_manifests
from mlabhub.cluster.policies import AIRLOCK_PORT
from tests.cluster.kubectl import create, get, kubectl
from tests.cluster.site import CLAIM, REGISTRY, Site, make_site, start_site
from tests.cluster.test_network import find_nodes
from tests.cluster.test_security import PROBE

pytestmark = pytest.mark.timeout(300)

IMAGE = f"{REGISTRY or 'localhost/mlabhub'}/airlock:latest"
PASSWORD = "let me in {}"
PROFILES = json.dumps(
    {
        "profiles": {
            "patients": {
                "display_name": "Patients",
                "images": ["base"],
                "cpu": {"min": 1, "max": 2, "default": 1},
                "memory_gib": {"min": 1, "max": 2, "default": 1},
                "egress": "closed",
            }
        }
    }
)


@dataclass
class Airlock:
    """A site with an airlock, and something of the lab's to fetch."""

    site: Site
    folder: Path
    address: str
    key: Path
    lab_port: int
    keys: Path

    @property
    def deployment(self) -> str:
        return f"deployment/{labels.object_name(self.site.instance, 'airlock')}"

    def sftp(self, *commands: str, user: str = "alice", password: str = "") -> subprocess.CompletedProcess[str]:
        """Run sftp's commands, with alice's key or a password."""
        options = ["-oStrictHostKeyChecking=yes", f"-oUserKnownHostsFile={self.keys}", "-oConnectTimeout=10"]
        options += (
            ["-oPreferredAuthentications=password"] if password else [f"-oIdentityFile={self.key}", "-oBatchMode=yes"]
        )
        ask = self.key.with_name("ask")
        ask.write_text(f"#!/bin/sh\nprintf %s '{password}'\n")
        ask.chmod(0o700)
        return subprocess.run(
            ["sftp", *options, f"-P{AIRLOCK_PORT}", f"{user}@{self.address}"],
            input="\n".join(commands),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            start_new_session=True,
            env={**os.environ, "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"},
        )

    def look(self, questions: dict[str, list[Any]]) -> dict[str, Any]:
        """Return what alice's closed server sees."""
        printed = self.site.run_code("alice", f"{PROBE}\nprint(json.dumps(look({questions!r})))")
        answers: dict[str, Any] = json.loads(printed)
        return answers


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[int]:
    """Serve a folder on all addresses of this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture(scope="module")
def airlock(kubeconfig: str, nas: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airlock]:
    assert shutil.which("sftp"), "these tests need sftp (openssh-client)"
    home = tmp_path_factory.mktemp("airlock")
    (home / "outside").mkdir()
    (home / "outside" / "model.bin").write_text("weights")
    with serving(home / "outside") as lab_port:
        machine = os.environ.get("MLABHUB_TEST_HUB_HOST") or reach.find_own_address(find_nodes()[0])
        lab = {"cidr": machine, "ports": [lab_port], "description": "mirror"}
        site = make_site(
            home,
            nas,
            kubernetes={"allow": ["airlock"], "network": {"lab": [lab]}},
            files={"profiles.yaml": PROFILES},
            name="airlock",
        )
        drop = site.nas / "airlock"
        drop.mkdir()
        config = home / "config" / "storage.yaml"
        share = {"display_name": "Airlock", "source": str(drop), "target": "/opt/public/airlock", "read_only": True}
        config.write_text(json.dumps({**json.loads(config.read_text()), "shares": {"airlock": share}}))
        start_site(site)
        try:
            yield run_airlock(site, drop, home, lab_port)
        finally:
            site.close()


def run_airlock(site: Site, drop: Path, home: Path, lab_port: int) -> Airlock:
    """Make accounts and keys, run it, and start a closed server."""
    where = ("-n", site.namespace)
    kubectl("label", "--overwrite", "namespace", site.namespace, "pod-security.kubernetes.io/enforce=baseline")
    for name in ("alice", "host_key"):
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / name)]
        subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    hashed = subprocess.run(
        ["openssl", "passwd", "-6", "-stdin"], input=PASSWORD, capture_output=True, text=True, check=True
    ).stdout.strip()
    accounts = {"alice": (home / "alice.pub").read_text(), "bob.password": hashed, "root": "x", "Not.one": "x"}
    for name, values in (
        ("airlock-accounts", accounts),
        ("airlock-host-key", {"host_key": (home / "host_key").read_text()}),
    ):
        metadata = {"name": name, "namespace": site.namespace}
        create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values})
    create(
        *get_airlock_manifests(
            namespace=site.namespace, instance=site.instance, image=IMAGE, claim=CLAIM, folder="airlock"
        )
    )
    name = labels.object_name(site.instance, "airlock")
    kubectl("rollout", "status", f"deployment/{name}", *where, "--timeout=90s", seconds=100)
    (pod,) = get("pods", site.namespace, "-l", f"{labels.PART}={labels.PART_AIRLOCK}")
    address = pod["status"]["podIP"]
    (home / "known").write_text(f"[{address}]:{AIRLOCK_PORT} {(home / 'host_key.pub').read_text()}")
    site.add_user("alice", "vision")
    site.start_server("alice", profile="patients")
    return Airlock(site, drop, address, home / "alice", lab_port, home / "known")


def test_what_comes_in_is_in_a_closed_server_and_cannot_be_written_there(airlock: Airlock, tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("of outside")
    done = airlock.sftp(f"put {tmp_path / 'data.txt'}", "mkdir deep", f"put {tmp_path / 'data.txt'} deep/too.txt")
    assert done.returncode == 0, done.stderr
    seen = json.loads(
        airlock.site.run_code(
            "alice",
            """
import json, os
folder = '/opt/public/airlock'
def fails(act):
    try:
        act()
    except OSError as error:
        return error.strerror
print(json.dumps({
    'read': [open(f'{folder}/data.txt').read(), open(f'{folder}/deep/too.txt').read()],
    'write': [fails(lambda: open(f'{folder}/x', 'w')), fails(lambda: os.unlink(f'{folder}/data.txt'))],
}))""",
        )
    )
    refused = "Read-only file system"
    assert seen == {"read": ["of outside", "of outside"], "write": [refused, refused]}


def test_a_closed_server_reaches_the_airlock_and_nothing_of_the_lab(airlock: Airlock) -> None:
    machine = airlock.site.settings["hub_host"]
    assert airlock.look(
        {
            "airlock": ["reach", airlock.address, AIRLOCK_PORT],
            "hub": ["reach", machine, airlock.site.port],
            "mirror": ["reach", machine, airlock.lab_port],
        }
    ) == {"airlock": True, "hub": True, "mirror": False}
    url = f"http://{machine}:{airlock.lab_port}/model.bin"
    kubectl("exec", "-n", airlock.site.namespace, airlock.deployment, "--", "fetch", url)
    read = airlock.site.run_code("alice", "print(open('/opt/public/airlock/model.bin').read())")
    assert read.strip() == "weights"


def test_sessions_are_shut_in(airlock: Airlock) -> None:
    """They see the folder alone, get no shell, and pass nothing on."""
    done = airlock.sftp("cd /", "ls -1", "-ls /etc", f"-put {airlock.key} /x", "-get /etc/passwd /dev/null")
    assert done.returncode == 0, done.stderr
    shown = [line for line in done.stdout.splitlines() if not line.startswith(("sftp>", "Uploading"))]
    assert shown == ["drop"]
    for refused in ("/etc", "/x", "/etc/passwd"):
        assert refused in done.stderr
    ssh = ["ssh", f"-oUserKnownHostsFile={airlock.keys}", "-oBatchMode=yes", f"-i{airlock.key}", f"-p{AIRLOCK_PORT}"]
    shell = subprocess.run(
        [*ssh, f"alice@{airlock.address}", "id"], capture_output=True, text=True, timeout=30, check=False
    )
    assert "uid=" not in shell.stdout
    passing = subprocess.run(
        [*ssh, "-W", "10.96.0.1:443", f"alice@{airlock.address}"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert passing.returncode != 0
    assert "administratively prohibited" in passing.stderr
    owners = {path.stat().st_uid for path in airlock.folder.rglob("*")}
    assert owners <= {65022}


def test_who_may_come_in(airlock: Airlock) -> None:
    assert airlock.sftp("ls", user="bob", password=PASSWORD).returncode == 0
    assert airlock.sftp("ls", user="bob", password="wrong").returncode != 0
    for user in ("root", "airlock", "carol"):
        assert airlock.sftp("ls", user=user).returncode != 0
        assert airlock.sftp("ls", user=user, password=PASSWORD).returncode != 0
    said = kubectl("logs", "-n", airlock.site.namespace, airlock.deployment)
    assert "left out: root is an account of the system" in said
    assert "left out: Not.one is no account's name" in said
    assert "let me in" not in said
