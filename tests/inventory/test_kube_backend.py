"""A cluster's servers and what is free, through the API; and that nothing is told which is not known."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlabhub.errors import NotFound
from mlabhub.inventory import BackendServer, BackendUnreachable, make_backend
from mlabhub.inventory.kube import backend as module
from mlabhub.inventory.kube.backend import KubeBackend
from mlabhub.inventory.kube.records import read_node, read_pod
from mlabhub.inventory.kube.servers import make_server
from tests.kube_api import KubeApi, make_kube_settings, make_node, make_pod, make_server_pod, serve_api

NODES = {"n1": read_node(make_node("n1")), "gone": read_node(make_node("gone", ready="Unknown", reason="Silent"))}
DELETED = {"deletionTimestamp": "2026-01-01T00:01:00Z"}


@pytest.fixture
async def api() -> AsyncIterator[KubeApi]:
    async with serve_api() as made:
        await made.put("nodes", make_node("n1", gpus=4), make_node("n2", gpus=4, product="Tesla-T4"))
        yield made


@pytest.fixture
async def backend(api: KubeApi, tmp_path: Path) -> AsyncIterator[KubeBackend]:
    made = make_backend(make_kube_settings(tmp_path, api))
    assert isinstance(made, KubeBackend)
    yield made
    await made.close()


async def until(true: Callable[[], Any], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not await true():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("about", "state", "lost"),
    [
        ({}, "running", False),
        ({"phase": "Pending"}, "starting", False),
        ({"phase": "Pending", "node": ""}, "starting", False),
        ({"phase": "Succeeded"}, "exited", False),
        ({"phase": "Failed"}, "exited", False),
        (DELETED, "exited", False),
        ({"node": "gone"}, "running", True),
        ({"node": "gone", **DELETED}, "running", True),
        ({"node": "gone", "phase": "Pending"}, "running", True),
        ({"node": "gone", "phase": "Failed"}, "exited", False),
        ({"node": "never heard of"}, "running", True),
    ],
)
def test_states(about: dict[str, Any], state: str, lost: bool) -> None:
    server = make_server(read_pod(make_server_pod("alice", "x", **about)), NODES)
    assert (server.state, server.lost is not None) == (state, lost)
    assert (server.user, server.server_name, server.cpu, server.memory_gib) == ("alice", "x", 2, 8)


def test_a_lost_server_says_why() -> None:
    server = make_server(read_pod(make_server_pod("alice", node="gone")), NODES)
    assert str(server.lost) == (
        "Its node gone has a problem, so nobody knows whether it still runs there. "
        "It does not answer any more (Silent)."
    )


def test_on_another_node_it_has_that_nodes_slots() -> None:
    pod = make_server_pod("alice", node="n2", gpus=2, slots="n1/nvidia.com/gpu/2,n1/nvidia.com/gpu/3")
    server = make_server(read_pod(pod), {})
    assert (server.node, server.gpus) == ("n2", ("n2/nvidia.com/gpu/2", "n2/nvidia.com/gpu/3"))


async def test_what_there_is(api: KubeApi, backend: KubeBackend) -> None:
    first = await backend.capacity()
    assert first.gpu_types == ("a100", "t4")
    assert await backend.capacity() is first
    await api.put("pods", make_pod("a", "n2", requests={"nvidia.com/gpu": "3"}, namespace="ml-batch"))

    async def taken() -> bool:
        return (await backend.capacity()).nodes[1].gpus_taken == {"t4": 3}

    await until(taken)
    await api.put("nodes", make_node("n1", gpus=4, cordoned=True))

    async def closed() -> bool:
        return [node.schedulable for node in (await backend.capacity()).nodes] == [False, True]

    await until(closed)


async def test_which_servers_there_are(api: KubeApi, backend: KubeBackend) -> None:
    await api.put(
        "pods",
        make_server_pod("alice", gpus=1),
        make_server_pod("Ümit Öz", "x", node="n2", launch_id="L2"),
        make_server_pod("alice", "elsewhere", namespace="others"),
        make_server_pod("alice", "not", instance="ffffffff"),
        make_server_pod("alice", "forged", name="mlabhub-0123abcd-bob"),
        make_server_pod("alice", "part", part="folders"),
    )
    servers = {one.user: one for one in await backend.servers()}
    assert servers == {
        "alice": BackendServer(
            launch_id="01HZZZZZZZZZZZZZZZZZZZZZZZ",
            user="alice",
            server_name="",
            state="running",
            started=1767225600.0,
            gpus=("n1/nvidia.com/gpu/0",),
            handle="pod-mlabhub-mlabhub-0123abcd-alice",
            node="n1",
            cpu=2.0,
            memory_gib=8.0,
            pod="mlabhub-0123abcd-alice",
            namespace="mlabhub",
        ),
        "Ümit Öz": replace(
            servers["Ümit Öz"], launch_id="L2", server_name="x", state="running", gpus=(), node="n2", lost=None
        ),
    }


async def test_a_server_that_was_made_this_moment_is_seen(api: KubeApi, backend: KubeBackend) -> None:
    await backend.capacity()
    api.speaks.clear()
    await api.put("pods", make_server_pod("alice"))
    assert [one.user for one in await backend.servers()] == ["alice"], "a watch that stalls hides nothing"
    api.speaks.set()


async def test_a_lost_server_is_known_by_its_launch(api: KubeApi, backend: KubeBackend) -> None:
    await api.put("nodes", make_node("n2", ready="Unknown"))
    await api.put("pods", make_server_pod("alice", launch_id="L1"), make_server_pod("bob", node="n2", launch_id="L2"))
    await api.put("pods", make_server_pod("carol", node="n2", launch_id="L3", name="forged"))
    assert await backend.lost("L1") is None
    assert await backend.lost("L2") is not None
    assert await backend.lost("L3") is None
    assert await backend.lost("L4") is None


async def test_removing(api: KubeApi, backend: KubeBackend) -> None:
    await api.put("pods", make_server_pod("alice"))
    (server,) = await backend.servers()
    await backend.remove(server)
    assert await backend.servers() == ()
    await backend.remove(server)


async def test_another_pod_of_that_name_is_not_removed(api: KubeApi, backend: KubeBackend) -> None:
    await api.put("pods", make_server_pod("alice"))
    (server,) = await backend.servers()
    await backend.remove(replace(server, handle="an older one"))
    assert len(await backend.servers()) == 1


async def test_a_pod_that_does_not_go_is_not_gone(
    api: KubeApi, backend: KubeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REMOVE_S", 0.3)
    await api.put("pods", make_server_pod("alice"))
    api.deletes = False
    (server,) = await backend.servers()
    with pytest.raises(BackendUnreachable, match="is still there"):
        await backend.remove(server)


async def test_what_is_not_known_is_not_told(
    api: KubeApi, backend: KubeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.put("pods", make_server_pod("alice"))
    assert len((await backend.capacity()).nodes) == 2
    (server,) = await backend.servers()
    await api.stop()
    for question in (backend.servers(), backend.remove(server)):
        with pytest.raises(BackendUnreachable, match="does not answer"):
            await question
    monkeypatch.setattr(module, "STALE_S", 0.1)
    await asyncio.sleep(0.2)
    for question in (backend.capacity(), backend.lost("L1"), backend.servers()):
        with pytest.raises(BackendUnreachable, match=r"has not answered for \d+ s"):
            await question
    await api.start()
    monkeypatch.undo()

    async def back() -> bool:
        return len((await backend.capacity()).nodes) == 2

    await until(back)


async def test_a_cluster_that_is_not_there_from_the_start(tmp_path: Path) -> None:
    api = KubeApi()
    backend = KubeBackend(make_kube_settings(tmp_path, api))
    try:
        for question in (backend.capacity(), backend.servers()):
            with pytest.raises(BackendUnreachable, match="does not answer"):
                await question
        await api.start()
        await api.put("nodes", make_node("n1"))

        async def there() -> bool:
            try:
                return len((await backend.capacity()).nodes) == 1
            except BackendUnreachable:
                return False

        await until(there, 10)
    finally:
        await backend.close()
        await api.stop()


async def test_a_cluster_that_forbids_to_look(api: KubeApi, backend: KubeBackend) -> None:
    api.refuse = 403
    with pytest.raises(BackendUnreachable, match="does not let the hub look at its nodes and pods: no"):
        await backend.capacity()


async def test_nothing_is_saved_on_a_cluster(backend: KubeBackend) -> None:
    assert await backend.saved("alice") == ()
    await backend.reset("alice", "")
    assert backend.images is None


async def test_a_log_is_that_of_our_own_pod_alone(api: KubeApi, backend: KubeBackend) -> None:
    async def log(user: str, *, follow: bool = False) -> bytes:
        return b"".join([piece async for piece in backend.log(user, "", follow=follow)])

    api.log = b"It listens.\n"
    starting = make_server_pod("bob", phase="Pending")
    stranger = make_server_pod("carol", part="stranger")
    await api.put("pods", make_server_pod("alice"), starting, stranger)
    assert await log("alice") == b"It listens.\n"
    asked = [call for call in api.calls if "get log" in call]  # watches go on beside it
    assert asked == [f"get log tailLines={module.LOG_LINES}&limitBytes={module.LOG_BYTES}"]
    assert await log("alice", follow=True) == b"It listens.\nthe end\n"
    for user in ("bob", "carol", "dave"):
        with pytest.raises(NotFound, match="no log"):
            await log(user)
    await api.stop()
    with pytest.raises(BackendUnreachable):
        await log("alice")
