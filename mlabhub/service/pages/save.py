"""Save a server as an image of one's own, and see those that one has."""

from __future__ import annotations

from datetime import datetime, timezone

from mlabhub.core.names import make_saved_name
from mlabhub.errors import MLabError
from mlabhub.i18n import N_
from mlabhub.service.own_images import ImageDesk
from mlabhub.service.pages.base import PageHandler


class SaveHandler(PageHandler):
    """The page and its form."""

    @property
    def desk(self) -> ImageDesk:
        """Where images are saved."""
        return ImageDesk(self.application.settings["world"])

    async def get(self) -> None:
        """Ask for a name; show the images that there are."""
        await self._show(self.get_query_argument("server", ""), done=self.get_query_argument("done", ""))

    async def post(self) -> None:
        """Save, and say so."""
        self.require_navigation()
        user, server = self.subject(), self.get_body_argument("server", "")
        try:
            typed = self.get_body_argument("name", "")
            description = self.get_body_argument("description", "")
            await self.desk.save(self.person.name, user, server, make_saved_name(typed), description)
        except MLabError as error:
            self.set_status(error.status)
            await self._show(server, problem=self.t.say(error.message))
            return
        self.redirect(self.page_url("save", user=self.other(user), server=server, done="saved"), status=303)

    async def _show(self, server: str, *, done: str = "", problem: str = "") -> None:
        user = self.subject()
        self.render_page(
            "save.html",
            title=self.t(N_("Save as an image")),
            other=self.other(user),
            server=server,
            done=done,
            problem=problem,
            typed=self.get_body_argument("name", ""),
            images=[
                (one, datetime.fromtimestamp(one.created, timezone.utc).astimezone() if one.created else None)
                for one in await self.desk.own(user)
            ],
            back=self.page_url(user=self.other(user)),
        )
