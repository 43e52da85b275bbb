"""The images that a person may choose: those of the catalogue, and their own; saving one, deleting one.

Guarantees: nobody sees or touches another person's images; an image of the catalogue that is another group's is not
listed. Saving and deleting stand in the audit; nothing is deleted that cannot be written there.
"""

from __future__ import annotations

from mlabhub.core.names import SAVED_PREFIX
from mlabhub.core.profiles import visible_profiles
from mlabhub.core.quote import plain
from mlabhub.core.tools import TENSORBOARD, WORKBENCH
from mlabhub.engine.own import OwnImage
from mlabhub.errors import LaunchRefused
from mlabhub.inventory.images import Images
from mlabhub.ledger import AuditEntry
from mlabhub.messages import N_, Message
from mlabhub.service.fetching import ImageFetcher, describe
from mlabhub.service.patience import soon
from mlabhub.service.views import ImageView
from mlabhub.service.world import World
from mlabhub.service.writer import Outcome

SAVED = N_("{actor} saved it as the image {image}")
DELETED = N_("{actor} asked to delete the saved image {image}")


class ImageDesk:
    """Lists, saves and deletes images."""

    def __init__(self, world: World):
        self._world = world

    async def list(self, user: str) -> tuple[ImageView, ...]:
        """Return the catalogue's images that a person may use, then their own."""
        hub_user = await self._world.hub.user(user)
        catalog, fetcher = self._world.catalog(), self._world.fetcher
        offered = {
            image.slug: image
            for profile in visible_profiles(catalog, hub_user.groups)
            if profile.kind == WORKBENCH
            for image in catalog.images_of(profile)
            if image.shown and image.open_to(hub_user.groups)
        }
        views = [
            ImageView(
                name=image.slug,
                kind="catalog",
                display_name=image.display_name,
                description=image.description,
                framework=image.framework,
                release=image.release,
                tools=tuple(image.tools),
                fetch=_fetch(fetcher, image.slug),
            )
            for image in offered.values()
        ]
        return (*views, *[_own_view(one) for one in await self.own(user)])

    async def own(self, user: str) -> tuple[OwnImage, ...]:
        """Return a person's own images."""
        images = self._world.backend.images
        return () if images is None else await soon(images.own(user))

    async def save(self, actor: str, user: str, server_name: str, name: str, description: str) -> ImageView:
        """Save a server as an image of its owner's."""
        one = self._world.writer.projection.of_server(user, server_name)
        if one is not None and one.kind == TENSORBOARD:
            raise LaunchRefused(N_("In a TensorBoard nothing is installed, so there is nothing to save."))
        image = await self._images().save(user, server_name, name, description)
        await self._note(actor, user, "save_image", SAVED, image.name, server_name)
        return _own_view(image)

    async def remove(self, actor: str, user: str, name: str) -> None:
        """Delete a person's image."""
        images, name = self._images(), name.removeprefix(SAVED_PREFIX)
        if any(one.name == name for one in await self.own(user)):
            await self._note(actor, user, "delete_image", DELETED, name)
        await images.remove(user, name)

    async def _note(self, actor: str, user: str, act: str, said: str, image: str, server: str = "") -> None:
        """Write into the audit."""
        words = Message.of(said, actor=plain(actor), image=plain(image))
        entry = AuditEntry(self._world.clock(), actor, act, words, user=user, server=server)
        await self._world.writer.submit(lambda _: Outcome(None, (entry,)))

    def _images(self) -> Images:
        images = self._world.backend.images
        if images is None:
            raise LaunchRefused(N_("Servers are plain processes here: they have no images that could be saved."))
        return images


def _own_view(one: OwnImage) -> ImageView:
    return ImageView(
        name=f"{SAVED_PREFIX}{one.name}",
        kind="saved",
        display_name=one.name,
        description=one.description,
        of_image=one.of_image,
        size=one.size,
        created=one.created,
    )


def _fetch(fetcher: ImageFetcher, image: str) -> dict[str, object] | None:
    view = fetcher.view(image)
    return None if view is None else describe(view)
