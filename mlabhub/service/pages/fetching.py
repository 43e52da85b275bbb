"""The page between "Start" and a launch whose image is not on the machine yet: how far it is, and then the launch.

Guarantees: nothing is reserved meanwhile; the launch follows by itself only for whom the launch page led here, with the
very choices that were sent then: anybody can make an address, and nobody can make its ticket; closing the page stops
nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from markupsafe import Markup
from tornado.web import decode_signed_value

from mlabhub.i18n import N_
from mlabhub.service.fetching import FetchView
from mlabhub.service.pages.base import PageHandler

TICKET = "ticket"
IMAGE = "wanted"


def form_of(arguments: Mapping[str, str]) -> dict[str, str]:
    """Return a form as it was sent, without what an address of this page adds; empty fields are in no address."""
    return {name: text for name, text in arguments.items() if text and name not in (TICKET, IMAGE)}


def digest(user: str, form: Mapping[str, str]) -> str:
    """Return what stands for a form as it was sent."""
    return hashlib.sha256(json.dumps([user, sorted(form.items())]).encode()).hexdigest()


def fetching_url(handler: PageHandler, image: str, arguments: Mapping[str, str]) -> str:
    """Return the address of the page for a form whose image is being fetched."""
    form = form_of(arguments)
    ticket = handler.create_signed_value(TICKET, digest(handler.person.name, form)).decode()
    return handler.page_url("fetching", **{**form, IMAGE: image, TICKET: ticket})


class FetchingBase(PageHandler):
    """What the page and its live part share."""

    def view(self) -> FetchView | None:
        """Return how far the image is; None if it is here."""
        return self.application.settings["world"].fetcher.view(self.get_query_argument(IMAGE, ""))

    def fragment(self, view: FetchView | None) -> str:
        """Return the part of the page that changes."""
        left = None
        if view is not None and view.seconds_left is not None:
            left = self.t(N_("about {minutes} min left"), minutes=max(1, round(view.seconds_left / 60)))
        return self.render_text("_fetching.html", view=view, left=left, percent=view and view.percent)

    def title(self, view: FetchView | None) -> str:
        """Return the page's title."""
        image = self.get_query_argument(IMAGE, "")
        if view is None:
            return self.t(N_("The image {image} is here"), image=image)
        if view.state == "failed":
            return self.t(N_("The image {image} could not be fetched"), image=image)
        return self.t(N_("Fetching the image {image}"), image=image)


class FetchingHandler(FetchingBase):
    """The page."""

    async def get(self) -> None:
        """Show how far it is, and the form that starts the server."""
        arguments = {name: self.get_query_argument(name) for name in self.request.query_arguments}
        view, sent = self.view(), form_of(arguments)
        self.render_page(
            "fetching.html",
            view=view,
            title=self.title(view),
            fragment=Markup(self.fragment(view)),
            progress_url=self.page_url("fetching/progress", **{IMAGE: arguments.get(IMAGE, "")}),
            sent=sent,
            by_itself=self._is_genuine(arguments.get(TICKET, ""), sent),
        )

    def _is_genuine(self, ticket: str, sent: Mapping[str, str]) -> bool:
        secret = self.application.settings["cookie_secret"]
        known = decode_signed_value(secret, TICKET, ticket, max_age_days=1)
        return known is not None and known.decode() == digest(self.person.name, sent)


class FetchingProgressHandler(FetchingBase):
    """The page's live part."""

    answers_json = True

    async def get(self) -> None:
        """Answer with state, title and the part that changes."""
        view = self.view()
        state = "here" if view is None else view.state
        self.finish({"state": state, "title": self.title(view), "html": self.fragment(view)})
