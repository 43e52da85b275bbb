"""Calls about images: what may be chosen, saving a server as one, deleting one's own."""

from __future__ import annotations

from mlabhub.service.bodies import SaveBody
from mlabhub.service.handlers.base import ApiHandler, server_of
from mlabhub.service.own_images import ImageDesk


class ImagesHandler(ApiHandler):
    """``GET images``"""

    async def get(self) -> None:
        """List the images that one may choose; for administrators ``?user=NAME``."""
        user = self.subject(self.get_query_argument("user", None))
        self.answer({"images": await ImageDesk(self.world).list(user)})


class ImageHandler(ApiHandler):
    """``DELETE images/NAME``"""

    async def delete(self, name: str) -> None:
        """Delete an image of one's own; for administrators of ``?user=NAME``."""
        user = self.subject(self.get_query_argument("user", None))
        await ImageDesk(self.world).remove(self.person.name, user, name)
        self.answer({"state": "deleted"})


class SaveHandler(ApiHandler):
    """``POST servers/USER/SERVER/save``"""

    async def post(self, user: str, server: str) -> None:
        """Save a server as an image of its owner's."""
        body = self.body(SaveBody)
        owner, name, desk = self.subject(user), self.person.name, ImageDesk(self.world)
        self.answer(await desk.save(name, owner, server_of(server), body.name, body.description), 201)
