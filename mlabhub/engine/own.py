"""Images that people saved by name: an environment as it is, for its owner to start others from.

Guarantees: an image is its owner's alone, by its name in the engine, which no registry can give; the secrets of the
launch that it was saved from are not in it; how many there are, and how large each may be, is bounded; saving twice at
once, or while the server stops, gives one image or a sentence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from mlabhub.core.names import is_saved_name, server_slug, user_slug
from mlabhub.core.quote import quote
from mlabhub.engine import labels
from mlabhub.engine.api import EngineApi
from mlabhub.engine.containerfile import label_line
from mlabhub.engine.errors import EngineError
from mlabhub.engine.info import ContainerInfo, ImageInfo
from mlabhub.engine.saved import MOST_LAYERS_IN_ALL, SavedLayers, make_changes
from mlabhub.errors import InvalidLaunch, LaunchRefused, NotFound
from mlabhub.messages import N_, Message

MOST_IMAGES = 10
MOST_BYTES = 30 * 2**30
"""What one image may have beyond the image that its server was started from."""
MOST_DESCRIPTION = 200


@dataclass(frozen=True)
class OwnImage:
    """One saved image. ``size`` is in bytes, layers below included; ``created`` in seconds since the epoch."""

    name: str
    user: str
    reference: str
    id: str
    of_image: str
    description: str
    created: float | None
    size: int
    root: bool
    outside: bool
    environment: tuple[str, ...] = ()


class OwnImages:
    """The images that people of one installation saved."""

    def __init__(self, api: EngineApi, instance: str, saved: SavedLayers, *, most: int = MOST_IMAGES):
        self._api = api
        self._instance = instance
        self._saved = saved
        self._most = most
        self._busy: dict[str, asyncio.Lock] = {}

    async def of_user(self, user: str) -> tuple[OwnImage, ...]:
        """Return a user's images, by name."""
        found = await self._api.images({labels.OWN: "", labels.INSTANCE: self._instance, labels.USER: user})
        prefix = labels.own_repository(self._instance, user_slug(user)) + ":"
        named = (
            (name.removeprefix(prefix), one) for one in found for name in one.references if name.startswith(prefix)
        )
        return tuple(sorted((_own(name, one) for name, one in named), key=lambda one: one.name))

    async def find(self, user: str, name: str) -> OwnImage | None:
        """Return one of a user's images."""
        if not is_saved_name(name):
            return None
        found = await self._api.image(self._reference(user, name))
        return None if found is None else _own(name, found)

    async def remove(self, user: str, name: str) -> None:
        """Delete one. Servers that were started from it go on. Raises `NotFound`."""
        found = await self.find(user, name)
        if found is None:
            raise NotFound(Message.of(N_("There is no saved image {name}."), name=quote(name)))
        await self._api.untag(found.reference, found.id)

    async def save(self, user: str, server_name: str, name: str, description: str = "") -> OwnImage:
        """Save a server as it is now, running or stopped. An image of that name is replaced only by deleting it first.

        Raises `InvalidLaunch`, `LaunchRefused`, `NotFound`, `EngineError`.
        """
        self._check(name, description)
        lock = self._busy.setdefault(user, asyncio.Lock())
        if lock.locked():
            raise LaunchRefused(N_("Another image of yours is being saved. Try again when it is done."), code="saving")
        async with lock:
            mine = await self.of_user(user)
            if any(one.name == name for one in mine):
                raise LaunchRefused(
                    Message.of(N_("You have an image {name} already. Delete it, or take another name."), name=name),
                    code="name_in_use",
                )
            if len(mine) >= self._most:
                raise LaunchRefused(
                    Message.of(
                        N_("You have {most} saved images, which is as many as there may be. Delete one first."),
                        most=self._most,
                    ),
                    code="too_many_images",
                )
            await self._save(user, server_name, name, description)
        made = await self.find(user, name)
        if made is None:
            raise EngineError(N_("The engine did not keep the image. Try again."))
        return made

    async def _save(self, user: str, server_name: str, name: str, description: str) -> None:
        slug = server_slug(user, server_name)
        found = await self._api.container(labels.container_name(self._instance, slug))
        if found is not None and found.state != "created":
            try:
                await self._save_container(found, user, name, description)
                return
            except EngineError:
                if await self._api.container(found.id) is not None:
                    raise
                # It was stopped just now, and what was installed in it saved.
        latest = await self._saved.latest(user, server_name)
        if latest is None:
            raise NotFound(
                N_("Nothing was installed in this server, so there is nothing to save: its image has it all."),
            )
        await self._save_image(latest.reference, latest.image, user, name, description)

    async def _save_container(self, found: ContainerInfo, user: str, name: str, description: str) -> None:
        if found.running and found.labels.get(labels.ROOT) == "1":
            raise LaunchRefused(
                N_(
                    "A server with sudo can be saved when it is stopped. Stop it, which keeps what is in it; then save."
                ),
                code="stop_first",
            )
        image = await self._api.image(f"sha256:{found.image_id}")
        lines = make_changes(
            found,
            () if image is None else image.environment,
            self._labels(user, found.labels.get(labels.IMAGE, ""), description),
        )
        if await self._api.written_bytes(found.id) > MOST_BYTES:
            raise LaunchRefused(
                Message.of(
                    N_("More than {most} GiB were installed in this server; an image may have no more. Remove some."),
                    most=MOST_BYTES // 2**30,
                ),
                code="too_large",
            )
        deep = image is not None and image.layers >= MOST_LAYERS_IN_ALL
        save = self._api.squash if deep else self._api.commit
        await save(found.id, labels.own_repository(self._instance, user_slug(user)), name, lines)

    async def _save_image(self, reference: str, image: str, user: str, name: str, description: str) -> None:
        lines = [label_line(key, value) for key, value in self._labels(user, image, description).items()]
        await self._api.copy_image(reference, labels.own_repository(self._instance, user_slug(user)), name, lines)

    def _labels(self, user: str, image: str, description: str) -> Mapping[str, str]:
        return {
            labels.OWN: "1",
            labels.INSTANCE: self._instance,
            labels.USER: user,
            labels.SERVER: "",
            labels.OF_IMAGE: image,
            labels.PARENT: "",
            labels.DESCRIPTION: description,
        }

    def _reference(self, user: str, name: str) -> str:
        return f"{labels.own_repository(self._instance, user_slug(user))}:{name}"

    @staticmethod
    def _check(name: str, description: str) -> None:
        if not is_saved_name(name):
            raise InvalidLaunch(
                Message.of(
                    N_("{name} cannot be an image's name: use a to z, 0 to 9 and single dashes, 1 to 40."),
                    name=quote(name),
                ),
                key="name",
            )
        if len(description) > MOST_DESCRIPTION or not description.isprintable():
            raise InvalidLaunch(
                Message.of(N_("The description must be one line of at most {most} characters."), most=MOST_DESCRIPTION),
                key="description",
            )


def _own(name: str, image: ImageInfo) -> OwnImage:
    return OwnImage(
        name=name,
        user=image.labels.get(labels.USER, ""),
        reference=next((one for one in image.references if one.endswith(f":{name}")), image.id),
        id=image.id,
        of_image=image.labels.get(labels.OF_IMAGE, ""),
        description=image.labels.get(labels.DESCRIPTION, ""),
        created=image.created,
        size=image.size,
        root=image.labels.get(labels.ROOT) == "1",
        outside=bool(image.labels.get(labels.OUTSIDE)),
        environment=image.environment,
    )
