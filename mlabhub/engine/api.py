"""The engine's HTTP API as we need it: the part of Docker's that Podman speaks too; `podman.py` has the rest.

Guarantees: "not there" is None or False and no error; removing what is gone already is fine; whatever else goes wrong
is an `EngineError` with the engine's own words in the log, or `EngineUnavailable` if it does not answer at all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from mlabhub.engine.containerfile import config_lines
from mlabhub.engine.errors import EngineError, engine_error
from mlabhub.engine.found import Engine
from mlabhub.engine.info import (
    ContainerInfo,
    ImageInfo,
    by_labels,
    has_labels,
    inspected_container,
    inspected_image,
    listed_container,
    listed_image,
    subnets_of,
)
from mlabhub.engine.labels import INSTANCE
from mlabhub.engine.log_stream import Demultiplexer
from mlabhub.engine.pulling import pull
from mlabhub.engine.spec import ContainerSpec, NetworkSpec, get_docker_container, get_docker_network
from mlabhub.engine.unpacking import is_link, read_files, unpack
from mlabhub.errors import EngineUnavailable
from mlabhub.messages import N_, Message

ANSWER_SECONDS = 60.0
LIST_TRIES = 5
IMAGE_GONE = "image not known"
LONG_SECONDS = 1800.0
"""Saving a large layer takes as long as writing it does."""


class EngineApi:
    """Talks to one engine over its unix socket. One object serves one event loop."""

    def __init__(self, engine: Engine):
        self.engine = engine
        socket = engine.url.removeprefix("unix://")
        self._http = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=socket, limits=httpx.Limits(max_connections=32)),
            base_url="http://engine",
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=5.0),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def create(self, spec: ContainerSpec) -> str:
        """Create a container and return its id. Raises `EngineError`, status 409 if the name is taken."""
        answer = await self._call(
            "POST", "/containers/create", params={"name": spec.name}, json=get_docker_container(spec)
        )
        return str(answer["Id"])

    async def start(self, container: str) -> None:
        """Start a container; fine if it runs."""
        await self._call("POST", f"/containers/{container}/start")

    async def stop(self, container: str, seconds: int = 10) -> None:
        """Ask the container's processes to end, and end them after ``seconds``; fine if they have, or it is gone."""
        await self._call(
            "POST",
            f"/containers/{container}/stop",
            params={"t": seconds},
            fine=(404,),
            timeout=ANSWER_SECONDS + seconds,
        )

    async def remove(self, container: str) -> None:
        """End and remove a container with its anonymous volumes; fine if it is gone."""
        await self._call("DELETE", f"/containers/{container}", params={"force": "true", "v": "true"}, fine=(404,))

    async def container(self, name: str) -> ContainerInfo | None:
        """Return a container by name or id."""
        answer = await self._call("GET", f"/containers/{name}/json", fine=(404,))
        return None if answer is None else inspected_container(answer)

    async def containers(self, labels: Mapping[str, str]) -> tuple[ContainerInfo, ...]:
        """Return all containers with these labels, running or not."""
        answer = await self._call("GET", "/containers/json", params={"all": "true", "filters": by_labels(labels)})
        return tuple(listed_container(item) for item in answer if has_labels(item, labels))

    async def logs(self, container: str, lines: int = 20) -> str:
        """Return the end of what a container wrote.

        All of it is read, which `LOG_BYTES` bounds: asked for the end alone, Podman 4.3 loses lines written in pieces.
        """
        response = await self._send("GET", f"/containers/{container}/logs", params={"stdout": "true", "stderr": "true"})
        written = Demultiplexer().feed(response.content) if response.is_success else b""
        return "\n".join(written.decode("utf-8", "replace").splitlines()[-lines:])

    async def changes(self, container: str) -> tuple[tuple[int, str], ...]:
        """Return what a container changed in its image's files: (0 changed, 1 added, 2 deleted; path)."""
        answer = await self._call("GET", f"/containers/{container}/changes", timeout=LONG_SECONDS)
        return tuple((int(item["Kind"]), str(item["Path"])) for item in answer or ())

    async def commit(self, container: str, repository: str, tag: str, changes: list[str]) -> str:
        """Save a stopped container's files as an image and return its id."""
        answer = await self._call(
            "POST",
            "/commit",
            params=[("container", container), ("repo", repository), ("tag", tag)] + [("changes", c) for c in changes],
            timeout=LONG_SECONDS,
        )
        return str(answer["Id"])

    async def copy_image(self, image: str, repository: str, tag: str, changes: list[str]) -> str:
        """Give a copy of an image another name and configuration, and return its id. Its layers are shared."""
        known = await self.image(image)
        command = (known.config.get("Cmd") if known else None) or ["true"]
        made = await self._call("POST", "/containers/create", json={"Image": image, "Cmd": command})
        try:
            return await self.commit(made["Id"], repository, tag, changes)
        finally:
            await self.remove(made["Id"])

    async def written_bytes(self, container: str) -> int:
        """Return how much a container wrote beyond its image."""
        answer = await self._call("GET", f"/containers/{container}/json", params={"size": "true"}, timeout=LONG_SECONDS)
        return int(answer.get("SizeRw") or 0)

    async def squash(self, container: str, repository: str, tag: str, changes: list[str]) -> str:
        """Save a stopped container's files as an image of one layer and return its id."""
        found = await self.container(container)
        image = None if found is None else await self.image(f"sha256:{found.image_id}")
        lines = [] if found is None else config_lines({} if image is None else image.config, found.labels)
        params = [("fromSrc", "-"), ("repo", repository), ("tag", tag)] + [
            ("changes", line) for line in lines + changes
        ]
        async with self._http.stream("GET", f"/containers/{container}/export", timeout=LONG_SECONDS) as exported:
            if not exported.is_success:
                await exported.aread()
                raise engine_error(exported)
            files = exported.aiter_raw()
            answer = await self._send("POST", "/images/create", params=params, content=files, timeout=LONG_SECONDS)
        saved = await self.image(f"{repository}:{tag}")
        if saved is None or not answer.is_success:
            raise EngineError(N_("The engine did not keep what was installed."), log_text=answer.text[-500:])
        return saved.id

    def pull(self, reference: str) -> AsyncIterator[dict[str, Any]]:
        """Fetch an image from its registry, and yield what the engine tells on the way. Raises `EngineError`."""
        return pull(self._http, reference)

    async def copy_out(self, image: str, path: str, folder: Path) -> None:
        """Copy a folder of an image into a folder of this machine. Raises `OSError` if that cannot be written."""
        container = await self._create_bare(image)
        try:
            address = f"/containers/{container}/archive"
            async with self._http.stream("GET", address, params={"path": path}, timeout=LONG_SECONDS) as answer:
                if not answer.is_success:
                    await answer.aread()
                    raise engine_error(answer)
                await unpack(answer, folder)
        finally:
            await self.remove(container)

    async def image(self, reference: str) -> ImageInfo | None:
        """Return an image by reference or id."""
        answer = await self._call("GET", f"/images/{reference}/json", fine=(404,))
        return None if answer is None else inspected_image(answer)

    async def images(self, labels: Mapping[str, str]) -> tuple[ImageInfo, ...]:
        """Return all images with these labels; asked again where one of any went away meanwhile, which fails Podman."""
        for tries_left in range(LIST_TRIES - 1, -1, -1):
            try:
                answer = await self._call("GET", "/images/json", params={"filters": by_labels(labels)})
                break
            except EngineError as error:
                if IMAGE_GONE not in error.log_text or not tries_left:
                    raise
        return tuple(listed_image(item) for item in answer if has_labels(item, labels))

    async def image_files(self, reference: str, paths: Sequence[str]) -> dict[str, bytes]:
        """Return the files at or below these paths of an image, by their absolute path; nothing runs for it.

        Where they are large altogether they are not read: an image's files are their makers' to choose.
        """
        container = await self._create_bare(reference)
        files: dict[str, bytes] = {}
        try:
            for path in paths:
                files.update(await read_files(self._http, container, path))
        finally:
            await self.remove(container)
        return files

    async def image_links(self, reference: str, paths: Iterable[str]) -> tuple[str, ...]:
        """Return those of these paths at which an image has a link; nothing runs for it."""
        container = await self._create_bare(reference)
        try:
            return tuple([path for path in paths if await self._is_link(container, path)])
        finally:
            await self.remove(container)

    async def _is_link(self, container: str, path: str) -> bool:
        answer = await self._send("HEAD", f"/containers/{container}/archive", params={"path": path})
        if not answer.is_success and answer.status_code != 404:
            raise engine_error(answer)
        return is_link(answer)

    async def _create_bare(self, reference: str) -> str:
        """Create a container to look into, which is never started, and is no server whatever its image's labels are."""
        body = {"Image": reference, "Cmd": ["true"], "Labels": {INSTANCE: ""}}
        answer = await self._call("POST", "/containers/create", json=body)
        return str(answer["Id"])

    async def remove_image(self, reference: str) -> None:
        """Remove an image; fine if it is gone, or if something still uses it."""
        await self._call("DELETE", f"/images/{reference}", fine=(404, 409))

    async def untag(self, reference: str, image_id: str) -> None:
        """Take a name from an image, and remove it if nothing else needs it. Containers go on."""
        answer = await self._send("DELETE", f"/images/{reference}")
        if answer.status_code == 409:  # a server runs from it
            answer = await self._send("DELETE", f"/images/{reference}", params={"force": "true"})
        if not answer.is_success and answer.status_code != 404:
            raise engine_error(answer)

    async def create_network(self, spec: NetworkSpec) -> None:
        """Create a network. Raises `EngineError` if its name or subnet is taken."""
        await self._call("POST", "/networks/create", json=get_docker_network(spec))

    async def network_subnet(self, name: str) -> str | None:
        """Return a network's first subnet, None if there is no such network."""
        answer = await self._call("GET", f"/networks/{name}", fine=(404,))
        return None if answer is None else next(iter(subnets_of(answer)), None)

    async def networks(self, labels: Mapping[str, str] | None = None) -> dict[str, tuple[str, ...]]:
        """Return networks (all, or those with these labels): name and subnets."""
        params = {"filters": by_labels(labels)} if labels else {}
        answer = await self._call("GET", "/networks", params=params)
        return {str(item["Name"]): subnets_of(item) for item in answer if has_labels(item, labels or {})}

    async def remove_network(self, name: str) -> bool:
        """Remove a network that nothing uses. Return whether it is gone now."""
        answer = await self._send("DELETE", f"/networks/{name}")
        return answer.is_success or answer.status_code == 404

    async def _call(self, method: str, path: str, *, fine: tuple[int, ...] = (), **keywords: Any) -> Any:
        answer = await self._send(method, path, **keywords)
        if answer.status_code in fine:
            return None
        if answer.status_code == 304:
            return None
        if not answer.is_success:
            raise engine_error(answer)
        return answer.json() if answer.content else None

    async def _send(self, method: str, path: str, **keywords: Any) -> httpx.Response:
        try:
            return await self._http.request(method, path, **keywords)
        except httpx.HTTPError as error:
            raise EngineUnavailable(
                Message.of(
                    N_("{engine} does not answer on this machine. Running servers go on; try again in a minute."),
                    engine=self.engine.kind.capitalize(),
                ),
                log_text=f"{method} {path} at {self.engine.url}: {type(error).__name__} {error}",
            ) from error
