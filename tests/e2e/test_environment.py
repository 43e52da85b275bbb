"""What a person installed is there again, in any size, until it is reset; a newer image is offered, not forced."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.installation import CHECKOUT, Installation, free_port, wait_for

pytestmark = pytest.mark.timeout(400)

REFERENCE = "localhost/mlabhub-test/environment:latest"

INSTALL = """
import os, pathlib, subprocess, sys, zipfile
wheel = '/tmp/mlabprobe-1-py3-none-any.whl'
with zipfile.ZipFile(wheel, 'w') as archive:
    archive.writestr('mlabprobe.py', 'answer = 42')
    archive.writestr('mlabprobe-1.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: mlabprobe\\nVersion: 1\\n')
    archive.writestr('mlabprobe-1.dist-info/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    archive.writestr('mlabprobe-1.dist-info/RECORD', 'mlabprobe.py,,\\n')
subprocess.run([sys.executable, '-m', 'pip', 'install', '--quiet', '--no-index', wheel], check=True)
deb = pathlib.Path('/tmp/deb'); (deb / 'DEBIAN').mkdir(parents=True); (deb / 'usr/local/bin').mkdir(parents=True)
(deb / 'DEBIAN/control').write_text(
    'Package: mlabprobe\\nVersion: 1\\nArchitecture: all\\nMaintainer: t <t@localhost>\\nDescription: t\\n')
(deb / 'usr/local/bin/mlabprobe').write_text('#!/bin/sh\\necho probed\\n')
(deb / 'usr/local/bin/mlabprobe').chmod(0o755)
subprocess.run(['dpkg-deb', '--root-owner-group', '-b', str(deb), '/tmp/probe.deb'], check=True, capture_output=True)
subprocess.run(['sudo', '-n', 'dpkg', '-i', '/tmp/probe.deb'], check=True, capture_output=True)
print(subprocess.run(['sudo', '-n', 'id', '-u'], capture_output=True, text=True).stdout.strip(), os.getuid() != 0)
"""

LOOK = """
import glob, importlib.util, os, pathlib, shutil
def limit(name):
    for place in ('/sys/fs/cgroup/' + name, '/sys/fs/cgroup/memory/memory.limit_in_bytes'):
        if os.path.exists(place):
            return int(pathlib.Path(place).read_text())
found = importlib.util.find_spec('mlabprobe') is not None
gpus = len([name for name in os.environ if name.startswith('MLABHUB_SIM_GPU_')])
print(found, shutil.which('mlabprobe') is not None, limit('memory.max') // 2**30, gpus)
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Return a hub whose profiles allow sudo, on an image of its own that can change."""
    folder = tmp_path_factory.mktemp("environment")
    config = folder / "config"
    shutil.copytree(CHECKOUT / "spawner_profiles", config)
    profiles = config / "profiles.yaml"
    profiles.write_text(profiles.read_text().replace("    images: [base,", "    sudo: true\n    images: [base,"))
    images = config / "images.yaml"
    images.write_text(images.read_text().replace("localhost/mlabhub/base:latest", REFERENCE))
    installation = Installation(folder / "state", free_port(), ("--simulate-gpus", "2xA100", "--config", str(config)))
    try:
        installation.start()
        installation.podman("tag", "localhost/mlabhub/base:latest", REFERENCE)
        installation.add_user("carol", "vision")
        yield installation
    finally:
        installation.podman("rmi", "-f", REFERENCE)
        installation.close()


def _run(lab: Installation, code: str, **options: object) -> list[str]:
    """Start, run code, stop; nothing but what was installed is left."""
    answer = lab.launch("carol", **options)
    assert answer.status_code == 201, answer.text
    lab.wait_ready("carol")
    printed = lab.run_code("carol", code)
    lab.stop_server("carol")
    wait_for(lambda: not lab.containers(running=False), 60, "no container left")
    return printed.split()


def _server(lab: Installation) -> dict[str, object]:
    with lab.api("carol") as client:
        servers = client.get("services/mlabhub/api/v1/servers").json()["servers"]
    return next((server for server in servers if server["server_name"] == ""), {})


def test_what_was_installed_comes_back_until_it_is_reset(lab: Installation) -> None:
    assert _run(lab, INSTALL, profile="cpu", memory_gib=2) == ["0", "True"]
    assert _run(lab, LOOK, profile="cpu", memory_gib=2) == ["True", "True", "2", "0"]
    assert _run(lab, LOOK, profile="gpu", memory_gib=3, gpus=2) == ["True", "True", "3", "2"]
    assert _run(lab, LOOK, profile="gpu", memory_gib=4, gpus=1) == ["True", "True", "4", "1"]
    assert _server(lab)["has_saved"] is True
    assert _server(lab)["newer_image"] is False
    _publish_a_newer_image(lab)
    wait_for(lambda: _server(lab)["newer_image"], 30, "the newer image is offered")
    assert _run(lab, LOOK, profile="cpu", memory_gib=2) == ["True", "True", "2", "0"], "and not forced"
    with lab.api("carol") as client:
        answer = client.post("services/mlabhub/api/v1/servers/carol/_/reset")
        assert answer.status_code == 200, answer.text
    assert _run(lab, LOOK, profile="cpu", memory_gib=2) == ["False", "False", "2", "0"]
    assert _server(lab).get("newer_image", False) is False


def _publish_a_newer_image(lab: Installation) -> None:
    before = lab.podman("image", "inspect", "--format", "{{.Id}}", REFERENCE)
    container = lab.podman("create", "localhost/mlabhub/base:latest", "true")
    lab.podman("commit", "--change", "LABEL newer=yes", container, REFERENCE)
    lab.podman("rm", container)
    assert lab.podman("image", "inspect", "--format", "{{.Id}}", REFERENCE) != before


def test_an_environment_is_its_owners_alone(lab: Installation) -> None:
    """Nobody else's start has what carol installed."""
    assert _run(lab, INSTALL, profile="cpu") == ["0", "True"]
    lab.add_user("dave", "vision")
    assert lab.launch("dave", profile="cpu", memory_gib=2).status_code == 201
    lab.wait_ready("dave")
    assert lab.run_code("dave", LOOK).split() == ["False", "False", "2", "0"]
    lab.stop_server("dave")


def test_a_kept_folder_keeps_its_owner(lab: Installation) -> None:
    """Who has an account or files on the NAS keeps the ids of before; nothing there is chowned."""
    home: Path = lab.state / "nas" / "user" / "erin"
    home.mkdir(mode=0o750, parents=True)
    (home / "old.txt").write_text("of before")
    for path in (home, home / "old.txt"):
        shutil.chown(path, 23456, 23457)
    lab.add_user("erin", "vision")
    assert lab.launch("erin", profile="cpu").status_code == 201
    lab.wait_ready("erin")
    code = """
import os
open('/mnt/user/erin/new.txt', 'w').close()
print(os.getuid(), open('/mnt/user/erin/old.txt').read())"""
    assert lab.run_code("erin", code).strip() == "23456 of before"
    lab.stop_server("erin")
    assert (home / "old.txt").stat().st_uid == (home / "new.txt").stat().st_uid == 23456
    assert (home.stat().st_gid, home.stat().st_mode & 0o777) == (23457, 0o750)


def test_a_server_that_ends_early_says_why(lab: Installation, tmp_path: Path) -> None:
    """The page that follows the launch shows the end of the server's log, and nothing is held."""
    program = tmp_path / "jupyterhub-singleuser"
    program.write_text("#!/bin/sh\nsleep 4; echo the disk is on fire; exit 3\n")
    program.chmod(0o755)
    container = lab.podman("create", "localhost/mlabhub/base:latest", "true")
    lab.podman("cp", str(program), f"{container}:/opt/venv/bin/jupyterhub-singleuser")
    lab.podman("commit", container, REFERENCE)
    lab.podman("rm", container)
    lab.add_user("frank", "vision")
    answer = lab.launch("frank", profile="gpu", gpus=1)
    assert answer.status_code == 201, answer.text
    with lab.api("frank") as client:
        path = f"services/mlabhub/api/v1/launches/{answer.json()['launch_id']}"
        wait_for(lambda: client.get(path).json()["state"] == "failed", 60, "the launch to fail")
        failure = client.get(path).json()["failure"]
    assert "the disk is on fire" in failure
    assert "Traceback" not in failure
    wait_for(lambda: not lab.reservations(), 30, "nothing held")
    wait_for(lambda: not lab.containers(running=False), 30, "no container left")
