"""The launch page: can I get it, and who pays? Choose, see at once what would happen, start.

Guarantees: what the line below the choices says comes from the same decision that a launch is judged by; a refused form
comes back with its choices and the reason where it belongs; pressing *Start* twice starts one server; a form that was
open for too long starts nothing, and comes back with its choices too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import escape
from tornado.web import HTTPError

from mlabhub.core.names import check_display_name, make_server_name
from mlabhub.core.tools import TENSORBOARD
from mlabhub.errors import LaunchRefused, MLabError
from mlabhub.i18n import N_
from mlabhub.messages import Message
from mlabhub.service.fetching import ImageFetching
from mlabhub.service.pages.base import PageHandler
from mlabhub.service.pages.choices import GPU_IDS, kept_arguments, read_options, taken
from mlabhub.service.pages.environment import render_part
from mlabhub.service.pages.fetching import fetching_url
from mlabhub.service.pages.look import Look, look, restarted
from mlabhub.service.views import ServerView
from mlabhub.service.wait_views import QueueEntryView

MOST_LIVE_CARDS = 60
"""How many profiles one refresh of the page can ask about: those on the screen."""

EXPIRED = "expired"


@dataclass(frozen=True)
class Problem:
    """Why the form came back, and at which field it is shown; without a field, above the form."""

    sentence: str
    field: str = ""
    status: int = 422


class LaunchBase(PageHandler):
    """What the page and its live parts share."""

    def arguments_of(self, *, body: bool) -> dict[str, str]:
        """Return the form's fields, of the body or of the address, the last of each; of GPUs, all."""
        names = self.request.body_arguments if body else self.request.query_arguments
        get = self.get_body_arguments if body else self.get_query_arguments
        return {
            name: ",".join(get(name)) if name == GPU_IDS else get(name)[-1]
            for name in names
            if not name.startswith("_")
        }

    async def look(self, user: str, arguments: Mapping[str, str], cards: Sequence[str] | None = None) -> Look:
        """Return what the page shows of these choices, as the one who asks may know it."""
        return await look(
            self.launcher,
            self.person,
            user,
            arguments,
            t=self.t,
            url=self.page_url,
            simulated=bool(self.site.simulate_gpus),
            cards=cards,
            entry=await self.entry(user, arguments),
        )

    async def entry(self, user: str, arguments: Mapping[str, str]) -> QueueEntryView | None:
        """Return what waits already and is to be changed, if the form is about that."""
        launch_id = arguments.get("entry", "")
        if not launch_id:
            return None
        entries = await self.queue_desk.queue(self.person)
        return next((one for one in entries if one.launch_id == launch_id and one.may_act and one.user == user), None)


class LaunchHandler(LaunchBase):
    """The page and its form."""

    async def get(self) -> None:
        """Show the form, with the choices that the address has; a TensorBoard alone is started from the home page."""
        arguments = self.arguments_of(body=False)
        if (name := arguments.get("server", "")) and await self._is_board(name):
            self.redirect(f"{self.page_url(user=self.other(self.subject()))}#tensorboard")
            return
        problem = None
        if EXPIRED in arguments:
            problem = Problem(
                self.t(N_("The form was open for too long, so nothing was started. Look at it again and press Start.")),
                status=200,
            )
        await self._show(arguments, problem)

    async def _is_board(self, name: str) -> bool:
        servers = await self.launcher.servers(self.subject())
        return any(one.server_name == name and one.kind == TENSORBOARD for one in servers)

    async def post(self) -> None:
        """Start the server, or show the form again with the reason; or only show what the choices would be answered."""
        self.require_navigation()
        sent = self.arguments_of(body=True)
        arguments, user = taken(sent), self.subject()
        kept = {**kept_arguments(arguments), "user": self.other(user)}
        if "look" in arguments:
            self.redirect(self.page_url("launch", **kept), status=303)
            return
        try:
            # A button that says "now" promises no place in the queue for the lesser choice.
            launch_id = await self._launch(user, arguments, queue="take" not in sent)
        except ImageFetching as error:
            self.redirect(fetching_url(self, error.view.image, arguments), status=303)
            return
        except MLabError as error:
            await self._show(
                arguments, Problem(self.t.say(error.message), str(error.data.get("key", "")), error.status)
            )
            return
        self.redirect(self.page_url(f"starting/{launch_id}", **kept), status=303)

    async def _launch(self, user: str, arguments: Mapping[str, str], *, queue: bool) -> str:
        """Start it, or let it wait where ``queue``, or change what waits; return the launch's id."""
        if launch_id := arguments.get("entry", ""):
            return (await self.queue_desk.change(self.person, launch_id, read_options(arguments))).launch_id
        servers = await self.launcher.servers(user)
        server_name, display_name = choose_names(servers, arguments)
        known = next((one for one in servers if one.server_name == server_name), None)
        if known is not None and known.state == "pending" and known.launch_id:
            return known.launch_id  # the second press of Start
        answer = await self.launcher.launch(
            self.person,
            user=user,
            server_name=server_name,
            display_name=display_name,
            user_options=read_options(arguments),
            idempotency_key=_idempotency_key(arguments),
            queue=queue,
        )
        return answer.launch_id

    async def _show(self, arguments: Mapping[str, str], problem: Problem | None = None) -> None:
        user = self.subject()
        page = await self.look(user, arguments)
        if problem is not None:
            self.set_status(problem.status)
            if problem.field not in {*page.fields, "group", "display_name", "image", "gpu_ids", "mounts"}:
                problem = replace(problem, field="")
        self.render_page(
            "launch.html",
            title=self.t(N_("Change the request")) if page.entry else self.t(N_("Start a server")),
            other=self.other(user),
            problem=problem,
            page=page,
        )

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Lead a form back whose login or token has ended, with its choices; everything else is an error as usual."""
        error = (kwargs.get("exc_info") or (None, None, None))[1]
        if self.request.method != "POST" or status_code != 403 or not isinstance(error, HTTPError):
            super().write_error(status_code, **kwargs)
            return
        try:
            kept = kept_arguments(taken(self.arguments_of(body=True)))
        except HTTPError:  # not even text
            kept = {}
        self.set_status(303)
        self.set_header("Location", self.page_url("launch", **{**kept, EXPIRED: "1"}))
        self.finish()


class PreviewHandler(LaunchBase):
    """The parts of the page that follow the choices and the world, for the page's script."""

    answers_json = True

    async def post(self) -> None:
        """Answer with each part's text for the form as it stands; ``cards`` are the profiles on the screen."""
        arguments, user = taken(self.arguments_of(body=True)), self.subject()
        cards = arguments.pop("cards", "").split()[:MOST_LIVE_CARDS]
        key = arguments.pop("key", "")[:100]
        page = await self.look(user, arguments, cards)
        other = self.other(user)
        parts = {
            "forecast": self.render_text("_forecast.html", forecast=page.forecast),
            "offer": self.render_text("_offer.html", forecast=page.forecast),
            "head": render_part("head", page.head),
            **{f"word-{key}": render_part("word", word) for key, word in page.words.items()},
            **{f"gpu-{row.uuid}": render_part("gpu", row) for row in page.gpus},
            **{f"card-{card.slug}": render_part("when", card) for section in page.sections for card in section.cards},
        }
        parts["note-image"] = str(escape(page.image_note))
        parts["idle"] = str(escape(page.idle))
        parts["start"] = str(escape(page.button))
        if cards:
            parts["again"] = self.render_text("_again.html", again=page.again, key=key, other=other)
        self.finish({"kind": page.forecast.kind if page.forecast else "", "parts": parts})


def choose_names(servers: Sequence[ServerView], arguments: Mapping[str, str]) -> tuple[str, str]:
    """Return the hub's name and the shown name of the server that a form is about.

    Nothing typed means the default server; the name of a server that is stopped, or is just starting, means that one.
    """
    known = restarted(servers, arguments.get("server", ""))
    if known is not None:
        return known.server_name, known.display_name
    typed = arguments.get("name", "").strip()
    if typed:
        check_display_name(typed)
        same = next((one for one in servers if one.display_name == typed), None)
        if same is None:
            return make_server_name(typed, {one.server_name for one in servers}), typed
        sentence = N_("There is a server called {name} already, and it is running. Give this one another name.")
    else:
        same = next((one for one in servers if not one.server_name), None)
        sentence = N_("The server without a name is running already. Give this one a name.")
    if same is None or same.state in ("stopped", "pending"):
        return (same.server_name, same.display_name) if same is not None else ("", "")
    raise LaunchRefused(Message.of(sentence, name=typed), key="display_name")


def _idempotency_key(arguments: Mapping[str, str]) -> str | None:
    """Return a key for this form as it was sent: the same form twice is one launch, a changed one is another."""
    key = arguments.get("key", "")
    if not key:
        return None
    sent = json.dumps(sorted(arguments.items())).encode()
    return hashlib.sha256(sent).hexdigest()
