"""A small API of Kubernetes over HTTP: lists in pages, watches, bookmarks, 410, and whatever goes wrong on the way.

It keeps objects and their history as the real one does, so that what watches it is tried on resource versions, not on
a script. Only listing, watching, reading and deleting nodes and pods are there.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from aiohttp import ClientConnectionResetError, web

from mlabhub.cluster import labels
from mlabhub.core.names import server_slug
from mlabhub.settings import Settings
from tests.installation import free_port

Json = dict[str, Any]
HISTORY = 10_000


def make_node(
    name: str,
    *,
    gpus: int = 0,
    product: str = "NVIDIA-A100-SXM4-80GB",
    cpu: str = "64",
    memory: str = "512Gi",
    resources: dict[str, str] | None = None,
    marks: dict[str, str] | None = None,
    ready: str = "True",
    reason: str = "KubeletReady",
    taints: list[Json] | None = None,
    cordoned: bool = False,
    pods: str = "110",
    sick: int = 0,
) -> Json:
    """Return a node as the API has it."""
    extended = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    extended.update(resources or {})
    found = {"kubernetes.io/hostname": name, **({"nvidia.com/gpu.product": product} if gpus else {}), **(marks or {})}
    allocatable = {"cpu": cpu, "memory": memory, "pods": pods, **extended}
    capacity = {**allocatable, **({"nvidia.com/gpu": str(gpus + sick)} if sick else {})}
    spec: Json = {"podCIDR": "10.0.0.0/24"}
    if taints:
        spec["taints"] = taints
    if cordoned:
        spec["unschedulable"] = True
    return {
        "kind": "Node",
        "metadata": {"name": name, "uid": f"node-{name}", "labels": found},
        "spec": spec,
        "status": {
            "allocatable": allocatable,
            "capacity": capacity,
            "conditions": [
                {"type": "MemoryPressure", "status": "False"},
                {"type": "Ready", "status": ready, "reason": reason, "lastTransitionTime": "2026-01-01T00:00:00Z"},
            ],
            "images": [{"names": [f"registry/image-{n}:latest"], "sizeBytes": n} for n in range(20)],
        },
    }


def make_pod(
    name: str,
    node: str = "n1",
    *,
    namespace: str = "others",
    phase: str = "Running",
    requests: dict[str, str] | None = None,
    owner: str = "",
    spec: Json | None = None,
    status: Json | None = None,
    **metadata: Any,
) -> Json:
    """Return a pod as the API has it."""
    owners = [{"kind": owner, "name": "x", "uid": "x", "apiVersion": "v1"}] if owner else []
    container = {"name": "main", "image": "x", "resources": {"requests": requests or {}, "limits": requests or {}}}
    environment = [{"name": f"VARIABLE_{number}", "value": "x" * 40} for number in range(20)]
    return {
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"pod-{namespace}-{name}",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            **({"ownerReferences": owners} if owners else {}),
            **metadata,
        },
        "spec": {
            **({"nodeName": node} if node else {}),
            "containers": [{**container, "env": environment}],
            **(spec or {}),
        },
        "status": {"phase": phase, **(status or {})},
    }


def make_server_pod(
    user: str,
    server: str = "",
    node: str = "n1",
    *,
    instance: str = "0123abcd",
    namespace: str = "mlabhub",
    launch_id: str = "01HZZZZZZZZZZZZZZZZZZZZZZZ",
    gpus: int = 0,
    slots: str = "",
    part: str = labels.PART_SERVER,
    name: str | None = None,
    **more: Any,
) -> Json:
    """Return a pod as our spawner makes it."""
    requests = {"cpu": "2", "memory": "8Gi", **({"nvidia.com/gpu": str(gpus)} if gpus else {})}
    return make_pod(
        name or labels.object_name(instance, server_slug(user, server)),
        node,
        namespace=namespace,
        requests=requests,
        labels={
            labels.INSTANCE: instance,
            labels.LAUNCH: labels.launch_label(launch_id),
            labels.PART: part,
        },
        annotations={
            labels.LAUNCH_ID: launch_id,
            labels.USER: user,
            labels.SERVER: server,
            labels.GPUS: slots or ",".join(f"{node}/nvidia.com/gpu/{number}" for number in range(gpus)),
        },
        **more,
    )


class KubeApi:
    """The objects, and how badly they are served."""

    def __init__(self) -> None:
        self.version = 100
        self.objects: dict[str, dict[str, Json]] = {"nodes": {}, "pods": {}}
        self.history: dict[str, deque[tuple[int, str, Json]]] = {
            "nodes": deque(maxlen=HISTORY),
            "pods": deque(maxlen=HISTORY),
        }
        self.port = free_port()
        self.calls: list[str] = []
        self.speaks = asyncio.Event()
        """While it is cleared, watches that are open stay so, and say nothing."""
        self.speaks.set()
        self.broken = ""
        """What watches say instead of JSON."""
        self.refuse: int | None = None
        self.deletes = True
        self.log = b""
        """What each server has written."""
        self._changed = asyncio.Condition()
        self._selected: tuple[Any, list[Json]] | None = None
        self._texts: dict[str, tuple[str, str]] = {}
        self._runner: web.AppRunner | None = None

    async def put(self, kind: str, *objects: Json) -> None:
        """Add or change objects."""
        async with self._changed:
            for one in objects:
                self.version += 1
                uid = one["metadata"]["uid"]
                event = "MODIFIED" if uid in self.objects[kind] else "ADDED"
                kept = {**one, "metadata": {**one["metadata"], "resourceVersion": str(self.version)}}
                self.objects[kind][uid] = kept
                self.history[kind].append((self.version, event, kept))
            self._changed.notify_all()

    async def take(self, kind: str, *uids: str) -> None:
        """Delete objects."""
        async with self._changed:
            for uid in uids:
                self.version += 1
                gone = self.objects[kind].pop(uid)
                gone = {**gone, "metadata": {**gone["metadata"], "resourceVersion": str(self.version)}}
                self.history[kind].append((self.version, "DELETED", gone))
            self._changed.notify_all()

    async def forget(self) -> None:
        """Forget what happened so far, as a real one does after some minutes: who asks for it is told 410."""
        self.version += 1
        for events in self.history.values():
            events.clear()

    async def start(self) -> None:
        """Listen."""
        application = web.Application()
        application.router.add_get("/api/v1/nodes", self._nodes)
        application.router.add_get("/api/v1/pods", self._pods)
        application.router.add_get("/api/v1/namespaces/{namespace}/pods", self._pods)
        application.router.add_get("/api/v1/namespaces/{namespace}/pods/{name}", self._pod)
        application.router.add_get("/api/v1/namespaces/{namespace}/pods/{name}/log", self._log)
        application.router.add_delete("/api/v1/namespaces/{namespace}/pods/{name}", self._delete)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        """Go away, with all connections."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def write_kubeconfig(self, file: Path) -> Path:
        """Write a kubeconfig that leads here, and return it."""
        cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}
        context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
        user = {"name": "u", "user": {"token": "t"}}
        content = {"clusters": [cluster], "contexts": [context], "users": [user], "current-context": "c"}
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **content}))
        return file

    async def _nodes(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, "nodes")

    async def _pods(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, "pods")

    async def _pod(self, request: web.Request) -> web.StreamResponse:
        self.calls.append(f"get pod {request.match_info['name']}")
        found = self._find(request)
        return web.json_response(found) if found else status(404, "not found")

    async def _log(self, request: web.Request) -> web.StreamResponse:
        """Answer with the log of a pod whose container has begun; who follows gets a last line, too."""
        self.calls.append(f"get log {request.query_string}")
        found = self._find(request)
        if found is None or found["status"]["phase"] == "Pending":
            return status(400, "the container is waiting to start")
        return web.Response(body=self.log + (b"the end\n" if "follow" in request.query else b""))

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        options = await request.json()
        self.calls.append(f"delete pod {request.match_info['name']}")
        found = self._find(request)
        if found is None:
            return status(404, "not found")
        if options.get("preconditions", {}).get("uid") not in (None, found["metadata"]["uid"]):
            return status(409, "the uid does not match")
        if self.deletes:
            asyncio.get_running_loop().call_later(0.2, self._take_soon, found["metadata"]["uid"])
        return web.json_response(found)

    def _take_soon(self, uid: str) -> None:
        self._task = asyncio.ensure_future(self.take("pods", uid))

    def _find(self, request: web.Request) -> Json | None:
        wanted = (request.match_info["namespace"], request.match_info["name"])
        pods = self.objects["pods"].values()
        return next((one for one in pods if (one["metadata"]["namespace"], one["metadata"]["name"]) == wanted), None)

    async def _answer(self, request: web.Request, kind: str) -> web.StreamResponse:
        watch = request.query.get("watch")
        self.calls.append(f"{'watch' if watch else 'list'} {kind}")
        if self.refuse is not None:
            return status(self.refuse, "no")
        if watch:
            return await self._watch(request, kind)
        found = self._select(kind, request.match_info.get("namespace"), request.query.get("labelSelector", ""))
        first, limit = int(request.query.get("continue", "0")), int(request.query.get("limit", "100000"))
        page: Json = {"resourceVersion": str(self.version)}
        if first + limit < len(found):
            page["continue"] = str(first + limit)
        items = ",".join(self._text(one) for one in found[first : first + limit])
        body = f'{{"kind": "List", "metadata": {json.dumps(page)}, "items": [{items}]}}'
        return web.Response(text=body, content_type="application/json")

    def _select(self, kind: str, namespace: str | None, labels: str) -> list[Json]:
        """Return some objects; as long as nothing changes, without looking through them again."""
        key = (self.version, kind, namespace, labels)
        if self._selected is None or self._selected[0] != key:
            selector = dict(part.split("=") for part in labels.split(",") if part)
            found = [
                one
                for one in self.objects[kind].values()
                if (namespace is None or one["metadata"]["namespace"] == namespace)
                and selector.items() <= one["metadata"].get("labels", {}).items()
            ]
            self._selected = (key, found)
        return self._selected[1]

    def _text(self, one: Json) -> str:
        """Return an object as JSON, written once."""
        key = (one["metadata"]["uid"], one["metadata"]["resourceVersion"])
        text = self._texts.get(key[0])
        if text is None or text[0] != key[1]:
            text = self._texts[key[0]] = (key[1], json.dumps(one))
        return text[1]

    async def _watch(self, request: web.Request, kind: str) -> web.StreamResponse:
        since = int(request.query["resourceVersion"])
        events = self.history[kind]
        oldest = events[0][0] if events else self.version + 1
        if since < min(oldest - 1, self.version) and since < self.version:
            return status(410, "too old resource version")
        response = web.StreamResponse()
        await response.prepare(request)
        end = asyncio.get_running_loop().time() + float(request.query["timeoutSeconds"])
        while (left := end - asyncio.get_running_loop().time()) > 0:
            for version, event, one in [item for item in self.history[kind] if item[0] > since]:
                await self._say(response, json.dumps({"type": event, "object": one}))
                since = version
            await self._wait(left)
        bookmark = {"type": "BOOKMARK", "object": {"kind": "x", "metadata": {"resourceVersion": str(self.version)}}}
        await self._say(response, json.dumps(bookmark))
        return response

    async def _say(self, response: web.StreamResponse, line: str) -> None:
        await self.speaks.wait()
        with suppress(ClientConnectionResetError):  # who listened has gone
            await response.write((self.broken or line).encode() + b"\n")

    async def _wait(self, seconds: float) -> None:
        async with self._changed:
            try:
                await asyncio.wait_for(self._changed.wait(), seconds)
            except asyncio.TimeoutError:
                return


def make_kube_settings(folder: Path, api: KubeApi, **values: Any) -> Settings:
    """Return an installation whose cluster is this API."""
    return Settings(
        **{
            "instance": "0123abcd",
            "state_dir": folder,
            "config_dir": folder,
            "backend": "kube",
            "public_url": "http://127.0.0.1:8000/",
            "hub_port": 1,
            "proxy_api_port": 2,
            "service_port": 3,
            "kubeconfig": api.write_kubeconfig(folder / "kubeconfig"),
            "namespace": "mlabhub",
            **values,
        }
    )


def status(code: int, message: str) -> web.Response:
    """Return an answer that refuses."""
    return web.json_response({"kind": "Status", "code": code, "message": message}, status=code)


@asynccontextmanager
async def serve_api() -> AsyncIterator[KubeApi]:
    """Serve an API without any object."""
    api = KubeApi()
    await api.start()
    try:
        yield api
    finally:
        await api.stop()
