"""The backend as the service sees it, on a real Podman."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator

import pytest

from mlabhub.engine import EngineApi, labels
from mlabhub.inventory import BackendServer, BackendUnreachable, make_backend
from mlabhub.inventory.container import ContainerBackend
from tests.engine.podman import Playground
from tests.inventory.standin import GIB, Standin, whole

pytestmark = pytest.mark.engine


@pytest.fixture
async def backend(ground: Playground) -> AsyncIterator[ContainerBackend]:
    made = make_backend(ground.settings)
    assert isinstance(made, ContainerBackend)
    yield made
    await made.close()


async def start(ground: Playground, api: EngineApi, name: str, script: str = "sleep 100") -> str:
    """Start a container and return its id."""
    spec = ground.spec(name, script)
    image = await api.image(ground.image)
    assert image is not None
    spec.labels[labels.PARENT] = image.id
    spec.labels[labels.GPUS] = "GPU-1,GPU-2"
    container = await api.create(spec)
    await api.start(container)
    return container


async def test_servers_in_every_state_are_seen(ground: Playground, api: EngineApi, backend: ContainerBackend) -> None:
    running = await start(ground, api, "alice")
    exited = await start(ground, api, "bob", "exit 3")
    created = await api.create(ground.spec("carol"))
    await api.create(ground.spec("stranger", labels={labels.INSTANCE: "another", labels.LAUNCH_ID: "x"}))
    await asyncio.to_thread(ground.podman, "wait", exited)
    servers = {server.user: server for server in await backend.servers()}
    await api.remove(labels.container_name(ground.instance, "stranger"))
    assert {user: (server.handle, server.state) for user, server in servers.items()} == {
        "alice": (running, "running"),
        "bob": (exited, "exited"),
        "carol": (created, "starting"),
    }
    assert servers["alice"].launch_id == "launch-alice"
    assert servers["alice"].gpus == ("GPU-1", "GPU-2")
    assert servers["alice"].started is not None
    assert abs(servers["alice"].started - time.time()) < 60


async def test_removing_keeps_what_was_installed(ground: Playground, api: EngineApi, backend: ContainerBackend) -> None:
    await start(ground, api, "alice", "echo x > /opt/venv/package; sleep 100")
    [server] = await backend.servers()
    await asyncio.gather(*(backend.remove(server) for _ in range(3)))
    assert await backend.servers() == ()
    [saved] = await backend.saved("alice")
    assert (saved.user, saved.server_name, saved.image, saved.newer_image) == ("alice", "", "tiny", False)
    await backend.reset("alice", "")
    assert await backend.saved("alice") == ()


async def test_a_newer_image_is_told(ground: Playground, api: EngineApi, backend: ContainerBackend) -> None:
    container = await start(ground, api, "alice", "echo x > /opt/venv/package; sleep 100")
    [server] = await backend.servers()
    await backend.remove(server)
    other = await api.create(ground.spec("builder", "true"))
    await api.commit(other, ground.image.removesuffix(":latest"), "latest", [])
    [saved] = await backend.saved("alice")
    assert saved.newer_image
    assert await backend.saved("bob") == ()
    await backend.reset("alice", "")
    assert container


async def test_processes_in_containers_are_their_servers(
    ground: Playground, api: EngineApi, backend: ContainerBackend, machine: Standin
) -> None:
    container = await start(ground, api, "alice")
    inspected = await asyncio.to_thread(ground.podman, "inspect", "--format", "{{.State.Pid}}", container)
    own = {"compute": f"{inspected}:{GIB}"}
    machine.write(whole(0, uuid="GPU-1", **own), whole(1, uuid="GPU-2"), whole(2, uuid="GPU-3", **own))
    [node] = (await backend.capacity()).nodes
    assert [gpu.busy for gpu in node.gpus] == [False, False, True], "it holds the first two"
    await asyncio.to_thread(ground.podman, "stop", "-t", "0", container)
    machine.write(whole(0, uuid="GPU-1", compute=f"{os.getpid()}:{GIB}"))
    [node] = (await backend.capacity()).nodes
    assert node.gpus[0].busy


async def test_without_the_engine_used_gpus_are_not_known_to_be_free(ground: Playground, machine: Standin) -> None:
    machine.write(whole(0, compute=f"{os.getpid()}:{GIB}"), whole(1))
    backend = ContainerBackend(ground.settings.model_copy(update={"engine_url": "unix:///nowhere/podman.sock"}))
    [node] = (await backend.capacity()).nodes
    assert [gpu.busy for gpu in node.gpus] == [None, False]
    await backend.close()


async def test_an_engine_that_is_away_is_no_empty_answer(ground: Playground) -> None:
    nowhere = ground.settings.model_copy(update={"engine_url": "unix:///nowhere/podman.sock"})
    backend = ContainerBackend(nowhere)
    server = BackendServer("x", "alice", "", "running", None, (), "0" * 64)
    for question in (backend.servers(), backend.saved("alice"), backend.remove(server), backend.reset("alice", "")):
        with pytest.raises(BackendUnreachable, match="does not answer"):
            await question
    await backend.close()
