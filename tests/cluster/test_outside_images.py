"""An image that knows nothing of us in a pod, of the catalogue and typed in: JupyterLab opens and a cell runs as the
person, whatever the image does to get in the way. That a cell runs in an image's own Python: `tests.outside`.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mlabhub.cluster import reach
from mlabhub.cluster.client import connect
from mlabhub.images.parents import find_parent
from mlabhub.images.program import Program, find_program
from tests.cluster.conftest import Tool
from tests.cluster.kubectl import create, kubectl
from tests.cluster.site import Site, make_name, make_site, remove_namespace, start_site
from tests.cluster.words import failure, follow, launch, make_pod, nodes
from tests.registry import running_registry

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

HOST = "registry.example.org:5000"
FOREIGN = f"{HOST}/lab/foreign:1"
"""Nobody serves it there: the nodes have it."""
CONTAINERFILE = """
FROM {parent}
RUN useradd --uid 4711 --create-home jovyan && chmod 700 /home/jovyan && echo 'answer = 42' >/srv/ours.py \\
    && echo /srv/no-such-library.so >/etc/ld.so.preload
ENV PYTHONPATH=/srv PYTHONSTARTUP=/srv/none.py LD_PRELOAD=/srv/no-such-library.so HOME=/home/jovyan JUPYTER_PORT=1 \\
    MLABHUB_UID=0 MLABHUB_USER=root
USER jovyan
WORKDIR /home/jovyan
ENTRYPOINT ["/bin/sh", "-c", "echo the image started itself; exit 9"]
"""
IMAGES = {
    "base": {"display_name": "Base", "reference": "localhost/mlabhub/base:latest"},
    "foreign": {"display_name": "Foreign", "reference": FOREIGN},
    "own": {"display_name": "Own", "reference": "localhost/mlabhub/own:1"},
}
PROFILE = {
    "display_name": "Small",
    "images": ["base", "foreign", "own"],
    "typed_images": [{"registry": HOST, "repository": "lab/*"}],
    "cpu": 1,
    "memory_gib": 2,
}
LOOK = """
import getpass, os, pathlib, subprocess, sys
print(sys.executable)
print(getpass.getuser(), subprocess.run(["id", "-un"], capture_output=True, text=True).stdout.strip(), os.getuid())
print(pathlib.Path.home(), pathlib.Path("/etc/ld.so.preload").read_text() == "")
pathlib.Path.home().joinpath("seen").write_text("from a foreign image")
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """The engine, which has the image."""
    program = find_program(tmp_path_factory.mktemp("engine"))
    parent = find_parent(program, "docker.io/library/debian:12", lambda _: None)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "Containerfile").write_text(CONTAINERFILE.format(parent=parent))
        program.run("build", "--pull=never", f"--tag={FOREIGN}", folder)
    yield program
    program.ask("rmi", "--force", FOREIGN)


@contextmanager
def running_site(nas: Path, folder: Path, **kubernetes: Any) -> Iterator[Site]:
    """Run a hub that offers the image."""
    files = {
        "images.yaml": json.dumps({"images": IMAGES}),
        "profiles.yaml": json.dumps({"profiles": {"small": PROFILE}}),
    }
    site = make_site(folder, nas, files=files, name="outside", kubernetes=kubernetes)
    start_site(site)
    try:
        site.add_user("alice", "vision")
        yield site
    finally:
        site.close()


@pytest.fixture(scope="module")
def lab(program: Program, nas: Path, tool: Tool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A hub on a cluster whose nodes have the image."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        archive = Path(folder) / "foreign.tar"
        program.run("save", "--output", str(archive), FOREIGN)
        tool("load", str(archive), seconds=200)
    with running_site(nas, tmp_path_factory.mktemp("outside")) as site:
        yield site


@pytest.mark.parametrize("image", ["foreign", FOREIGN], ids=["catalogue", "typed"])
def test_a_cell_runs_as_the_person(lab: Site, image: str) -> None:
    pod = lab.start_server("alice", profile="small", image=image)
    assert pod["spec"]["containers"][0]["image"] == FOREIGN
    assert_works(lab)
    lab.stop_server("alice")
    lab.wait_clean()


def assert_works(site: Site) -> None:
    """JupyterLab opens, and a cell runs as alice."""
    with site.api("alice") as client:
        page = client.get("user/alice/lab")
        assert page.status_code == 200
        assert "jupyter-config-data" in page.text
    home = site.nas / "user" / "alice"
    uid = home.stat().st_uid
    assert site.run_code("alice", LOOK).splitlines() == [
        "/opt/mlabhub/bin/python3",
        f"alice alice {uid}",
        "/mnt/user/alice True",
    ]
    assert (home / "seen").read_text() == "from a foreign image"
    assert (home / "seen").stat().st_uid == uid != 0


FORWARD = """
import asyncio, sys
async def pump(reader, writer):
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()
async def serve(reader, writer):
    there = await asyncio.open_connection(sys.argv[1], int(sys.argv[2]))
    await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))
async def main():
    await (await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[2]))).serve_forever()
asyncio.run(main())
"""
"""On a node: its own address leads to a registry here. To no other address nodes speak plain HTTP."""


def make_door(namespace: str, node: str, host: str) -> dict[str, Any]:
    """Return a pod that leads a node's own address to a registry of this machine."""
    pod = make_pod(f"door-{node}", namespace, node, hostNetwork=True)
    pod["spec"]["containers"][0]["command"] = ["python3", "-c", FORWARD, *host.split(":")]
    return pod


def make_secret(namespace: str, registry: str, password: str) -> dict[str, Any]:
    """Return a pull secret as `kubectl create secret docker-registry` makes it."""
    auths = {"auths": {registry: {"username": "alice", "password": password}}}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "lab", "namespace": namespace},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": json.dumps(auths)},
    }


def test_nodes_pull_with_the_sites_secret(program: Program, nas: Path, tmp_path: Path) -> None:
    """What is in the site's registry counts as ours and starts by its own entry, so its last words say that it came."""
    address, doors = asyncio.run(find_address()), make_name("doors")
    with running_registry(tmp_path, account=("alice", "right"), address=address) as registry:
        here = f"127.0.0.1:{registry.host.rpartition(':')[2]}"
        program.run("push", "--tls-verify=false", "--creds=alice:right", FOREIGN, f"docker://{registry.host}/lab/own:1")
        try:
            kubectl("create", "namespace", doors)
            create(*(make_door(doors, node, registry.host) for node in nodes()))
            with running_site(nas, tmp_path, registry=f"{here}/lab", pull_secrets=["lab"]) as site:
                for password, words in (("wrong", "refused to hand out"), ("right", "the image started itself")):
                    create(make_secret(site.namespace, here, password))
                    launch(site, "alice", profile="small", image="own")
                    assert words in failure(follow(site, "alice"))
                    site.wait_clean()
                    kubectl("delete", "secret", "lab", "-n", site.namespace)
        finally:
            remove_namespace(doors)


async def find_address() -> str:
    """Return this machine's address for the nodes."""
    api = await connect(Path(os.environ["KUBECONFIG"]), "")
    try:
        found = reach.find_own_address(await reach.list_nodes(api))
    finally:
        await api.close()
    assert found
    return found
