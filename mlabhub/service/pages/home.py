"""Home: the servers that a person has, what waits, what is to be given back, what can be done, and TensorBoard.

Guarantees: a log folder is shown only if it is in a folder of one's own; pressing *Show* twice starts one server; what
is refused comes back with what was typed and one sentence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from urllib.parse import quote

from markupsafe import Markup

from mlabhub.core.log_folders import KEY, read_log_folder
from mlabhub.core.names import make_server_name
from mlabhub.core.tools import TENSORBOARD
from mlabhub.errors import LaunchRefused, MLabError, NotPermitted
from mlabhub.i18n import N_
from mlabhub.service.pages.base import PageHandler
from mlabhub.service.pages.board import STATES, find_board, make_board
from mlabhub.service.pages.cards import Card, in_order, make_card
from mlabhub.service.pages.confirm import QUESTIONS
from mlabhub.service.pages.folders import make_folders
from mlabhub.service.pages.idle import KEPT, Looks
from mlabhub.service.pages.idling import IdleLine, WarningCard, make_line, make_warning
from mlabhub.service.pages.queueing import NoticeCard, QueueCard, make_notice, make_queue_card
from mlabhub.service.pages.quota_bars import make_bars
from mlabhub.service.pages.words import server_title
from mlabhub.service.views import CatalogView, ServerView

NAME = "TensorBoard"


@dataclass(frozen=True)
class HomeParts:
    """What changes by itself on the page. ``moves``: something of it does so soon."""

    servers: tuple[ServerView, ...]
    view: CatalogView
    cards: list[Card]
    waiting: list[QueueCard]
    notices: list[NoticeCard]
    warnings: list[WarningCard]

    @property
    def moves(self) -> bool:
        """Whether something waits, starts, ends or is counted down, or a notice to give it back may come."""
        return bool(self.waiting or self.notices or self.warnings) or any(
            card.state in ("pending", "stopping") or card.claim is not None or card.loan or _goes_on(card)
            for card in self.cards
        )


def _goes_on(card: Card) -> bool:
    """Whether its GPUs are on their way, back or forth."""
    return bool(card.shelved) and not card.bring_url


class HomeBase(PageHandler):
    """What shows the page."""

    @property
    def looks(self) -> Looks:
        """What there is to see of idleness."""
        looks: Looks = self.application.settings["idle_looks"]
        return looks

    async def look(self, user: str) -> tuple[tuple[ServerView, ...], CatalogView]:
        """Return a user's servers, and what they may choose."""
        return await asyncio.gather(
            self.launcher.servers(user), self.launcher.catalog_for(replace(self.person, name=user))
        )

    async def parts_of(self, user: str) -> HomeParts:
        """Return what changes by itself."""
        words, other = self.words, self.other(user)
        (servers, view), past, queue, notices = await asyncio.gather(
            self.look(user),
            self.launcher.past_launches(user),
            self.queue_desk.queue(self.person),
            self.queue_desk.notices(self.person, user),
        )
        last = {one.server_name: one.options for one in past}
        board, profiles = find_board(servers), {profile.slug: profile.display_name for profile in view.profiles}
        by_launch = {server.launch_id: server for server in servers}
        waiting = [one for one in queue if one.may_act and one.user == user]
        names = {one.server_name for one in waiting}
        lines, warnings = self._idle_of(user, by_launch)
        make = partial(
            make_card, view=view, t=self.t, url=self.page_url, other=other, simulated=words.simulated, now=words.now
        )
        return HomeParts(
            servers,
            view,
            cards=[
                make(
                    server,
                    options=last.get(server.server_name),
                    idle=lines.get(server.launch_id or ""),
                    use=self.looks.use(server.launch_id) if server.launch_id else None,
                )
                for server in in_order(servers)
                if server is not board
                and not (server.state == "stopped" and (server.kind == TENSORBOARD or server.server_name in names))
            ],
            waiting=[make_queue_card(one, queue, words, profiles) for one in waiting],
            notices=[make_notice(one, by_launch.get(one.launch_id), words) for one in notices],
            warnings=warnings,
        )

    def _idle_of(
        self, user: str, servers: Mapping[str | None, ServerView]
    ) -> tuple[dict[str, IdleLine], list[WarningCard]]:
        """Return what is said of the idleness of each launch, and the warnings in force."""
        words, other, views = self.words, self.other(user), self.looks.of_user(self.person, user)
        warnings = (make_warning(one, servers.get(launch_id), words, other) for launch_id, one in views.items())
        lines = {launch_id: make_line(one, words, other) for launch_id, one in views.items()}
        return lines, [one for one in warnings if one is not None]

    def texts_of(self, parts: HomeParts, user: str) -> dict[str, str]:
        """Return the text of each part."""
        other = self.other(user)
        return {
            "warnings": self.render_text("_home_warnings.html", warnings=parts.warnings),
            "notices": self.render_text("_home_notices.html", notices=parts.notices),
            "waiting": self.render_text("_home_queue.html", waiting=parts.waiting),
            "servers": self.render_text(
                "_home_servers.html", cards=parts.cards, other=other, waiting=bool(parts.waiting)
            ),
            "quotas": self.render_text("_home_quotas.html", quotas=make_bars(parts.view, other, self.t)),
        }

    async def show_home(self, user: str, *, typed: str = "", problem: str = "") -> None:
        """Show a person's servers; ``problem`` is why the log folder that was typed is not shown."""
        parts, storage = await asyncio.gather(self.parts_of(user), self.launcher.storage(self.person, user))
        other, servers, view = self.other(user), parts.servers, parts.view
        self.render_page(
            "home.html",
            title=self.t(N_("Servers of {user}"), user=user) if other else self.t(N_("My servers")),
            other=other,
            notice=self._notice(servers),
            parts={name: Markup(text) for name, text in self.texts_of(parts, user).items()},
            moves=parts.moves,
            parts_url=self.page_url("parts", user=other),
            events_url=self.page_url("api/v1/queue/events"),
            board=make_board(servers, view, t=self.t, url=self.page_url, other=other, typed=typed, problem=problem),
            folders=make_folders(storage, self.t),
        )

    def _notice(self, servers: Sequence[ServerView]) -> str:
        """Say that an act was done, if it was: the address is only believed as far as the servers bear it out."""
        done = self.get_query_argument("done", "")
        if done == "left":
            return self.t(N_("It was taken out of the queue."))
        if done == "kept":
            return self.t(KEPT)
        question = QUESTIONS.get(done)
        name = self.get_query_argument("server", "")
        server = next((one for one in servers if one.server_name == name), None)
        if question is None or server is None or server.state == "running":
            return ""
        return self.t(question.done, server=server_title(self.t, server))


class HomeHandler(HomeBase):
    """The page."""

    async def get(self) -> None:
        """Show one's own servers, or for admins anybody's."""
        await self.show_home(self.subject())


class HomePartsHandler(HomeBase):
    """The parts of the page that change by themselves, for its script."""

    answers_json = True

    async def get(self) -> None:
        """Answer with the text of each, and whether to look again soon."""
        user = self.subject()
        parts = await self.parts_of(user)
        self.finish({"parts": self.texts_of(parts, user), "moves": parts.moves})


class BoardHandler(HomeBase):
    """``Show``: start it, or take the folder to the one that runs."""

    async def get(self) -> None:
        """Lead to the section: this address is only ever posted to, and may be left in a browser's history."""
        self.redirect(self.page_url(user=self.other(self.subject())))

    async def post(self) -> None:
        """Show a folder, or say on the home page why not."""
        self.require_navigation()
        user, typed = self.subject(), self.get_body_argument("folder", "")
        try:
            address = await self._show(user, typed.strip())
        except MLabError as error:
            self.set_status(error.status)
            await self.show_home(user, typed=typed, problem=self.t.say(error.message))
            return
        self.redirect(address, status=303)

    async def _show(self, user: str, typed: str) -> str:
        """Return where the folder can be seen, or watched on its way there."""
        servers, view = await self.look(user)
        path = read_log_folder(typed, [place.target for place in view.places]) if typed else ""
        server = find_board(servers)
        if server is not None and server.state == "running":
            return await self._address(server, path)
        if server is not None and server.state == "pending" and server.launch_id:
            return self.page_url(f"starting/{server.launch_id}")
        if server is not None and server.state != "stopped":
            raise LaunchRefused(STATES[server.state].explanation)
        return await self._start(user, view, servers, path)

    async def _address(self, server: ServerView, path: str) -> str:
        if not path:
            return server.open_url
        path = await self.launcher.path_in_server(server.user, path)
        return f"{server.url}mlabhub/log-folders?add={quote(path, safe='/')}"

    async def _start(self, user: str, view: CatalogView, servers: Sequence[ServerView], path: str) -> str:
        if not view.tensorboard:
            raise NotPermitted(N_("No TensorBoard is offered to you here. Ask an administrator."))
        past = find_board(servers)
        taken = {one.server_name for one in servers}
        answer = await self.launcher.launch(
            self.person,
            user=user,
            server_name=past.server_name if past else make_server_name(f"{NAME} server", taken),
            display_name=NAME,
            user_options={"profile": view.tensorboard, **({KEY: [path]} if path else {})},
            queue=False,
        )
        return self.page_url(f"starting/{answer.launch_id}", user=self.other(user))
