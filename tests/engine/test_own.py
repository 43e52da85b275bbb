"""Images that people saved by name, and images from a registry, on a real Podman."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from mlabhub.core.names import user_slug
from mlabhub.engine import Engine, EngineApi, EngineError, labels, make_api, pulling
from mlabhub.engine.own import OwnImages
from mlabhub.engine.podman_service import podman_service_command
from mlabhub.engine.pulling import PullProgress
from mlabhub.engine.saved import SavedLayers
from mlabhub.errors import InvalidLaunch, LaunchRefused, NotFound
from tests.engine.podman import Playground, make_settings, wait_for_socket
from tests.engine.registry import Registry, serve

pytestmark = pytest.mark.engine


@pytest.fixture
async def own(ground: Playground, api: EngineApi) -> AsyncIterator[OwnImages]:
    made = OwnImages(api, ground.instance, SavedLayers(api, ground.instance), most=2)
    yield made
    for user in ("alice", "Bob@x"):
        for one in await made.of_user(user):
            await made.remove(user, one.name)
    await SavedLayers(api, ground.instance).reset("alice", "")


async def run(ground: Playground, api: EngineApi, script: str, *, stopped: bool = False, **more: object) -> str:
    """Start alice's server, and wait for its script's end if it is to stop."""
    container = await api.create(ground.spec("alice", script, **more))
    await api.start(container)
    if stopped:
        ground.podman("wait", container)
    else:
        await asyncio.sleep(0.5)
    return container


async def test_a_running_server_is_saved_and_goes_on(ground: Playground, api: EngineApi, own: OwnImages) -> None:
    container = await run(
        ground,
        api,
        "echo installed >/opt/venv/package; sleep 100",
        environment={"JUPYTERHUB_API_TOKEN": "secret-of-a-launch"},
    )
    made = await own.save("alice", "", "mine", "with my package")
    assert (made.name, made.of_image, made.description, made.root) == ("mine", "tiny", "with my package", False)
    found = await api.container(container)
    assert found is not None
    assert found.running
    assert "secret-of-a-launch" not in ground.podman("image", "inspect", made.reference)
    assert ground.podman("run", "--rm", made.reference, "cat", "/opt/venv/package") == "installed"
    assert [one.name for one in await own.of_user("alice")] == ["mine"]
    assert await own.of_user("Bob@x") == ()
    assert await own.find("Bob@x", "mine") is None
    await own.remove("alice", "mine")
    assert await own.find("alice", "mine") is None
    assert (await api.container(container)) is not None, "deleting an image ends no server"


async def test_what_a_stopped_server_kept_is_saved(ground: Playground, api: EngineApi, own: OwnImages) -> None:
    saved = SavedLayers(api, ground.instance)
    container = await run(ground, api, "echo kept >/opt/venv/package", stopped=True)
    found = await api.container(container)
    assert found is not None
    assert await saved.carry_over(found, "alice")
    made = await own.save("alice", "", "mine")
    assert ground.podman("run", "--rm", made.reference, "cat", "/opt/venv/package") == "kept"
    await saved.reset("alice", "")
    assert ground.podman("run", "--rm", made.reference, "cat", "/opt/venv/package") == "kept"
    assert await saved.of_user("alice") == ()


async def test_what_cannot_be_saved_is_a_sentence(ground: Playground, api: EngineApi, own: OwnImages) -> None:
    with pytest.raises(NotFound, match="Nothing was installed"):
        await own.save("alice", "", "mine")
    for name in ("", "Mine", "a/b", "a:b", "../x", "a--b", "x" * 41, "latest\n"):
        with pytest.raises(InvalidLaunch, match="cannot be an image's name"):
            await own.save("alice", "", name)
    with pytest.raises(InvalidLaunch, match="one line"):
        await own.save("alice", "", "mine", "two\nlines")
    await run(ground, api, "sleep 100")
    both = await asyncio.gather(own.save("alice", "", "one"), own.save("alice", "", "two"), return_exceptions=True)
    assert sum(isinstance(one, LaunchRefused) for one in both) == 1, both
    name = (await own.of_user("alice"))[0].name
    with pytest.raises(LaunchRefused, match="have an image"):
        await own.save("alice", "", name)
    await own.save("alice", "", "other")
    with pytest.raises(LaunchRefused, match="as many as there may be"):
        await own.save("alice", "", "third")
    with pytest.raises(NotFound):
        await own.remove("alice", "third")


async def test_a_running_server_with_root_is_stopped_first(ground: Playground, api: EngineApi, own: OwnImages) -> None:
    spec = ground.spec("alice", "sleep 100")
    await run(ground, api, "sleep 100", labels={**spec.labels, labels.ROOT: "1"})
    with pytest.raises(LaunchRefused, match="when it is stopped"):
        await own.save("alice", "", "mine")


async def test_an_image_with_our_labels_is_nobodys(ground: Playground, api: EngineApi, own: OwnImages) -> None:
    forged = f"localhost/mlabhub-test-{ground.instance}/forged:mine"
    told = {labels.INSTANCE: ground.instance, labels.USER: "alice", labels.PARENT: "x", labels.OWN: "1"}
    lines = [f"LABEL {name}={value}" for name, value in told.items()]
    await api.copy_image(ground.image, forged.rpartition(":")[0], "mine", lines)
    try:
        assert await own.of_user("alice") == ()
        saved = SavedLayers(api, ground.instance)
        assert await saved.of_user("alice") == ()
        await saved.reset("alice", "")
        assert await api.image(forged) is not None
    finally:
        await api.remove_image(forged)


@pytest.fixture(scope="module")
def registry(ground: Playground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    folder = tmp_path_factory.mktemp("registry") / "image"
    ground.podman("save", "--format", "oci-dir", "--output", str(folder), ground.image)
    with serve(Registry(folder)) as made:
        yield made


@pytest.fixture
async def puller(ground: Playground, registry: Registry, tmp_path: Path) -> AsyncIterator[EngineApi]:
    """A Podman that trusts the registry without TLS, over the same images."""
    registry.mode = "ok"
    trusted = tmp_path / "registries.conf"
    trusted.write_text(f'[[registry]]\nlocation = "{registry.host}"\ninsecure = true\n')
    settings = make_settings(tmp_path / "other", ground.instance)
    argv, more = podman_service_command(settings)
    environment = {**os.environ, **more, "CONTAINERS_REGISTRIES_CONF": str(trusted)}
    service = subprocess.Popen(argv, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL)  # noqa: ASYNC220
    client = make_api(Engine("podman", settings.engine_url or "", False, "test"))
    try:
        wait_for_socket(settings.run_dir / "podman.sock")
        yield client
    finally:
        await client.remove_image(f"{registry.host}/lab/tiny:1")
        await client.close()
        service.terminate()
        service.wait(20)


async def fetch(api: EngineApi, reference: str) -> list[float | None]:
    progress = PullProgress()
    return [progress.add(line)[0] async for line in api.pull(reference)]


async def test_an_image_is_fetched_from_its_registry(puller: EngineApi, registry: Registry) -> None:
    reference = f"{registry.host}/lab/tiny:1"
    assert await puller.image(reference) is None
    await fetch(puller, reference)
    assert await puller.image(reference) is not None


@pytest.mark.parametrize(
    ("mode", "repository", "words"),
    [("ok", "nothing/here", "could not be fetched"), ("half", "lab/tiny", "could not be fetched")],
)
async def test_a_registry_that_does_not_give_it_is_a_sentence(
    puller: EngineApi, registry: Registry, mode: str, repository: str, words: str
) -> None:
    registry.mode = mode
    with pytest.raises(EngineError, match=words) as caught:
        await fetch(puller, f"{registry.host}/{repository}:2")
    assert "\n" not in str(caught.value)


async def test_a_registry_that_hangs_is_given_up(
    puller: EngineApi, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.mode = "hang"
    monkeypatch.setattr(pulling, "SILENT_SECONDS", 2.0)
    with pytest.raises(EngineError, match="nothing came for 2 seconds"):
        await fetch(puller, f"{registry.host}/lab/tiny:3")
    assert isinstance(puller._http, httpx.AsyncClient)


def test_users_repositories_are_apart() -> None:
    names = {labels.own_repository("i", user_slug(user)) for user in ("a-b", "a_b", "A-b", "a.b")}
    assert len(names) == 4
