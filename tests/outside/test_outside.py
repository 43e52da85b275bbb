"""Servers from images that bring nothing of ours: JupyterLab opens, and a cell runs in the image's own Python."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlabhub.images.program import find_program
from tests.installation import CHECKOUT, MLABHUB, Installation, free_port, wait_for
from tests.outside import images as made

pytestmark = [pytest.mark.long, pytest.mark.engine, pytest.mark.timeout(900)]

WHO = "import os, sys; print(os.getuid() != 0, '%d.%d' % sys.version_info[:2], sys.executable)"


@dataclass
class Lab:
    """A hub with outside images in its catalogue."""

    hub: Installation
    images: dict[str, str]

    def start(self, image: str) -> None:
        """Launch, as often as it is said that something is still being fetched, and wait for JupyterLab."""

        def started() -> bool:
            answer = self.hub.launch("alice", image=image)
            if answer.status_code == 409 and answer.json()["error"]["code"] == "image_missing":
                return False
            assert answer.status_code == 201, answer.text
            return True

        wait_for(started, 400, f"{image} launched")
        try:
            self.hub.wait_ready("alice")
        except AssertionError:
            log = (self.hub.state / "log" / "hub.log").read_text()[-3000:]
            raise AssertionError(f"{image} did not start:\n{log}") from None

    def run(self, image: str, code: str) -> str:
        """Start, run a cell, stop."""
        self.start(image)
        try:
            with self.hub.api("alice") as client:
                page = client.get("user/alice/lab")
                assert page.status_code == 200
                assert "jupyter-config-data" in page.text
                editor = client.get("user/alice/vscode/", follow_redirects=True)
                assert editor.status_code == 200, editor.text
                assert "vscode-workbench-web-configuration" in editor.text
            return self.hub.run_code("alice", code, seconds=90).strip()
        finally:
            self.hub.stop_server("alice")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("outside")
    program = find_program(folder)
    hub = Installation(folder / "state", free_port(), ("--config", str(folder / "config")))
    with made.removed_afterwards(program):
        references = {
            "numpy": made.make_debian(program, "numpy", "bookworm", "python3-numpy"),
            "old": made.make_debian(program, "old", "bullseye", "python3-minimal,python3-numpy"),
            "bare": made.make_debian(program, "bare", "bookworm"),
            "busybox": made.make_busybox(program),
        }
        references["hostile"] = f"{made.PREFIX}/hostile:latest"
        write_config(folder / "config", references)
        try:
            hub.start()
            made.make_hostile(program, references["old"], hub.instance)
            hub.add_user("alice", "vision")
            yield Lab(hub, references)
        finally:
            hub.close()


def write_config(folder: Path, references: dict[str, str]) -> None:
    shutil.copytree(CHECKOUT / "spawner_profiles", folder)
    entries = {slug: {"display_name": slug, "reference": reference} for slug, reference in references.items()}
    entries["base"] = {"display_name": "Base", "reference": "localhost/mlabhub/base:latest"}
    (folder / "images.yaml").write_text(json.dumps({"images": entries}))
    profile = {
        "display_name": "Small",
        "images": ["base", *references],
        "cpu": 1,
        "memory_gib": 2,
        "own_images": True,
    }
    (folder / "profiles.yaml").write_text(json.dumps({"profiles": {"small": profile}}))


@pytest.mark.parametrize(
    ("image", "code", "printed"),
    [
        ("numpy", f"{WHO}; import numpy; print(numpy.arange(4).sum())", "True 3.11 /usr/bin/python3\n6"),
        ("old", f"{WHO}; import numpy; print(numpy.arange(4).sum())", "True 3.9 /usr/bin/python3\n6"),
        ("bare", WHO, "True 3.11 /opt/mlabhub/bin/python3"),
        ("busybox", f"{WHO}; print(os.listdir('/bin'))", "True 3.11 /opt/mlabhub/bin/python3"),
    ],
)
def test_a_cell_runs_in_the_images_own_python(lab: Lab, image: str, code: str, printed: str) -> None:
    assert lab.run(image, code).startswith(printed)


TERMINAL = """
import os, subprocess
code = '/opt/mlabhub/code-server/lib/'
script = r'''
const { spawn } = require("%svscode/node_modules/node-pty");
const shell = spawn("/opt/mlabhub/bin/python3", ["-I", "-m", "mlabhub_outside.shell"]);
let said = "";
shell.onData((text) => { said += text; });
shell.onExit(() => console.log(said.replaceAll("\\r", "")));
shell.write("echo $((6*7)) $HOME; command -v python3; exit\\n");
''' % code
done = subprocess.run([code + 'node', '-e', script], capture_output=True, text=True, timeout=30)
print(done.stdout.splitlines(), done.stderr)
"""


@pytest.mark.parametrize(
    ("image", "python"), [("numpy", "/usr/bin/python3"), ("old", "/usr/bin/python3"), ("busybox", "")]
)
def test_a_terminal_of_vscode_has_the_images_own_environment(lab: Lab, image: str, python: str) -> None:
    said = lab.run(image, TERMINAL)
    assert "42 /mnt/user/alice'" in said
    assert python in said


def test_an_image_that_gets_in_the_way_does_not(lab: Lab) -> None:
    code = f"""{WHO}
import ownpackage, subprocess
print(ownpackage.answer, os.environ["PYTHONPATH"], os.environ["LD_LIBRARY_PATH"], os.environ["JUPYTER_PORT"])
print(open("/proc/self/status").read().split("CapBnd:")[1].split()[0], os.environ["NVIDIA_VISIBLE_DEVICES"])
print(os.path.exists("/etc/ld.so.preload") and open("/etc/ld.so.preload").read() == "", os.environ["MLABHUB_SUDO"])
"""
    said = lab.run("hostile", code).splitlines()
    assert said[0].startswith("True 3.9 /opt/conda/bin/python")
    assert said[1] == "42 /opt/conda/lib/python3.9/site-packages /opt/conda/lib 1234"
    assert said[2:] == ["0000000000000000 void", "True 0"]


def test_labels_of_an_image_make_nothing_ours(lab: Lab) -> None:
    hostile = lab.images["hostile"]
    container = lab.hub.podman("run", "--detach", "--entrypoint", "/bin/sleep", hostile, "100")
    try:
        with lab.hub.api("alice") as client:
            servers = client.get("services/mlabhub/api/v1/servers").json()["servers"]
        assert [one for one in servers if one["state"] != "stopped"] == []
        admin, _ = lab.hub.first_admin()
        with lab.hub.api(admin) as client:
            found = client.post("services/mlabhub/api/v1/reconcile", json={"repair": True}).json()["findings"]
        assert found == []
        with lab.hub.api("alice") as client:
            assert client.post("services/mlabhub/api/v1/servers/alice/_/reset").status_code == 200
        assert lab.hub.podman("inspect", "--format", "{{.State.Status}}", container) == "running"
        assert lab.hub.podman("image", "inspect", "--format", "{{.Id}}", hostile)
    finally:
        lab.hub.podman("rm", "--force", "--time", "0", container)


def test_what_is_installed_in_one_stays_and_can_be_saved(lab: Lab) -> None:
    lab.start("old")
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    lab.hub.run_code("alice", f"{where}; open('/tmp/x', 'w').write('x'); open('/var/tmp/kept', 'w').write('kept')")
    with lab.hub.api("alice") as client:
        saved = client.post("services/mlabhub/api/v1/servers/alice/_/save", json={"name": "mine"})
        assert saved.status_code == 201, saved.text
    lab.hub.stop_server("alice")
    look = "import numpy; print(open('/var/tmp/kept').read(), open('/etc/ld.so.preload').read() == '')"
    assert lab.run("old", look) == "kept True"
    assert lab.run("saved/mine", look) == "kept True"
    with lab.hub.api("alice") as client:
        listed = client.get("services/mlabhub/api/v1/images").json()["images"]
        assert [(one["name"], one["of_image"]) for one in listed if one["kind"] == "saved"] == [("saved/mine", "old")]
        assert client.delete("services/mlabhub/api/v1/images/mine").status_code == 200
        assert client.delete("services/mlabhub/api/v1/images/mine").status_code == 404


@pytest.mark.parametrize("image", ["numpy", "bare", "busybox", "hostile"])
def test_check_says_what_is_added(lab: Lab, image: str) -> None:
    reference = lab.images[image]
    done = subprocess.run([MLABHUB, "image", "check", reference, "--json"], capture_output=True, text=True, check=False)
    findings = {one["name"]: one for one in json.loads(done.stdout)}
    assert done.returncode == 0, done.stderr
    assert findings["JupyterLab"]["added"]
    assert all(one["ok"] for one in findings.values() if one["needed"])
