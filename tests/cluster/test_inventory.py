"""What a real cluster has: pods of others, cordons, taints, nodes that go away; an API server that stalls or forgets.

The nodes that are tainted, cordoned and lost are made up, so that nobody else's pods are ever disturbed: a Node that no
kubelet serves is one whose kubelet has died, for the rest of the cluster.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlabhub.cluster import labels
from mlabhub.cluster.client import make_api_client
from mlabhub.core.capacity import Node
from mlabhub.core.kubernetes import KubernetesSpec
from mlabhub.core.names import server_slug
from mlabhub.inventory import BackendUnreachable
from mlabhub.inventory.kube.backend import KubeBackend
from mlabhub.inventory.kube.reflector import Reflector
from mlabhub.settings import Settings
from tests.cluster.kubectl import create, get, kubectl
from tests.cluster.link import Link
from tests.cluster.site import make_name

pytestmark = [
    pytest.mark.timeout(300),
    # asyncio leaves TLS connections that the other side has cut to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
INSTANCE = "0b0b0b0b"
ALONE = {"key": "mlabhub-test", "value": "yes", "effect": "NoSchedule"}
SPEC = KubernetesSpec.model_validate({"profiles": {"alone": {"tolerations": [ALONE]}}})
SOON, LOST_S, RECOVERY_S = 20, 120, 60
LEASES = "/apis/coordination.k8s.io/v1/leases"
"""What changes every few seconds on any cluster, so that its old versions are forgotten soon."""


@dataclass
class Place:
    backend: KubeBackend
    namespace: str
    link: Link
    settings: Settings

    async def node(self, name: str) -> Node:
        """Return a node as it is seen now."""
        return next(node for node in (await self.backend.capacity()).nodes if node.name == name)

    async def until(self, true: Callable[[], Awaitable[Any]], seconds: float = SOON) -> None:
        """Wait for something."""
        end = time.monotonic() + seconds
        while not await true():
            assert time.monotonic() < end, await self.backend.capacity()
            await asyncio.sleep(0.2)


@pytest.fixture
def link(kubeconfig: str) -> Iterator[Link]:
    made = Link()
    yield made
    made.close()


@pytest.fixture
async def place(namespace: str, link: Link, tmp_path: Path) -> AsyncIterator[Place]:
    settings = Settings(
        instance=INSTANCE,
        state_dir=tmp_path,
        config_dir=tmp_path,
        backend="kube",
        public_url="http://127.0.0.1/",
        hub_port=1,
        proxy_api_port=2,
        service_port=3,
        kubeconfig=link.write_kubeconfig(tmp_path),
        namespace=namespace,
    )
    backend = KubeBackend(settings, lambda: SPEC)
    yield Place(backend, namespace, link, settings)
    await backend.close()
    await asyncio.sleep(0.3)  # TLS connections take a moment to close


@pytest.fixture
def made_up(kubeconfig: str) -> Iterator[str]:
    """Return a node that no kubelet serves, with 4 GPUs; for pods that tolerate its taint."""
    name = make_name("node")
    marks = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3", "kubernetes.io/hostname": name}
    create(
        {"kind": "Node", "apiVersion": "v1", "metadata": {"name": name, "labels": marks}, "spec": {"taints": [ALONE]}}
    )
    amounts = {"cpu": "8", "memory": "64Gi", "pods": "10", "nvidia.com/gpu": "4"}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now()}
    status = {"allocatable": amounts, "capacity": amounts, "conditions": [{**ready, "lastTransitionTime": now()}]}
    kubectl("patch", "node", name, "--subresource=status", "-p", json.dumps({"status": status}))
    yield name
    kubectl("delete", "node", name, "--ignore-not-found", "--wait=false")


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def make_pod(name: str, namespace: str, gpus: int, node: str, **metadata: Any) -> dict[str, Any]:
    """Return a pod that is bound to a node and never gets its image, which holds what it asks for all the same."""
    wanted = {"cpu": "100m", "memory": "64Mi", "nvidia.com/gpu": str(gpus)}
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "main",
        "image": "registry.invalid/none:1",
        "imagePullPolicy": "Never",
        "resources": {"requests": wanted, "limits": wanted},
        "securityContext": security,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": {
            "nodeName": node,
            "containers": [container],
            "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "tolerations": [{"operator": "Exists", "effect": "NoSchedule"}],
        },
    }


def make_server(user: str, place: Place, gpus: int, node: str, launch_id: str = "L1", name: str = "") -> dict[str, Any]:
    """Return a pod as our spawner marks it."""
    marks = {labels.INSTANCE: INSTANCE, labels.PART: labels.PART_SERVER, labels.LAUNCH: launch_id}
    slots = ",".join(f"{node}/nvidia.com/gpu/{number}" for number in range(gpus))
    notes = {labels.LAUNCH_ID: launch_id, labels.USER: user, labels.SERVER: "", labels.GPUS: slots}
    name = name or labels.object_name(INSTANCE, server_slug(user, ""))
    return make_pod(name, place.namespace, gpus, node, labels=marks, annotations=notes)


def words(node: Node) -> str:
    return " ".join(map(str, node.notes))


async def test_what_there_is(place: Place, two_nodes: dict[str, str]) -> None:
    for gpu_type, name in two_nodes.items():
        node = await place.node(name)
        assert (node.schedulable, node.notes, node.counted) == (True, (), True)
        assert {gpu.type for gpu in node.gpus} == {gpu_type}
    allocatable = {node["metadata"]["name"]: node["status"]["allocatable"] for node in get("nodes")}
    for node in (await place.backend.capacity()).nodes:
        assert len(node.gpus) == int(allocatable[node.name].get("nvidia.com/gpu", "0"))
        assert node.memory_gib <= int(allocatable[node.name]["memory"].removesuffix("Ki")) / 2**20 + 1e-3


async def test_pods_of_others_and_ours(place: Place, made_up: str) -> None:
    create(make_pod("train", place.namespace, 3, made_up), make_server("alice", place, 1, made_up))
    create(make_server("bob", place, 1, made_up, name="not-its-name"))

    async def seen() -> bool:
        return (await place.node(made_up)).gpus_taken == {"h100": 4}

    await place.until(seen)
    [taker] = (await place.node(made_up)).takers
    assert (taker.namespace, taker.gpus) == (place.namespace, {"h100": 4})
    [server] = await place.backend.servers()
    assert (server.user, server.launch_id, server.state) == ("alice", "L1", "starting")
    assert (server.node, server.gpus) == (made_up, (f"{made_up}/nvidia.com/gpu/0",))
    kubectl("delete", "pod", "train", "-n", place.namespace, "--grace-period=0", "--force")

    async def gone() -> bool:
        return (await place.node(made_up)).gpus_taken == {"h100": 1}

    await place.until(gone)


async def test_taints_and_cordons(place: Place, made_up: str) -> None:
    node = await place.node(made_up)
    assert (node.schedulable, node.is_for("alone"), node.is_for("gpu")) == (True, True, False)
    assert words(node) == "It is tainted with mlabhub-test=yes:NoSchedule. It is only for servers of alone."
    kubectl("cordon", made_up)

    async def closed() -> bool:
        node = await place.node(made_up)
        return not node.schedulable and "It is cordoned" in words(node)

    await place.until(closed)
    kubectl("uncordon", made_up)

    async def opened() -> bool:
        return (await place.node(made_up)).schedulable

    await place.until(opened)


async def test_a_node_that_goes_away(place: Place, made_up: str) -> None:
    create(make_server("alice", place, 2, made_up))
    [server] = await place.backend.servers()
    assert await place.backend.lost("L1") is None

    async def lost() -> bool:
        return await place.backend.lost("L1") is not None

    await place.until(lost, LOST_S)
    node = await place.node(made_up)
    assert not node.schedulable
    assert "It does not answer any more" in words(node)
    kubectl("delete", "pod", "--all", "-n", place.namespace, "--grace-period=1", "--wait=false")
    [server] = await place.backend.servers()
    assert (server.state, server.gpus) == ("running", tuple(f"{made_up}/nvidia.com/gpu/{n}" for n in range(2)))
    assert f"Its node {made_up} has a problem" in str(server.lost)
    kubectl("delete", "node", made_up)

    async def gone() -> bool:
        return await place.backend.servers() == ()

    await place.until(gone, LOST_S)
    assert await place.backend.lost("L1") is None


async def test_a_watch_that_hangs_recovers(place: Place, made_up: str) -> None:
    await place.node(made_up)
    place.link.hang()
    kubectl("cordon", made_up)
    create(make_server("alice", place, 1, made_up))
    began = time.monotonic()
    assert [one.user for one in await place.backend.servers()] == ["alice"], "servers are asked for, not remembered"

    async def closed() -> bool:
        return not (await place.node(made_up)).schedulable

    await place.until(closed, RECOVERY_S)
    assert time.monotonic() - began < RECOVERY_S


async def test_an_api_server_that_is_away(place: Place, made_up: str) -> None:
    await place.node(made_up)
    place.link.refuse()
    with pytest.raises(BackendUnreachable, match="does not answer"):
        await place.backend.servers()
    began = time.monotonic()

    async def refuses() -> bool:
        try:
            await place.backend.capacity()
        except BackendUnreachable as error:
            return "has not answered" in str(error)
        return False

    await place.until(refuses, 90)
    assert time.monotonic() - began >= 25, "what was just heard is good for a while"
    kubectl("cordon", made_up)
    place.link.mend()

    async def closed() -> bool:
        try:
            return not (await place.node(made_up)).schedulable
        except BackendUnreachable:
            return False

    await place.until(closed, 30)


def lease_name(raw: Mapping[str, Any]) -> str:
    name: str = raw["metadata"]["name"]
    return name


async def test_what_the_api_server_has_forgotten_is_listed_anew(place: Place) -> None:
    async def is_forgotten() -> bool:
        return "too old" in kubectl("get", "--raw", f"{LEASES}?watch=1&resourceVersion=1&timeoutSeconds=1")

    await place.until(is_forgotten, 180)
    api = await make_api_client(place.settings)
    reflector: Reflector[str] = Reflector(api, LEASES, lease_name)
    reflector._resource_version = "1"
    task = asyncio.create_task(reflector.run())
    try:
        await asyncio.wait_for(reflector.first(), SOON)
        assert (reflector.lists, reflector.fault) == (1, None)
        assert set(reflector.records.values()) >= {lease["metadata"]["name"] for lease in get("leases")}
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await api.close()
        await asyncio.sleep(0.3)
