"""What a server's container is made from: what was saved in the server, an image of its owner's, or one by reference.

Guarantees: service and spawner ask the same, so what is fetched is what is started; an image that a person typed in
counts as one from elsewhere, whatever it says about itself; a saved image is its owner's.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlabhub.core.images import ImageKind
from mlabhub.core.names import SAVED_PREFIX, server_slug
from mlabhub.engine.api import EngineApi
from mlabhub.engine.own import OwnImages
from mlabhub.engine.runtime import brings_all, check_architecture
from mlabhub.engine.saved import SavedLayers


@dataclass(frozen=True)
class WantedImage:
    """The image of a launch, as `LaunchRequest` has it."""

    user: str
    server_name: str
    name: str
    reference: str
    kind: ImageKind


@dataclass(frozen=True)
class Origin:
    """What the engine has for it. ``outside``: it lacks what servers need, so that it is added at each start."""

    image: str
    parent: str
    layers: int
    root: bool
    outside: bool
    environment: tuple[str, ...]


async def find_origin(wanted: WantedImage, api: EngineApi, saved: SavedLayers, own: OwnImages) -> Origin | None:
    """Return what a server would start from; None if the engine has no such image.

    Raises `LaunchRefused` if it is for other processors than this machine's.
    """
    kept = await saved.find(server_slug(wanted.user, wanted.server_name), wanted.name)
    if kept is not None:
        return Origin(kept.reference, kept.parent, kept.layers, kept.root, kept.outside, kept.environment)
    if wanted.kind == "saved":
        mine = await own.find(wanted.user, wanted.name.removeprefix(SAVED_PREFIX))
        if mine is None:
            return None
        return Origin(mine.reference, mine.id, 0, mine.root, mine.outside, mine.environment)
    image = await api.image(wanted.reference)
    if image is None:
        return None
    check_architecture(image, wanted.name)
    outside = wanted.kind == "typed" or not brings_all(image.config)
    return Origin(wanted.reference, image.id, 0, False, outside, image.environment)
