"""Why one server is kept or at risk, and what its person can do: keep it, give its GPUs back, stop it.

Guarantees: what is not theirs is not there; what is not known is said to be not known; keeping is one press, and giving
GPUs back happens only after the question of `mlabhub.service.pages.confirm` was seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from mlabhub.core.idle.rule_words import rule_sentences
from mlabhub.core.idle.words import span
from mlabhub.core.quote import plain
from mlabhub.core.readings import Sample
from mlabhub.errors import LaunchRefused, MLabError, NotFound, Unavailable
from mlabhub.i18n import N_
from mlabhub.ledger import Reservation
from mlabhub.messages import Message
from mlabhub.service.idle.views import IdleView
from mlabhub.service.pages.base import PageHandler
from mlabhub.service.pages.confirm import Asking, Question
from mlabhub.service.pages.idling import KEEP_S, make_warning, name_of
from mlabhub.service.pages.picture import DAY_S, Happened, Picture, make_picture
from mlabhub.service.pages.waits import local
from mlabhub.service.pages.words import server_title
from mlabhub.service.shelving.views import Returning
from mlabhub.service.views import Person, ServerView

LONGEST_REASON = 500

OVER = N_("This launch is over, so nothing is kept or stopped any more.")
SIGNALS = {
    "gpu": N_("GPU"),
    "gpu_memory": N_("GPU memory"),
    "cpu": N_("Processors"),
    "input": N_("Keys and pointer"),
    "work": N_("Kernels and terminals"),
    "last_activity": N_("Activity at the hub"),
}
RELEASE_GPU = Question(
    N_("Give the GPUs of {server} back, and keep the work?"),
    (
        N_("What is open is saved; then it stops: notebooks, terminals and training runs end."),
        N_("It starts again by itself without GPUs, with your files and what you installed."),
        N_("Its GPUs are free for others."),
    ),
    N_("Give the GPUs back"),
    N_("{server} gives its GPUs back."),
)
BRING_BACK = Question(
    N_("Give {server} its GPUs again?"),
    (
        N_("What runs in it now ends: notebooks, terminals. Save your work first."),
        N_("It starts again as it was, with its GPUs, your files and what you installed."),
        N_("Where its GPUs are not free, nothing ends, and you are asked once more."),
    ),
    N_("Give me my GPUs again"),
    N_("{server} is on its way to having its GPUs again."),
)
BRING_BACK_WAIT = Question(
    N_("The GPUs of {server} are not free now. Wait for them?"),
    (
        N_("What runs in it now ends: notebooks, terminals. Save your work first."),
        N_("It waits in the queue, and starts with its GPUs when its turn comes. Until then there is no server."),
        N_("Your files and what you installed stay."),
    ),
    N_("End it and wait"),
    BRING_BACK.done,
)
KEPT = N_("It is kept. Nothing happens to it for that long, however idle it is.")
WOULD_WAIT = "would_wait"


class Looks(Protocol):
    """What the pages ask."""

    async def find(self, person: Person, launch_id: str) -> Reservation: ...
    def view(self, person: Person, user: str, server: str) -> IdleView: ...
    async def history(
        self, person: Person, user: str, server: str, since: float, until: float
    ) -> tuple[Sample, ...]: ...
    def of_user(self, person: Person, user: str) -> Mapping[str, IdleView]: ...


class IdleBase(PageHandler):
    """What shows a launch."""

    async def show(self, launch_id: str, *, problem: str = "", typed: str = "") -> None:
        """Show the verdict, signal by signal, and what can be done."""
        looks: Looks = self.application.settings["idle_looks"]
        one = await looks.find(self.person, launch_id)
        view = looks.view(self.person, one.user, one.server) if one.state == "held" else None
        if view is not None and view.launch.launch_id != launch_id:
            view = None
        other = self.other(one.user)
        self.render_page(
            "idle.html",
            title=self.t(N_("Why {server} is kept or at risk"), server=name_of(one, self.t)),
            launch_id=launch_id,
            other=other,
            over=self.t(OVER),
            view=view,
            times=[] if view is None else self._times(view),
            signals=[]
            if view is None
            else [(self.t(SIGNALS[it.name]), self.t.say(it.text), it) for it in view.signals],
            reasons=[] if view is None else [self.t.say(reason) for reason in view.reasons],
            rule=[] if view is None else [self.t.say(it) for it in rule_sentences(view.policy, len(one.gpus))],
            keepings=[] if view is None else self._keepings(view),
            picture=await self._picture(one, view),
            keep=None if view is None or not view.keep_left else self.t.say(span(min(KEEP_S, view.keep_most_s))),
            problem=problem,
            typed=typed,
            longest=LONGEST_REASON,
            release_url=self.page_url("release-gpu", server=one.server or None, user=other),
            stop_url=self.page_url("stop", server=one.server or None, user=other),
        )

    async def _picture(self, one: Reservation, view: IdleView | None) -> Picture | None:
        """Return a day of the server; None while nobody can look it up."""
        looks: Looks = self.application.settings["idle_looks"]
        until = view.now if view is not None else one.changed
        try:
            samples = await looks.history(self.person, one.user, one.server, until - DAY_S, until)
        except Unavailable:
            return None
        happened = []
        if view is not None:
            told = None if view.warning is None else view.warning.told
            if told is not None:
                said = self.t(N_("Warned at {time}"), time=self.t.moment(local(told), local(view.now)))
                happened.append(Happened("warned", told, None, said))
            kept = zip(view.keepings, self._keepings(view), strict=True)
            happened += [Happened("kept", it.at, it.until, said) for it, said in kept]
        return make_picture(samples, until, happened, self.t)

    def _times(self, view: IdleView) -> list[tuple[str, str]]:
        now = datetime.now().astimezone()
        told = None if view.warning is None else view.warning.told
        known = (
            (N_("Last at work"), view.since),
            (N_("Warned"), told if told is not None else view.due),
            (N_("Ends unless used or kept"), view.deadline),
        )
        return [(self.t(what), self.t.moment(local(at), now)) for what, at in known if at is not None]

    def _keepings(self, view: IdleView) -> list[str]:
        now = datetime.now().astimezone()
        return [
            self.t.say(
                Message.of(
                    N_("Kept by {person} until {time}. {reason}"),
                    person=plain(kept.by),
                    time=self.t.moment(local(kept.until), now),
                    reason=plain(kept.reason),
                )
            ).strip()
            for kept in view.keepings
        ]


class IdlePageHandler(IdleBase):
    """The page; ``Keep it`` is posted to it, from there and from the home page."""

    async def get(self, launch_id: str) -> None:
        """Show it."""
        await self.show(launch_id)

    async def post(self, launch_id: str) -> None:
        """Keep the server for a while, or say on the page why not."""
        self.require_navigation()
        settings, reason = self.application.settings, self.get_body_argument("reason", "")
        one = await settings["idle_looks"].find(self.person, launch_id)
        if one.state != "held":
            raise NotFound(OVER)
        try:
            await settings["idle_desk"].extend(self.person, one.user, one.server, KEEP_S, reason)
        except MLabError as error:
            self.set_status(error.status)
            await self.show(launch_id, problem=self.t.say(error.message), typed=reason[:LONGEST_REASON])
            return
        if self.get_body_argument("from", "") == "home":
            self.redirect(self.page_url(user=self.other(one.user), done="kept"), status=303)
            return
        self.redirect(self.page_url(f"idle/{launch_id}"), status=303)


class WarnedHandler(PageHandler):
    """One's own warnings in force, for the script that tells them outside the page."""

    answers_json = True

    async def get(self) -> None:
        """Answer with each: what it says, and where it is explained."""
        looks: Looks = self.application.settings["idle_looks"]
        views = looks.of_user(self.person, self.person.name).values()
        warnings = (make_warning(one, None, self.words, None) for one in views)
        told = [
            {"mark": one.mark, "title": one.title, "body": one.said, "url": one.acts.why_url}
            for one in warnings
            if one is not None
        ]
        self.finish({"warnings": told})


class ReleaseGpuHandler(Asking):
    """Gives the GPUs of a server back."""

    field = "server"

    async def look(self, act: str, user: str, name: str) -> tuple[str, Question]:
        """Return what the server is called, and what to ask."""
        for server in await self.launcher.servers(user):
            if server.server_name == name and server.state == "running" and server.gpus:
                return server.display_name or name or self.t(N_("Default server")), RELEASE_GPU
        raise NotFound(N_("This server does not run, or has no GPU to give back."))

    async def act(self, act: str, user: str, name: str) -> str:
        """Give them back."""
        await self.application.settings["shelving"].release(self.person, user, name)
        return self.page_url(user=self.other(user))


class BringBackHandler(Asking):
    """Lets a server that gave its GPUs back have them again; where it would wait for them, it asks once more."""

    field = "server"

    async def look(self, act: str, user: str, name: str) -> tuple[str, Question]:
        """Return what the server is called, and what to ask."""
        for server in await self.launcher.servers(user):
            if server.server_name == name and server.shelved is not None and server.shelved.state == "released":
                return server_title(self.t, server), BRING_BACK if act == "bring-back" else BRING_BACK_WAIT
        raise NotFound(N_("This server has no GPUs to have again, or they are on their way."))

    async def act(self, act: str, user: str, name: str) -> str:
        """Ask for them."""
        shelving, other = self.application.settings["shelving"], self.other(user)
        try:
            told = await shelving.bring_back(self.person, user, name, queue=act == "bring-back-wait")
        except LaunchRefused as error:
            if error.data.get("code") == WOULD_WAIT and act == "bring-back":
                return self.page_url("bring-back-wait", user=other, server=name)
            raise
        return self.page_url(user=other) if isinstance(told, Returning) else self.page_url(f"starting/{told.launch_id}")


class SafeModeHandler(PageHandler):
    """``Start in safe mode``: one press, as a launch is."""

    async def get(self) -> None:
        """Lead home: this address is only ever posted to, and may be left in a browser's history."""
        self.redirect(self.page_url(user=self.other(self.subject())))

    async def post(self) -> None:
        """Start it, if it is offered; a second press leads to what the first one started."""
        self.require_navigation()
        user, name = self.subject(), self.get_body_argument("server", "")
        known = await self._known(user, name)
        launch_id = known.launch_id if known.state == "pending" else None
        if launch_id is None:
            launch_id = (await self.launcher.launch_safe(self.person, user, name)).launch_id
        self.redirect(self.page_url(f"starting/{launch_id}"), status=303)

    async def _known(self, user: str, name: str) -> ServerView:
        for server in await self.launcher.servers(user):
            if server.server_name == name:
                return server
        raise NotFound(N_("There is no server by this name."))
