"""The base image as it runs: who one is in it, what one may do, what stays, and what it must not contain."""

from __future__ import annotations

import json
import os
import re
import ssl
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlabhub.images.program import Program
from mlabhub.images.recipes import IMAGES_DIR
from mlabhub.images.site import read_site
from mlabhub.site.authorities import SYSTEM_CA
from tests.full_home import full_home
from tests.images.conftest import Containers

pytestmark = pytest.mark.engine

ALICE = {"USER": "alice", "UID": "12345", "GID": "12345", "GROUPS": "vision:200001", "HOME": "/mnt/user/alice"}
SUDO_CAPABILITIES = ("DAC_OVERRIDE", "FOWNER", "FSETID", "AUDIT_WRITE", "SETFCAP")


def make_wheel(folder: Path, name: str, version: str) -> Path:
    """Write the smallest package that pip installs."""
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{name}.py", f"version = {version!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    wheel.chmod(0o644)
    return wheel


def test_the_arguments_run_as_the_user(containers: Containers):
    said = containers.run("id", **ALICE)
    assert said.strip() == "uid=12345(alice) gid=12345(alice) groups=12345(alice),65020(mlab),200001(vision)"


AS_A_POD = ("--user=12345:12345", "--group-add=200001", "--security-opt=no-new-privileges", "--cap-drop=all")


@pytest.fixture
def accounts(tmp_path: Path) -> str:
    folder = tmp_path / "accounts"
    folder.mkdir()
    folder.chmod(0o777)
    return f"--volume={folder}:/var/lib/extrausers"


def test_without_root_the_person_has_a_name_as_well(containers: Containers, accounts: str):
    look = "id; whoami; getent passwd 0 | cut -d: -f1; umask; grep -E '^(CapPrm|NoNew)' /proc/self/status"
    # Podman would enter the number as a name of its own, which containerd and Docker do not.
    as_a_pod = (*AS_A_POD, *(["--passwd=false"] if containers.program.engine.kind == "podman" else []))
    said = containers.run("bash", "-lc", f"{look}; ls -ld $XDG_RUNTIME_DIR", options=(*as_a_pod, accounts), **ALICE)
    lines = said.splitlines()
    assert lines[:4] == [
        "uid=12345(alice) gid=12345(alice) groups=12345(alice),200001(vision)",
        "alice",
        "root",
        "0002",
    ]
    assert lines[4:6] == ["CapPrm:\t" + "0" * 16, "NoNewPrivs:\t1"]
    assert re.match("drwx------ .* alice alice ", lines[-1])


def test_without_root_and_without_a_place_for_names_a_server_starts(containers: Containers):
    said = containers.run("sh", "-c", "id -u; echo $USER", options=AS_A_POD, **ALICE)
    assert said.splitlines()[:2] == ["12345", "alice"]
    assert "programs find no name for 12345" in said


def test_without_root_somebody_else_is_refused(containers: Containers):
    said = containers.run("id", status=1, options=AS_A_POD, **{**ALICE, "UID": "12346"})
    assert said.startswith("mlabhub entry: The container runs as 12345:12345, but")


@pytest.mark.parametrize("options", [("pip", "install"), ("pip", "install", "--user")], ids=" ".join)
def test_without_root_packages_go_into_the_home(
    containers: Containers, accounts: str, tmp_path: Path, options: tuple[str, ...]
):
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 12345, 12345)
    make_wheel(tmp_path, "ours", "1")
    tmp_path.chmod(0o755)
    install = (
        f"{' '.join(options)} --no-index --find-links=/wheels ours && python -c 'import ours; print(ours.__file__)'"
    )
    mounts = (f"--volume={home}:/mnt/user/alice", f"--volume={tmp_path}:/wheels:ro")
    said = containers.run("bash", "-lc", f"{install}; echo $PATH", options=(*AS_A_POD, accounts, *mounts), **ALICE)
    assert re.search(r"^/mnt/user/alice/.local/lib/python3\.\d+/site-packages/ours.py$", said, re.MULTILINE)
    assert re.search("^/opt/venv/bin:/mnt/user/alice/.local/bin:", said, re.MULTILINE)


def test_packages_of_the_home_come_after_the_images(containers: Containers):
    program = "import sys, site; print([path for path in sys.path if path.endswith('-packages')], site.PREFIXES)"
    make = "mkdir -p $HOME/.local/lib/python3.$(python -c 'import sys; print(sys.version_info[1])')/site-packages"
    person = {**ALICE, "HOME": "/tmp"}
    said = containers.run("bash", "-c", f'{make}; python -c "{program}"', **person)
    found = re.sub(r"3\.\d+", "3", said).strip()
    assert found == "['/opt/venv/lib/python3/site-packages', '/tmp/.local/lib/python3/site-packages'] ['/opt/venv']"


def test_without_a_user_the_arguments_run_as_they_are(containers: Containers):
    assert containers.run("id", "-u").strip() == "0"


def test_the_exit_status_is_passed_on(containers: Containers):
    containers.run("sh", "-c", "exit 7", status=7, **ALICE)


def test_a_program_that_is_missing_is_one_line(containers: Containers):
    said = containers.run("no-such-program", status=127, **ALICE)
    assert "Traceback" not in said
    assert "no-such-program" in said


def test_an_impossible_user_is_one_line(containers: Containers):
    said = containers.run("id", status=1, **{**ALICE, "UID": "0"})
    assert said.startswith("mlabhub entry: MLABHUB_UID='0'")


def test_without_sudo_nothing_can_be_gained(containers: Containers):
    said = containers.run("sh", "-c", "grep -E '^(Cap|NoNew)' /proc/self/status; sudo -n id", status=1, **ALICE)
    assert re.findall(r"^Cap\w+:\t(\w+)$", said, re.MULTILINE) == ["0" * 16] * 5
    assert "NoNewPrivs:\t1" in said
    assert "uid=0" not in said


def test_with_sudo_one_is_root_inside(containers: Containers):
    options = tuple(f"--cap-add={name}" for name in SUDO_CAPABILITIES)
    as_root = "id -u; touch /usr/local/x; chown alice /usr/local/x; chmod 4755 /usr/local/x"
    command = f"sudo -n sh -c '{as_root}' 2>/dev/null; id -u"
    assert containers.run("sh", "-c", command, options=options, SUDO="1", **ALICE).split() == ["0", "12345"]


def test_sudo_is_taken_back(containers: Containers, tmp_path: Path):
    options = tuple(f"--cap-add={name}" for name in SUDO_CAPABILITIES)
    containers.run("true", options=options, keep="sudo", SUDO="1", **ALICE)
    saved = containers.commit("sudo")
    said = containers.run("sh", "-c", "ls /etc/sudoers.d; sudo -n id", image=saved, status=1, SUDO="0", **ALICE)
    assert "mlabhub" not in said.split()
    assert "uid=0" not in said


def test_a_mounted_home_is_left_alone(containers: Containers, tmp_path: Path):
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o711)
    before = home.stat()
    containers.run("sh", "-c", "cd / && echo $HOME", options=(f"--volume={home}:/mnt/user/alice",), **ALICE)
    after = home.stat()
    assert (before.st_uid, before.st_gid, before.st_mode) == (after.st_uid, after.st_gid, after.st_mode)
    assert list(home.iterdir()) == []


@pytest.fixture
def small_home(tmp_path: Path) -> Iterator[Path]:
    """A home of 1 MiB that is full."""
    home = tmp_path / "home"
    home.mkdir()
    with full_home(home, 12345):
        yield home


KERNEL = """
import os, pathlib
from jupyter_client.manager import start_new_kernel
from jupyter_core.paths import jupyter_config_dir
print(pathlib.Path(jupyter_config_dir(), 'jupyter_server_config.json').read_text())
manager, client = start_new_kernel()
client.execute_interactive('import matplotlib.pyplot as plt; plt.figure(); print("it ran")', timeout=30)
manager.shutdown_kernel()
import pty
pty.spawn(['bash', '-lc', 'true'])
"""


def test_a_full_home_keeps_nobody_from_working_and_deleting(containers: Containers, small_home: Path):
    said = containers.run("python", "-c", KERNEL, options=(f"--volume={small_home}:/mnt/user/alice",), **ALICE)
    assert "it ran" in said
    assert '"delete_to_trash": false' in said
    assert "Nothing can be saved in /mnt/user/alice, for it is full: delete something." in said
    assert [file.name for file in small_home.iterdir()] == ["big"]


def test_a_home_that_can_only_be_read_is_said_to_be(containers: Containers, small_home: Path):
    options = (f"--volume={small_home}:/mnt/user/alice:ro",)
    said = containers.run("python", "-c", KERNEL, options=options, NOTES="Without /data: it is away.", **ALICE)
    assert "it ran" in said
    assert "Without /data: it is away." in said
    assert "its file system can only be read" in said


def test_signals_reach_the_program(containers: Containers, program: Program):
    name = containers.name_of("signal")
    containers.names.append(name)
    options = ["--detach", "--init", "--network=none", f"--name={name}", "--env=MLABHUB_UID=12345"]
    program.run(
        "run", *options, "localhost/mlabhub/base:latest", "sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.1; done"
    )
    time.sleep(1)
    started = time.monotonic()
    program.run("stop", "--time=20", name)
    assert time.monotonic() - started < 10
    assert (program.ask("inspect", "--format", "{{.State.ExitCode}}", name) or "").strip() == "5"


def test_what_pip_installs_stays(containers: Containers, tmp_path: Path):
    tmp_path.chmod(0o755)
    make_wheel(tmp_path, "labtool", "1.0")
    make_wheel(tmp_path, "idna", "99.0")  # the image has another version, owned by root
    options = (f"--volume={tmp_path}:/wheels:ro", "--tmpfs=/mnt/user/alice:mode=1777")
    install = "pip install -q --no-index --find-links=/wheels labtool idna==99.0 && pip uninstall -q -y tqdm"
    containers.run("sh", "-c", install, options=options, keep="pip", **ALICE)
    saved = containers.commit("pip")
    check = "import labtool, idna, importlib.util as u; print(labtool.version, idna.version, u.find_spec('tqdm'))"
    assert containers.run("python", "-c", check, image=saved, **ALICE).strip() == "1.0 99.0 None"


def test_root_runs_nothing_that_the_user_can_write(containers: Containers):
    evil = "rm -f /opt/venv/bin/python3 && printf '#!/bin/sh\\nid -u >/opt/venv/ran\\n' >/opt/venv/bin/python3"
    evil += " && chmod +x /opt/venv/bin/python3 && cp /opt/venv/bin/python3 /opt/venv/bin/setpriv"
    containers.run("sh", "-c", evil, keep="evil", **ALICE)
    saved = containers.commit("evil")
    said = containers.run("ls", "/opt/venv", image=saved, **ALICE)
    assert "ran" not in said.split()


def test_an_earlier_runs_sockets_are_gone(containers: Containers):
    mess = "cd $XDG_RUNTIME_DIR && mkdir -p a/b && touch a/b/c && ln -s /etc link && chmod 0 a/b"
    containers.run("sh", "-c", mess, keep="sockets", **ALICE)
    saved = containers.commit("sockets")
    said = containers.run("sh", "-c", "ls -A $XDG_RUNTIME_DIR; stat -c '%a %u' $XDG_RUNTIME_DIR", image=saved, **ALICE)
    assert said.strip() == "700 12345"


@pytest.mark.parametrize("locale", ["en_US.UTF-8", "zh_CN.UTF-8"])
def test_locales_are_there(containers: Containers, locale: str):
    said = containers.run("sh", "-c", f"LC_ALL={locale} locale charmap", **ALICE)
    assert said.strip() == "UTF-8"


def test_terminals_find_the_servers_python(containers: Containers):
    assert containers.run("bash", "-lc", "command -v python", **ALICE).strip() == "/opt/venv/bin/python"


def test_programs_are_there(containers: Containers):
    said = containers.run(
        "sh", "-c", "jupyterhub-singleuser --version; jupyter-lab --version; tensorboard --version 2>/dev/null", **ALICE
    )
    hub, lab, tensorboard = said.split()
    assert hub == "6.1.1"
    assert lab.startswith("4.6.")
    assert tensorboard.startswith("2.21.")


def test_vscode_is_there_with_what_its_terminals_need_and_nobody_can_change_it(containers: Containers):
    wanted = json.loads((IMAGES_DIR / "base/code-server/package.json").read_text())["dependencies"]["code-server"]
    node = "cd /opt/code-server && lib/node"
    parts = f"{node} -p 'typeof require(\"./lib/vscode/node_modules/node-pty\").spawn'"
    search = "lib/vscode/node_modules/@vscode/ripgrep-universal/bin/linux-*/rg --version | head -1"
    left = "find /opt/code-server -perm /6000 -o -writable ! -type l; command -v npm cc make; true"
    version = f"{node} out/node/entry.js --config=/tmp/config --version 2>/dev/null | tail -1"
    said = containers.run("sh", "-c", f"{version}; {parts}; {search}; {left}", options=("--tmpfs=/mnt",), **ALICE)
    first, second, third, *more = said.splitlines()
    assert first.startswith(f"{wanted} ")
    assert (second, third[:8], more) == ("function", "ripgrep ", [])


def test_our_tools_are_there_with_what_their_pages_load(containers: Containers):
    vendor = "/opt/venv/lib/python3*/site-packages/mlabhub_proxies/static/vendor"
    look = (
        f"ls {vendor}/@novnc/novnc/core/rfb.js {vendor}/@xterm/xterm/lib/xterm.js; jupyter server extension list 2>&1"
    )
    said = containers.run("sh", "-c", look, **ALICE)
    assert "No such file" not in said
    assert re.search(r"mlabhub_proxies 0\.\S+ .*OK", said)


def test_nothing_of_jupyterlab_calls_home(containers: Containers):
    said = containers.run("sh", "-c", "jupyter-lab --show-config 2>/dev/null; jupyter labextension list 2>&1", **ALICE)
    assert "NeverCheckForUpdate" in said
    assert "@jupyterlab/apputils-extension:announcements" in said.split("Disabled extensions:")[1]


def test_nothing_of_this_site_is_in_the_image(program: Program, containers: Containers):
    known = program.inspect("localhost/mlabhub/base:latest")
    assert known is not None
    history = program.run("history", "--no-trunc", "localhost/mlabhub/base:latest")
    for value in read_site().environment.values():
        if "/" in value:  # an address of a mirror or proxy; time-outs and the like say nothing
            assert value not in history
            assert value not in str(known["Config"])
    assert "PIP_CERT" not in history + str(known["Config"])
    places = "/run/secrets /run/mlabhub-site /etc/pip.conf /root/.config /root/.cache /var/lib/apt/lists"
    left = f"ls -A {places} 2>/dev/null | grep -v -e : -e '^$'"
    said = containers.run("sh", "-c", f"{left}; cat /etc/apt/apt.conf.d/* | grep -iE 'proxy|Check-|CaInfo'; true")
    assert said.strip() == ""


def test_only_the_distributions_certificates_are_trusted(containers: Containers):
    bundle = containers.run("cat", str(SYSTEM_CA))
    package = containers.run("sh", "-c", "cat /usr/share/ca-certificates/mozilla/*")
    assert certificates(bundle)
    assert certificates(bundle) <= certificates(package)


def certificates(text: str) -> set[bytes]:
    """Return the certificates of a bundle."""
    pattern = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
    return {ssl.PEM_cert_to_DER_cert(found) for found in pattern.findall(text)}
