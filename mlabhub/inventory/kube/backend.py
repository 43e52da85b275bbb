"""Servers that are pods, and the cluster that they are on.

Guarantees: what there is, is told from what the API server says by itself, at most `STALE_S` old; which servers there
are is asked of it each time. If it cannot be asked, or was not heard of for longer, the answer is a
`BackendUnreachable`, never what was known before.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import aiohttp

from mlabhub.cluster import labels
from mlabhub.cluster.client import AWAY, TOKEN, make_api_client, unreachable
from mlabhub.cluster.namespace import DEFAULT_NAMESPACE
from mlabhub.core.capacity import Capacity
from mlabhub.core.kubernetes import KubernetesSpec
from mlabhub.errors import NotFound
from mlabhub.inventory.backend import NO_LOG, BackendServer, BackendUnreachable, SavedLayer
from mlabhub.inventory.kube.nodes import CapacityMaker
from mlabhub.inventory.kube.records import NodeRecord, PodRecord, read_node, read_pod
from mlabhub.inventory.kube.reflector import ApiFault, Reflector, ask, pages
from mlabhub.inventory.kube.servers import Ours, make_server
from mlabhub.messages import N_, Message
from mlabhub.settings import Settings

STALE_S = 60.0
PATIENCE_S = 20.0
STOP_SECONDS = 10
REMOVE_S = 60.0
LOG_LINES = 2000
LOG_BYTES = 2**20
FOLLOW_S = 600.0
"""How long one request follows a log at most."""

FORBIDDEN = N_(
    "The cluster does not let the hub look at its nodes and pods: {reason}. An administrator has to allow it."
)
OUTDATED = N_("The Kubernetes cluster has not answered for {seconds} s, so what is free is not known. Try again soon.")
NOT_GONE = N_("The pod {pod} is still there {seconds} s after it was deleted; its node may not answer. Try again soon.")

R = TypeVar("R", NodeRecord, PodRecord)


class KubeBackend:
    """Pods of our namespace that carry the installation's label. ``get_spec`` returns ``kubernetes.yaml`` in force."""

    images = None

    def __init__(self, settings: Settings, get_spec: Callable[[], KubernetesSpec] = KubernetesSpec):
        self._settings = settings
        self._get_spec = get_spec
        namespace = settings.namespace or get_spec().namespace or DEFAULT_NAMESPACE
        self._ours = Ours(settings.instance, namespace)
        self._maker = CapacityMaker()
        self._made: tuple[int, int, KubernetesSpec, Capacity] | None = None
        self._starting = asyncio.Lock()
        self._api: Any = None
        self._nodes: Reflector[NodeRecord] | None = None
        self._pods: Reflector[PodRecord] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def close(self) -> None:
        """Stop watching, and close the connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        if self._api is not None:
            await self._api.close()
            self._api = None

    def ages(self) -> dict[str, float]:
        """Return how many seconds ago nodes and pods were last heard of."""
        watched = {"nodes": self._nodes, "pods": self._pods}
        ages = {what: None if one is None else one.age for what, one in watched.items()}
        return {what: float("inf") if age is None else age for what, age in ages.items()}

    async def capacity(self) -> Capacity:
        """Return what the cluster has; the same value as before if nothing has changed."""
        await self._start()
        nodes, pods = await self._known(self._nodes), await self._known(self._pods)
        spec = self._get_spec()
        key = (nodes.version, pods.version, spec)
        if self._made is None or self._made[:3] != key:
            made = self._maker.make(nodes.records.values(), pods.records.values(), spec, self._ours)
            self._made = (*key, made)
        return self._made[3]

    async def servers(self) -> tuple[BackendServer, ...]:
        """Return every server, running or not, as the API server has them now."""
        await self._start()
        nodes = await self._known(self._nodes)
        found = [pod for pod in await self._list_ours() if self._ours.has(pod)]
        by_name = {node.name: node for node in nodes.records.values()}
        return tuple(make_server(pod, by_name) for pod in found)

    async def lost(self, launch_id: str) -> Message | None:
        """Return why nobody can tell whether a server still runs: its node does not answer."""
        await self._start()
        nodes, pods = await self._known(self._nodes), await self._known(self._pods)
        found = [pod for pod in pods.records.values() if pod.own is not None and pod.own.launch_id == launch_id]
        by_name = {node.name: node for node in nodes.records.values()}
        return next((make_server(pod, by_name).lost for pod in found if self._ours.has(pod)), None)

    async def remove(self, server: BackendServer) -> None:
        """Delete a server's pod, and return when it is gone. Raises `BackendUnreachable` if it does not go."""
        await self._start()
        name = self._ours.name(server.user, server.server_name)
        path = f"/api/v1/namespaces/{self._ours.namespace}/pods/{name}"
        options = {"gracePeriodSeconds": STOP_SECONDS, "preconditions": {"uid": server.handle}}
        try:
            status, _ = await self._call("DELETE", path, options)
            end = asyncio.get_running_loop().time() + REMOVE_S
            while status not in (404, 409):
                if asyncio.get_running_loop().time() > end:
                    raise BackendUnreachable(Message.of(NOT_GONE, pod=name, seconds=REMOVE_S))
                await asyncio.sleep(0.5)
                status, body = await self._call("GET", path)
                if status == 200 and body["metadata"]["uid"] != server.handle:
                    return
        except (*AWAY, ApiFault) as error:
            raise _unreachable(error) from error

    async def saved(self, user: str) -> tuple[SavedLayer, ...]:
        """Return nothing: what a pod installs outside of its folders ends with it."""
        return ()

    async def reset(self, user: str, server_name: str) -> None:
        """Do nothing, for the same reason."""

    async def log(self, user: str, server_name: str, *, follow: bool = False) -> AsyncIterator[bytes]:
        """Yield the end of what a server's pod wrote. Raises `NotFound` if there is no pod, or it wrote nothing yet."""
        await self._start()
        path = f"/api/v1/namespaces/{self._ours.namespace}/pods/{self._ours.name(user, server_name)}"
        wanted = {"tailLines": str(LOG_LINES), **({"follow": "true"} if follow else {"limitBytes": str(LOG_BYTES)})}
        try:
            status, body = await self._call("GET", path)
            if status != 200 or not self._ours.has(read_pod(body)):
                raise NotFound(NO_LOG)
            response = await ask(self._api, f"{path}/log", wanted, FOLLOW_S if follow else PATIENCE_S)
            try:
                async for piece in response.content.iter_any():
                    yield piece
            finally:
                response.close()
        except ApiFault as error:
            if error.status in (400, 404):  # its container has not begun
                raise NotFound(NO_LOG) from error
            raise _unreachable(error) from error
        except AWAY as error:
            raise _unreachable(error) from error

    async def _start(self) -> None:
        async with self._starting:
            if self._api is not None:
                return
            self._api = await make_api_client(self._settings)
            self._nodes = Reflector(self._api, "/api/v1/nodes", read_node)
            self._pods = Reflector(self._api, "/api/v1/pods", read_pod)
            for reflector in (self._nodes, self._pods):
                self._tasks.append(asyncio.create_task(reflector.run(), name="cluster's inventory"))

    async def _known(self, reflector: Reflector[R] | None) -> Reflector[R]:
        """Return a reflector of which the records are good. Raises `BackendUnreachable`."""
        assert reflector is not None
        try:
            await asyncio.wait_for(reflector.first(), PATIENCE_S)
        except asyncio.TimeoutError as error:
            raise _unreachable(error) from error
        age = reflector.age
        if age is not None and age <= STALE_S:
            return reflector
        if age is None and reflector.fault is not None:
            raise _unreachable(reflector.fault) from reflector.fault
        raise BackendUnreachable(Message.of(OUTDATED, seconds=round(age or 0)), log_text=str(reflector.fault or ""))

    async def _list_ours(self) -> list[PodRecord]:
        path = f"/api/v1/namespaces/{self._ours.namespace}/pods"
        selector = f"{labels.INSTANCE}={self._ours.instance},{labels.PART}={labels.PART_SERVER}"
        found: list[PodRecord] = []
        try:
            async for page in pages(self._api, path, {"labelSelector": selector}):
                found.extend(read_pod(raw) for raw in page.get("items") or ())
        except (*AWAY, ApiFault) as error:
            raise _unreachable(error) from error
        return found

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        """Return status and answer. Raises `ApiFault` unless it is 200, 202, 404 or 409."""
        response = await self._api.call_api(
            path,
            method,
            body=body,
            header_params={"Accept": "application/json"},
            auth_settings=[TOKEN],
            _preload_content=False,
            _request_timeout=aiohttp.ClientTimeout(total=PATIENCE_S),
        )
        if response.status not in (200, 202, 404, 409):
            raise ApiFault(response.status, (await response.text(errors="replace"))[:200])
        return response.status, await response.json(content_type=None)


def _unreachable(error: Exception) -> BackendUnreachable:
    if isinstance(error, ApiFault) and error.status in (401, 403):
        return BackendUnreachable(Message.of(FORBIDDEN, reason=error.reason), log_text=str(error))
    gone = unreachable(error)
    return BackendUnreachable(gone.message, log_text=gone.log_text)
