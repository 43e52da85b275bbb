"""Why one server is kept or at risk, part by part, and giving GPUs back and having them again.

Guarantees: what is not theirs is not there; what is not known is said to be not known; giving GPUs back happens only
after the question of `mlabhub.service.pages.confirm` was seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, Protocol

from mlabhub.core.idle.day_use import DayUse
from mlabhub.core.idle.rule_words import rule_sentences
from mlabhub.core.idle.words import span
from mlabhub.core.quote import plain
from mlabhub.core.readings import Sample
from mlabhub.errors import LaunchRefused, NotFound, Unavailable
from mlabhub.i18n import N_
from mlabhub.ledger import Keeping, Reservation
from mlabhub.messages import Message
from mlabhub.service.idle.views import IdleView
from mlabhub.service.pages.base import PageHandler
from mlabhub.service.pages.confirm import Asking, Question
from mlabhub.service.pages.idling import KEEP_S, make_warning
from mlabhub.service.pages.picture import DAY_S, Happened, Picture, first_of, make_picture
from mlabhub.service.pages.waits import countdown, local, wait_text
from mlabhub.service.pages.words import server_title
from mlabhub.service.shelving.views import Returning
from mlabhub.service.views import Person, ServerView
from mlabhub.service.wait_views import WaitRange

LONGEST_REASON = 500
MOST_KEEPINGS = 20
"""Of what was kept before the day that the picture shows, the last ones are listed."""

NOT_YET = N_("Whether it is idle is judged as soon as it runs.")
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
KEPT_UNTIL = N_("Kept by {person} until {time}. {reason}")
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
    def use(self, launch_id: str) -> DayUse | None: ...


class IdleBase(PageHandler):
    """What tells of a launch how idle it is."""

    async def look_at(self, launch_id: str) -> tuple[Reservation, IdleView | None]:
        """Return a launch, and the verdict on it, which one that is over has not. Raises `NotFound`."""
        looks: Looks = self.application.settings["idle_looks"]
        one = await looks.find(self.person, launch_id)
        view = looks.view(self.person, one.user, one.server) if one.state == "held" else None
        return one, view if view is not None and view.launch.launch_id == launch_id else None

    async def idle_parts(self, one: Reservation, view: IdleView | None, typed: str = "") -> dict[str, str]:
        """Return the text of each part that changes by itself."""
        values = self._values(one, view, await self._picture(one, view))
        return {
            name: self.render_text(f"_idle_{name}.html", typed=typed, **values)
            for name in ("verdict", "acts", "day", "signals")
        }

    def _values(self, one: Reservation, view: IdleView | None, picture: Picture | None) -> dict[str, Any]:
        """Return what the parts say; of a launch that is over, the picture alone."""
        shown: dict[str, Any] = {
            "view": view,
            "picture": picture,
            "over": self.t(NOT_YET if one.active else OVER),
            "keepings": [],
        }
        if view is None:
            return shown
        about = {"server": one.server or None, "user": self.other(one.user)}
        return {
            **shown,
            "launch_id": one.launch_id,
            "times": self._times(view),
            "ends": None if view.deadline is None else countdown(view.deadline, local(view.now), self.t),
            "signals": [(self.t(SIGNALS[it.name]), self.t.say(it.text), it) for it in view.signals],
            "reasons": [self.t.say(reason) for reason in view.reasons],
            "rule": [self.t.say(it) for it in rule_sentences(view.policy, len(one.gpus))],
            "keepings": self._keepings(view, None if picture is None else first_of(view.now)),
            "keep": self.t.say(span(min(KEEP_S, view.keep_most_s))) if view.keep_left else None,
            "longest": LONGEST_REASON,
            "release_url": self.page_url("release-gpu", **about),
            "stop_url": self.page_url("stop", **about),
        }

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
            happened += [Happened("kept", it.at, it.until, self._kept(it, view)) for it in view.keepings]
        return make_picture(samples, until, happened, self.t)

    def _times(self, view: IdleView) -> list[tuple[str, str]]:
        told = None if view.warning is None else view.warning.told
        known = ((N_("Last at work"), view.since), (N_("Warned"), told if told is not None else view.due))
        return [(self.t(what), self.t.moment(local(at), local(view.now))) for what, at in known if at is not None]

    def _keepings(self, view: IdleView, before: float | None) -> list[str]:
        """Return what was kept, newest first; with ``before``, what was over by then."""
        found = (one for one in reversed(view.keepings) if before is None or one.until < before)
        return [self._kept(one, view) for one in islice(found, MOST_KEEPINGS)]

    def _kept(self, one: Keeping, view: IdleView) -> str:
        until = self.t.moment(local(one.until), local(view.now))
        said = Message.of(KEPT_UNTIL, person=plain(one.by), time=until, reason=plain(one.reason))
        return self.t.say(said).strip()


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
                question = BRING_BACK if act == "bring-back" else await self._waiting(user, name)
                return server_title(self.t, server), question
        raise NotFound(N_("This server has no GPUs to have again, or they are on their way."))

    async def _waiting(self, user: str, name: str) -> Question:
        """Return the question whether to wait, with how long that is now."""
        wait: WaitRange | None = await self.application.settings["shelving"].foresee(self.person, user, name)
        return replace(BRING_BACK_WAIT, wait=wait_text(wait, self.words.now, self.t))

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
