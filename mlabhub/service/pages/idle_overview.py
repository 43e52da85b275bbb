"""What idleness comes to, for administrators: dry runs, what nobody knows, silent agents, warnings, what was kept.

Guarantees: for administrators only; what is not known is said to be not known; a list that is empty says so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from markupsafe import Markup

from mlabhub.core.idle.words import span
from mlabhub.core.quote import plain
from mlabhub.core.reasons import sentences
from mlabhub.i18n import N_, Translator
from mlabhub.service.idle.answers import OverviewAnswer, WouldStopAnswer
from mlabhub.service.pages.base import PageHandler
from mlabhub.service.pages.environment import ENVIRONMENT
from mlabhub.service.pages.queueing import Url
from mlabhub.service.pages.waits import local
from mlabhub.service.views import Person
from mlabhub.service.worked_out import WorkedOut

MOST_ROWS = 100
FRESH_S, OLD_S = 5.0, 15.0
"""For how long lists that were made are true enough, and good enough while they are made anew."""
Cells = Callable[[Any], list[str]]
VERDICTS = {
    "active": N_("{count} at work"),
    "idle": N_("{count} idle"),
    "unknown": N_("{count} not known"),
    "warned": N_("{count} warned"),
    "stop": N_("{count} to be stopped"),
}
DRY = N_(
    "Dry runs would have stopped {count} in the last 30 days, and {hours} GPU-hours would have been free. Used again "
    "after that: {regrets}."
)
NO_DRY = N_("No dry run would have stopped anything in the last 30 days.")


@dataclass(frozen=True)
class Row:
    """One line; the first cell leads to ``url``, if there is one."""

    cells: list[str]
    url: str = ""


@dataclass(frozen=True)
class Table:
    """One list. ``left_out`` counts the lines beyond `MOST_ROWS`."""

    key: str
    title: str
    none: str
    headings: list[str]
    rows: list[Row]
    left_out: int = 0


class Named(Protocol):
    """What names a launch."""

    @property
    def launch_id(self) -> str: ...
    @property
    def user(self) -> str: ...
    @property
    def server_name(self) -> str: ...


@dataclass(frozen=True)
class _Maker:
    t: Translator
    url: Url
    seconds: float

    @property
    def now(self) -> datetime:
        """The moment that times are told from."""
        return local(self.seconds)

    def table(
        self, key: str, title: str, none: str, headings: Sequence[str], found: Sequence[Any], cells: Any
    ) -> Table:
        """Return a list of what was found; ``cells`` says one after who it is about."""
        rows = [Row([self.who(one), *cells(one)], self.url(f"servers/{one.launch_id}")) for one in found[:MOST_ROWS]]
        return Table(key, self.t(title), self.t(none), [self.t(one) for one in headings], rows, len(found) - len(rows))

    def who(self, one: Named) -> str:
        """Return whose server it is; of a launch that is forgotten, its id."""
        if not one.user:
            return plain(one.launch_id)
        return f"{plain(one.user)} / {plain(one.server_name) or self.t(N_('Default server'))}"

    def at(self, moment: float | None) -> str:
        """Return a moment, and how long that was ago."""
        if moment is None:
            return self.t(N_("not once"))
        ago = self.t.say(span(self.seconds - moment))
        return self.t(N_("{moment} ({span} ago)"), moment=self.t.moment(local(moment), self.now), span=ago)

    def then(self, one: WouldStopAnswer) -> str:
        """Return what became of a server that would have been stopped."""
        if one.again is not None:
            return self.t(N_("used again {moment}"), moment=self.t.moment(local(one.again), self.now))
        if one.ended is not None:
            return self.t(N_("ended {moment}"), moment=self.t.moment(local(one.ended), self.now))
        return self.t(N_("still idle"))


def make_tables(told: OverviewAnswer, t: Translator, url: Url) -> list[Table]:
    """Return the lists, those first that ask for something to be done."""
    make = _Maker(t, url, told.now)
    server, gpus, why = N_("Server"), N_("GPUs"), N_("Why")
    return [
        make.table(
            "undeliverable",
            N_("Warnings that reach nobody; nothing is stopped there"),
            N_("Every warning reached its person."),
            (server, gpus),
            told.undeliverable,
            lambda one: [str(one.gpus)],
        ),
        make.table(
            "unknown",
            N_("Not known whether they are used; nothing is stopped there"),
            N_("Of every server with GPUs it is known whether it is used."),
            (server, gpus, N_("Last known"), why),
            told.unknown,
            lambda one: [str(one.gpus), make.at(one.since), t.say(sentences(one.reasons or (one.said,)))],
        ),
        make.table(
            "silent",
            N_("Agents that say nothing"),
            N_("Every server's agent reports."),
            (server, gpus, N_("Last word")),
            told.silent_agents,
            lambda one: [str(one.gpus), make.at(one.last)],
        ),
        make.table(
            "would",
            N_("Would have been stopped"),
            N_("Nothing in the last 30 days."),
            (server, gpus, N_("When"), N_("GPU-hours free"), N_("Then"), why),
            told.would_stops,
            lambda one: [str(one.gpus), make.at(one.at), f"{one.gpu_hours:.1f}", make.then(one), t.say(one.reason)],
        ),
        make.table(
            "kept",
            N_("Kept although idle"),
            N_("Nothing in the last 30 days."),
            (server, N_("When"), N_("Until"), N_("By"), why),
            told.keepings,
            lambda one: [make.at(one.at), t.moment(local(one.until), make.now), plain(one.by), plain(one.reason)],
        ),
    ]


class Overview(Protocol):
    """What the page asks."""

    async def overview(self, person: Person) -> OverviewAnswer: ...


@dataclass(frozen=True)
class _Made:
    """What was told, and the lists of it in one language."""

    told: OverviewAnswer
    tables: Markup


def _lay_out(told: OverviewAnswer, t: Translator, prefix: str) -> _Made:
    tables = make_tables(told, t, lambda path: prefix + path)
    return _Made(told, Markup(ENVIRONMENT.get_template("_idle_tables.html").render(_=t, tables=tables)))


class IdleOverviewHandler(PageHandler):
    """The page."""

    async def get(self) -> None:
        """Show it to administrators."""
        self.require_admin()
        made = await self._lists().get()
        told = made.told
        verdicts = [(VERDICTS[key], count) for key, count in told.verdicts.items() if key in VERDICTS and count]
        dry = {"count": len(told.would_stops), "hours": f"{told.gpu_hours:.1f}", "regrets": told.regrets}
        self.render_page(
            "idle_overview.html",
            title=self.t(N_("Idleness")),
            counts=[self.t(text, count=count) for text, count in verdicts],
            dry=self.t(DRY, **dry) if told.would_stops else self.t(NO_DRY),
            tables=made.tables,
        )

    def _lists(self) -> WorkedOut[_Made]:
        """Return what keeps the lists in one's language: they are the same for all administrators."""
        looks: Overview = self.application.settings["idle_looks"]
        kept: dict[str, WorkedOut[_Made]] = self.application.settings.setdefault("idle_lists", {})
        person, t, prefix = self.person, self.t, self.site.service_prefix

        async def make() -> _Made:
            return await asyncio.to_thread(_lay_out, await looks.overview(person), t, prefix)

        if t.language not in kept:
            kept[t.language] = WorkedOut(make, time.monotonic, fresh_s=FRESH_S, old_s=OLD_S)
        return kept[t.language]
