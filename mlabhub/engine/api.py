"""The engine's HTTP API as we need it: the part of Docker's that Podman speaks too; `podman.py` has the rest.

Guarantees: "not there" is None or False and no error; removing what is gone already is fine; whatever else goes wrong
is an `EngineError` with the engine's own words in the log, or `EngineUnavailable` if it does not answer at all.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from mlabhub.engine.containerfile import config_lines
from mlabhub.engine.errors import EngineError, engine_error
from mlabhub.engine.found import Engine
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


@dataclass(frozen=True)
class ContainerInfo:
    """A container as the engine sees it. ``state`` is the engine's word: created, running, exited, ..."""

    id: str
    name: str
    state: str
    labels: Mapping[str, str]
    image_id: str
    networks: Mapping[str, str]
    pid: int = 0
    exit_code: int | None = None
    oom_killed: bool = False
    created: float | None = None
    """Seconds since the epoch; every start makes a new container."""
    environment: tuple[str, ...] = ()
    layer: str = ""
    """Folder with what it wrote, where the engine says so."""

    @property
    def running(self) -> bool:
        """Return whether its processes live."""
        return self.state in {"running", "paused", "stopping"}


@dataclass(frozen=True)
class ImageInfo:
    """An image as the engine sees it."""

    id: str
    references: tuple[str, ...]
    labels: Mapping[str, str]
    config: Mapping[str, Any]
    architecture: str = ""
    """The engine's word: amd64, arm64; empty if it does not say."""
    layers: int = 0
    size: int = 0
    created: float | None = None

    @property
    def environment(self) -> tuple[str, ...]:
        """Variables of the image."""
        return tuple(self.config.get("Env") or ())


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
        return None if answer is None else _inspected(answer)

    async def containers(self, labels: Mapping[str, str]) -> tuple[ContainerInfo, ...]:
        """Return all containers with these labels, running or not."""
        answer = await self._call("GET", "/containers/json", params={"all": "true", "filters": _by_labels(labels)})
        return tuple(_listed(item) for item in answer if _has_labels(item, labels))

    async def logs(self, container: str, lines: int = 20) -> str:
        """Return the end of what a container wrote.

        All of it is read, which `LOG_BYTES` bounds: asked for the end alone, Podman 4.3 loses lines written in pieces.
        """
        response = await self._send("GET", f"/containers/{container}/logs", params={"stdout": "true", "stderr": "true"})
        text = _demultiplexed(response.content) if response.is_success else ""
        return "\n".join(text.splitlines()[-lines:])

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
        made = await self._call("POST", "/containers/create", json={"Image": image, "Cmd": ["true"]})
        try:
            address = f"/containers/{made['Id']}/archive"
            async with self._http.stream("GET", address, params={"path": path}, timeout=LONG_SECONDS) as answer:
                if not answer.is_success:
                    await answer.aread()
                    raise engine_error(answer)
                await unpack(answer, folder)
        finally:
            await self.remove(made["Id"])

    async def image(self, reference: str) -> ImageInfo | None:
        """Return an image by reference or id."""
        answer = await self._call("GET", f"/images/{reference}/json", fine=(404,))
        if answer is None:
            return None
        config = answer.get("Config") or {}
        return ImageInfo(
            _bare(answer["Id"]),
            tuple(answer.get("RepoTags") or ()),
            dict(config.get("Labels") or {}),
            config,
            architecture=str(answer.get("Architecture") or ""),
            layers=len((answer.get("RootFS") or {}).get("Layers") or ()),
            size=int(answer.get("Size") or 0),
            created=_seconds(answer.get("Created")),
        )

    async def images(self, labels: Mapping[str, str]) -> tuple[ImageInfo, ...]:
        """Return all images with these labels; asked again where one of any went away meanwhile, which fails Podman."""
        for tries_left in range(LIST_TRIES - 1, -1, -1):
            try:
                answer = await self._call("GET", "/images/json", params={"filters": _by_labels(labels)})
                break
            except EngineError as error:
                if IMAGE_GONE not in error.log_text or not tries_left:
                    raise
        return tuple(
            ImageInfo(
                _bare(item["Id"]),
                tuple(item.get("RepoTags") or ()),
                dict(item.get("Labels") or {}),
                {},
                size=int(item.get("Size") or 0),
                created=_seconds(item.get("Created")),
            )
            for item in answer
            if _has_labels(item, labels)
        )

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
        """Create a container to look into, which is never started."""
        answer = await self._call("POST", "/containers/create", json={"Image": reference, "Cmd": ["true"]})
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
        return None if answer is None else next(iter(_subnets(answer)), None)

    async def networks(self, labels: Mapping[str, str] | None = None) -> dict[str, tuple[str, ...]]:
        """Return networks (all, or those with these labels): name and subnets."""
        params = {"filters": _by_labels(labels)} if labels else {}
        answer = await self._call("GET", "/networks", params=params)
        return {str(item["Name"]): _subnets(item) for item in answer if _has_labels(item, labels or {})}

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


def _inspected(answer: Mapping[str, Any]) -> ContainerInfo:
    state = answer["State"]
    return ContainerInfo(
        id=str(answer["Id"]),
        name=str(answer["Name"]).lstrip("/"),
        state=str(state["Status"]),
        labels=dict(answer["Config"].get("Labels") or {}),
        image_id=_bare(answer["Image"]),
        networks=_addresses(answer.get("NetworkSettings")),
        pid=int(state.get("Pid") or 0),
        exit_code=None if state.get("Running") else int(state.get("ExitCode") or 0),
        oom_killed=bool(state.get("OOMKilled")),
        created=_seconds(answer.get("Created")),
        environment=tuple(answer["Config"].get("Env") or ()),
        layer=str(((answer.get("GraphDriver") or {}).get("Data") or {}).get("UpperDir") or ""),
    )


def _listed(item: Mapping[str, Any]) -> ContainerInfo:
    return ContainerInfo(
        id=str(item["Id"]),
        name=str((item.get("Names") or [""])[0]).lstrip("/"),
        state=str(item["State"]),
        labels=dict(item.get("Labels") or {}),
        image_id=_bare(item.get("ImageID") or ""),
        networks=_addresses(item.get("NetworkSettings")),
        created=_seconds(item.get("Created")),
    )


def _seconds(moment: Any) -> float | None:
    """Return an engine's time: a number, or a text whose nanoseconds Python 3.10 cannot read; None if it has none."""
    if isinstance(moment, (int, float)):
        return float(moment)
    try:
        return datetime.fromisoformat(str(moment)[:19] + "+00:00").timestamp()
    except ValueError:
        return None


def _addresses(settings: Mapping[str, Any] | None) -> dict[str, str]:
    networks = (settings or {}).get("Networks") or {}
    return {str(name): str((network or {}).get("IPAddress") or "") for name, network in networks.items()}


def _subnets(network: Mapping[str, Any]) -> tuple[str, ...]:
    configs = (network.get("IPAM") or {}).get("Config") or ()
    return tuple(str(config["Subnet"]) for config in configs if config.get("Subnet"))


def _by_labels(labels: Mapping[str, str]) -> str:
    """Return a filter by the first label; `_has_labels` does the rest, as Podman 4.3 finds no image by two."""
    name, value = next(iter(labels.items()))
    return json.dumps({"label": [f"{name}={value}" if value else name]})


def _has_labels(item: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Return whether an item has these labels; an empty value stands for any."""
    found = item.get("Labels") or {}
    return all(name in found and value in {"", found[name]} for name, value in labels.items())


def _bare(image_id: str) -> str:
    return str(image_id).removeprefix("sha256:")


def _demultiplexed(raw: bytes) -> str:
    """Return the text of a log in which each piece has a header of 8 bytes: stream, three zeros, length."""
    pieces, at = [], 0
    while at + 8 <= len(raw):
        length = int.from_bytes(raw[at + 4 : at + 8], "big")
        pieces.append(raw[at + 8 : at + 8 + length])
        at += 8 + length
    return b"".join(pieces).decode("utf-8", "replace")
