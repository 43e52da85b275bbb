"""The engine's images, for whoever launches: what is missing for a start, fetching it, and one's own saved ones.

Guarantees: nothing is asked of a registry whose host the catalogue, or what a profile allows, does not name; an image
for other processors is said to be so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mlabhub.core.references import parse_reference
from mlabhub.engine import EngineApi
from mlabhub.engine.origin import WantedImage, find_origin
from mlabhub.engine.own import OwnImage, OwnImages
from mlabhub.engine.pulling import PullProgress
from mlabhub.engine.runtime import REFERENCE, Runtime
from mlabhub.engine.saved import SavedLayers
from mlabhub.errors import LaunchRefused
from mlabhub.messages import N_, Message

Report = Callable[[float | None, Message], None]
"""Takes per cent, if known, and what is being done."""
LOCAL = "localhost/"


@dataclass(frozen=True)
class Missing:
    """What a start needs and the engine lacks: a reference, and whether what outside images lack is still packed."""

    reference: str = ""
    packed: bool = False


class Images(Protocol):
    """What the service asks about images."""

    async def missing(self, wanted: WantedImage) -> Missing | None:
        """Return what has to be fetched first; None if the start can go on. Raises `LaunchRefused`, `Unavailable`."""

    async def pull(self, reference: str, report: Report) -> None:
        """Fetch an image from its registry. Raises an `MLabError`."""

    async def unpack(self) -> None:
        """Take what outside images lack out of its image."""

    async def own(self, user: str) -> tuple[OwnImage, ...]:
        """Return the images that a user saved."""

    async def save(self, user: str, server_name: str, name: str, description: str) -> OwnImage:
        """Save a server as an image of its owner's."""

    async def remove(self, user: str, name: str) -> None:
        """Delete a user's image."""


@dataclass(frozen=True)
class EngineImages:
    """The images of Podman or Docker."""

    api: EngineApi
    saved: SavedLayers
    owned: OwnImages
    runtime: Runtime

    async def missing(self, wanted: WantedImage) -> Missing | None:
        """Return what has to be fetched first."""
        origin = await find_origin(wanted, self.api, self.saved, self.owned)
        if origin is not None:
            return await self._missing_runtime() if origin.outside else None
        if wanted.kind == "saved":
            raise LaunchRefused(
                Message.of(N_("There is no saved image {image}. Choose another one."), image=wanted.name),
                code="image_missing",
            )
        return Missing(wanted.reference)

    async def pull(self, reference: str, report: Report) -> None:
        """Fetch an image from its registry."""
        progress = PullProgress()
        async for line in self.api.pull(reference):
            report(*progress.add(line))

    async def unpack(self) -> None:
        """Take what outside images lack out of its image."""
        await self.runtime.ensure()

    async def own(self, user: str) -> tuple[OwnImage, ...]:
        """Return the images that a user saved."""
        return await self.owned.of_user(user)

    async def save(self, user: str, server_name: str, name: str, description: str) -> OwnImage:
        """Save a server as an image of its owner's."""
        return await self.owned.save(user, server_name, name, description)

    async def remove(self, user: str, name: str) -> None:
        """Delete a user's image."""
        await self.owned.remove(user, name)

    async def _missing_runtime(self) -> Missing | None:
        if await self.runtime.find() is not None:
            return None
        if await self.api.image(REFERENCE) is None:
            return Missing(REFERENCE)
        return Missing(packed=True)


def may_be_pulled(reference: str) -> bool:
    """Whether a reference names a registry, so that an engine looks for it there and nowhere else."""
    parsed = parse_reference(reference)
    return parsed is not None and not reference.startswith(LOCAL)
