"""Servers that are containers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Literal, TypeVar

from mlabhub.core.capacity import Capacity
from mlabhub.core.names import server_slug, user_slug
from mlabhub.engine import ContainerInfo, Engine, EngineError, labels, make_api
from mlabhub.engine.log_stream import read_log
from mlabhub.engine.networks import UserNetworks
from mlabhub.engine.own import OwnImages
from mlabhub.engine.runtime import Runtime
from mlabhub.engine.saved import Saved, SavedLayers
from mlabhub.errors import EngineUnavailable, InvalidConfiguration, NotFound
from mlabhub.inventory.backend import NO_LOG, BackendServer, BackendUnreachable, SavedLayer
from mlabhub.inventory.images import EngineImages, Images
from mlabhub.inventory.machine import Inventory
from mlabhub.inventory.tenants import Tenants, tenants_of_containers
from mlabhub.settings import Settings

STOP_SECONDS = 10
PATIENCE_S = 10.0
_STARTING = {"created", "configured", "initialized", "starting"}
_T = TypeVar("_T")


class ContainerBackend:
    """Containers on Podman or Docker that carry the installation's label."""

    def __init__(self, settings: Settings):
        if settings.engine_kind is None or settings.engine_url is None:
            raise InvalidConfiguration(
                "The settings name no container engine. Start `mlabhub up` again, which finds it."
            )
        self._mine = {labels.INSTANCE: settings.instance, labels.LAUNCH_ID: ""}
        self._api = make_api(Engine(settings.engine_kind, settings.engine_url, settings.engine_rootless, ""))
        self._networks = UserNetworks(self._api, settings.instance, settings.network_pool)
        self._saved = SavedLayers(self._api, settings.instance)
        own = OwnImages(self._api, settings.instance, self._saved)
        self.images: Images | None = EngineImages(self._api, self._saved, own, Runtime(self._api, settings.runtime_dir))
        self._inventory = Inventory(settings)

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def capacity(self) -> Capacity:
        """Return what this machine has."""
        facts = await asyncio.to_thread(self._inventory.look)
        tenants = await self._tenants() if facts is not None and facts.has_driver else Tenants()
        return await asyncio.to_thread(self._inventory.read, facts, tenants)

    async def servers(self) -> tuple[BackendServer, ...]:
        """Return every server, running or not."""
        found = await _reach(self._api.containers(self._mine))
        return tuple(_server(one) for one in found if self._is_ours(one))

    async def lost(self, launch_id: str) -> None:
        """Return None: it can always be told."""

    async def remove(self, server: BackendServer) -> None:
        """Stop a server, save what was installed in it, remove it, and its user's network with the last one."""
        await _reach(self._remove(server))

    async def saved(self, user: str) -> tuple[SavedLayer, ...]:
        """Return what is kept of a user's servers."""
        kept = await _reach(self._saved.of_user(user))
        return tuple([SavedLayer(one.user, one.server_name, one.image, await self._is_newer(one)) for one in kept])

    async def reset(self, user: str, server_name: str) -> None:
        """Forget what was installed in a stopped server."""
        await _reach(self._saved.reset(user, server_name))

    async def log(self, user: str, server_name: str, *, follow: bool = False) -> AsyncIterator[bytes]:
        """Yield what a server's container wrote. Raises `NotFound` if there is no container."""
        name = labels.container_name(self._mine[labels.INSTANCE], server_slug(user, server_name))
        found = await _reach(self._api.container(name))
        if found is None or labels.LAUNCH_ID not in found.labels or not self._is_ours(found):
            raise NotFound(NO_LOG)
        try:
            async for piece in read_log(self._api.engine.url.removeprefix("unix://"), found.id, follow=follow):
                yield piece
        except (EngineUnavailable, EngineError) as error:
            raise BackendUnreachable(error.message, log_text=error.log_text) from error

    async def _tenants(self) -> Tenants:
        """Return whose processes are ours. Without the engine nobody knows, and servers that need no GPU go on."""
        try:
            return tenants_of_containers(await asyncio.wait_for(self.servers(), PATIENCE_S))
        except (BackendUnreachable, asyncio.TimeoutError):
            return Tenants(known=False)

    def _is_ours(self, found: ContainerInfo) -> bool:
        """Whether the hub made a container, by its name: labels come from images, too."""
        slug = server_slug(found.labels.get(labels.USER, ""), found.labels.get(labels.SERVER, ""))
        return found.name == labels.container_name(self._mine[labels.INSTANCE], slug)

    async def _remove(self, server: BackendServer) -> None:
        found = await self._api.container(server.handle)
        if found is not None:
            await self._api.stop(found.id, STOP_SECONDS)
            stopped = await self._api.container(found.id)
            if stopped is not None:
                await self._saved.carry_over(stopped, server_slug(server.user, server.server_name))
        await self._networks.remove_if_unused(server.user, user_slug(server.user))

    async def _is_newer(self, saved: Saved) -> bool:
        if not saved.image_reference:
            return False
        current = await _reach(self._api.image(saved.image_reference))
        return current is not None and current.id != saved.parent


async def _reach(answer: Awaitable[_T]) -> _T:
    try:
        return await answer
    except (EngineUnavailable, EngineError) as error:
        raise BackendUnreachable(error.message, log_text=error.log_text) from error


def _server(found: ContainerInfo) -> BackendServer:
    state: Literal["running", "starting", "exited"] = "exited"
    if found.running:
        state = "running"
    elif found.state in _STARTING:
        state = "starting"
    return BackendServer(
        launch_id=found.labels[labels.LAUNCH_ID],
        user=found.labels.get(labels.USER, ""),
        server_name=found.labels.get(labels.SERVER, ""),
        state=state,
        started=found.created,
        gpus=tuple(filter(None, found.labels.get(labels.GPUS, "").split(","))),
        handle=found.id,
        container=found.id,
        pid=found.pid or None,
    )
