"""Real containers of the base image, as a launch makes them: the mirrors are used by the setting alone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from mlabhub.core.identity import Identity
from mlabhub.core.plan import LaunchPlan
from mlabhub.engine import Engine, EngineApi, labels, make_api
from mlabhub.engine.podman_service import podman_service_command
from mlabhub.engine.saved import SavedLayers, worth_keeping
from mlabhub.images import build_images
from mlabhub.images.program import find_program
from mlabhub.site import read_site_file
from mlabhub.site.inside import CA_INSIDE, save_site
from mlabhub.spawners.plan_to_container import Surroundings, make_container
from mlabhub.spawners.site_parts import SiteParts
from mlabhub.supervisor.tls import write_authorities
from tests.engine.podman import Playground, make_settings, wait_for_socket
from tests.site.mirrors import Site

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="module")]
BASE = "localhost/mlabhub/base:latest"
GATEWAY = "10.88.0.1"
REFERENCE = "docker.io/library/site-hello:1"


def make_plan(*, sudo: bool) -> LaunchPlan:
    return LaunchPlan(
        launch_id="01ARZ3NDEKTSV4RRFFQ69G5FAV", user="alice", server_name="sudo" if sudo else "", display_name="",
        profile="cpu", image="base", image_reference=BASE, group="", cpu=2, memory_gib=1, shm_gib=0.1, pids=500,
        gpu_type=None, gpus=(), mounts=(), identity=Identity("alice", 12345, 12345, ()), sudo=sudo, node="n1",
        environment={
            "MLABHUB_USER": "alice", "MLABHUB_UID": "12345", "MLABHUB_GID": "12345", "MLABHUB_GROUPS": "",
            "MLABHUB_HOME": "/tmp", "MLABHUB_SUDO": "1" if sudo else "0",
        },
    )  # fmt: skip


class Inside:
    """A person's running container."""

    def __init__(self, ground: Playground, name: str):
        self.ground, self.name = ground, name

    def run(self, script: str) -> str:
        """Run a shell script as the person, in the group that may install, with the server's environment."""
        done = subprocess.run(
            ["podman", "exec", "--user", "12345:65020", self.name, "bash", "-c", f"set -eu; cd /tmp; {script}"],
            env=self.ground.environment, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(ground: Playground, made: Site) -> AsyncIterator[EngineApi]:
    """The engine, and the site's settings as `mlabhub up` leaves them."""
    build_images(["base"], no_cache=False, report=lambda _: None)
    file = made.folder / "site.conf"
    file.write_text(made.text(GATEWAY))
    found, settings = read_site_file(file), ground.settings
    save_site(found, settings.run_dir, CA_INSIDE)
    write_authorities(None, found.site.ca_file, settings.ca_file)
    client = make_api(ground.engine)
    yield client
    for container in await client.containers({labels.INSTANCE: ground.instance}):
        await client.remove(container.id)
    await client.close()


async def start(engine: EngineApi, ground: Playground, *, sudo: bool) -> Inside:
    """Start a container as the spawner does."""
    plan, parts = make_plan(sudo=sudo), SiteParts(ground.settings, engine)
    around = Surroundings(
        instance=ground.instance, image=BASE, parent="", layers=0, root_once=False, network="podman", gateway=GATEWAY,
        port=8000, tls_name="", ca_file=str(ground.settings.ca_file), open_files=1024, processes=4096, sources={},
        user_namespace=True, site_environment=parts.environment(GATEWAY),
        site_places=await parts.places(BASE, root=sudo),
    )  # fmt: skip
    spec = make_container(plan, around, command=("sleep", "300"), hub_environment={})
    spec = replace(spec, command=("sleep", "300"), stop_seconds=0)
    await engine.start(await engine.create(spec))
    return Inside(ground, spec.name)


async def test_people_without_root(engine: EngineApi, ground: Playground, lab: Site) -> None:
    inside = await start(engine, ground, sudo=False)
    inside.run("pip install --no-cache-dir -q site-hello; python -c 'import site_hello'")
    inside.run("git clone -q https://github.com/site-hello.git; grep -q hello site-hello/hello")
    inside.run("curl -fsS https://conda.test/anaconda/pkgs/main/noarch/repodata.json")
    inside.run("python -c \"import urllib.request as u; u.urlopen('https://npm.test/site-hello').read()\"")
    assert set(lab.asked) == {"pypi.test", "git.test", "conda.test", "npm.test"}
    lab.asked.clear()
    inside.run(f"curl -s -m 2 http://{GATEWAY}:9/ || true; curl -s -m 2 http://localhost:9/ || true")
    assert lab.asked == []
    assert "https://own/" in inside.run(
        "mkdir -p .config/pip; printf '[global]\\nindex-url=https://own/\\n' >.config/pip/pip.conf; "
        "HOME=/tmp pip config get global.index-url"
    )
    assert inside.run("echo x >/run/mlabhub/site/gitconfig || echo refused").count("refused") == 1
    assert "registry=https://npm.test/" in inside.run("cat $NPM_CONFIG_GLOBALCONFIG")
    await engine.stop(inside.name, 0)
    changes = [(kind, path) for kind, path in await engine.changes(inside.name) if not path.startswith("/opt")]
    assert not worth_keeping(changes), changes


async def test_root_inside_and_nothing_of_it_is_saved(engine: EngineApi, ground: Playground, lab: Site) -> None:
    inside = await start(engine, ground, sudo=True)
    inside.run("sudo apt-get -q update && sudo apt-get -q -y install site-hello && grep -q hello /opt/site-hello")
    assert set(lab.asked) == {"deb.test"}
    inside.run("sudo /opt/venv/bin/pip install --no-cache-dir -q --root-user-action=ignore site-hello")
    inside.run("sudo curl -fsS https://conda.test/anaconda/pkgs/main/noarch/repodata.json")
    await engine.stop(inside.name, 0)
    found = await engine.container(inside.name)
    assert found is not None
    saved = SavedLayers(engine, ground.instance)
    assert await saved.carry_over(found, "alice--sudo")
    [image] = await saved.of_user("alice")
    config = await engine.image(image.reference)
    assert config is not None
    assert not any("test" in entry or "sesame" in entry for entry in config.config["Env"])
    kept = await engine.image_files(image.reference, ("/etc/apt", "/etc/xdg/pip", "/etc/conda", "/var/lib/mlabhub"))
    assert kept["/etc/apt/apt.conf.d/00mlabhub-site"] == b""
    assert kept["/etc/xdg/pip/pip.conf"] == b""
    assert not any(b".test" in content or b"sesame" in content for content in kept.values())
    before = await engine.image_files(BASE, ("/etc/apt",))
    assert {path: content for path, content in kept.items() if path in before} == before


async def test_images_are_pulled_from_the_mirror(
    ground: Playground, lab: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site.conf").write_text(lab.text())
    monkeypatch.setenv("MLABHUB_SITE", str(tmp_path / "site.conf"))
    program = find_program(tmp_path)
    try:
        program.run("pull", REFERENCE)
        assert program.labels(REFERENCE) == {"hello": "from the mirror"}
    finally:
        program.ask("rmi", REFERENCE)
    assert set(lab.asked) == {"registry.test"}


@pytest.fixture
def own_service(lab: Site, tmp_path: Path) -> Iterator[Engine]:
    """Podman's service as `mlabhub up` starts it with the site's settings."""
    (tmp_path / "site.conf").write_text(lab.text())
    settings = make_settings(tmp_path, "0123abcd")
    settings.run_dir.mkdir(mode=0o700)
    found = read_site_file(tmp_path / "site.conf")
    save_site(found, settings.run_dir, CA_INSIDE)
    write_authorities(None, found.site.ca_file, settings.ca_file)
    argv, more = podman_service_command(settings)
    with subprocess.Popen(argv, env={**os.environ, **more}, cwd=tmp_path, stderr=subprocess.DEVNULL) as service:
        wait_for_socket(settings.run_dir / "podman.sock")
        yield Engine("podman", str(settings.engine_url), False, "test")
        service.terminate()


async def test_the_hubs_own_engine_pulls_from_the_mirror(lab: Site, own_service: Engine) -> None:
    client = make_api(own_service)
    told = [line async for line in client.pull(REFERENCE)]
    image = await client.image(REFERENCE)
    assert image is not None, told
    assert image.labels == {"hello": "from the mirror"}
    await client.remove_image(REFERENCE)
    await client.close()
    assert set(lab.asked) == {"registry.test"}


async def test_an_image_is_looked_into_without_running_it(engine: EngineApi, ground: Playground) -> None:
    files = await engine.image_files(ground.image, ("/etc/passwd", "/nowhere", "/usr/lib/os-release"))
    assert files == {"/etc/passwd": b"root:x:0:0:root:/root:/bin/sh\n"}
    before = ground.podman("ps", "-aq").split()
    name = ground.podman("run", "-d", ground.image, "sh", "-c", "dd if=/dev/zero of=/opt/huge bs=1M count=2 2>&1")
    ground.podman("wait", name)
    reference = f"localhost/mlabhub-test-{ground.instance}/huge:latest"
    ground.podman("commit", name, reference)
    assert "/opt/jupyter.py" in await engine.image_files(ground.image, ("/opt",))
    assert await engine.image_files(reference, ("/opt",)) == {}, "too large to be read"
    ground.podman("rm", "-f", name)
    ground.podman("rmi", reference)
    assert set(ground.podman("ps", "-aq").split()) <= set(before)
