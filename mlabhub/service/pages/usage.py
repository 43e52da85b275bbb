"""Usage: where the GPU-hours went, day by day and by whom, beside the period before; and the same as CSV.

Guarantees: people see what `usage.desk` lets them; GPU time that nobody measured is shown as not known, never as
wasted; the page is complete without JavaScript.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import cast, get_args

from mlabhub.core.quote import plain
from mlabhub.core.usage.report import Period, csv_text
from mlabhub.errors import InvalidLaunch
from mlabhub.i18n import N_, Translator, get_translator, join_sentences
from mlabhub.ledger.usage import By
from mlabhub.service.pages.base import PageHandler
from mlabhub.service.pages.usage_chart import Chart, hours_text, make_chart
from mlabhub.service.pages.waits import local
from mlabhub.service.usage.desk import UsageDesk
from mlabhub.service.usage.views import Report, UsageSums

MOST_ROWS = 100
BY_NAMES = {"user": N_("Person"), "group": N_("Group"), "profile": N_("Profile"), "day": N_("Day")}
PARTS = {
    "allocated": N_("Allocated"),
    "used": N_("Used"),
    "wasted": N_("Held but idle"),
    "unknown": N_("Not known"),
    "waited": N_("Waited for"),
}
NOTHING = N_("Nobody held a GPU in these days.")
LEAD = N_(
    "{allocated} GPU-hours were allocated: {used} of them used ({used_share} %), {wasted} held but idle "
    "({wasted_share} %), and of {unknown} it is not known."
)
QUICK = ((7, N_("7 days")), (30, N_("30 days")), (90, N_("90 days")), (365, N_("a year")))


@dataclass(frozen=True)
class Line:
    """One line of the table; ``share`` is how many percent of what it held stood idle, None where it held nothing."""

    name: str
    cells: list[str]
    share: float | None
    share_text: str


@dataclass(frozen=True)
class Compared:
    """One number of this period and the one before."""

    name: str
    now: str
    before: str
    change: str


@dataclass(frozen=True)
class Choice:
    """A link to another view of the same."""

    text: str
    url: str
    chosen: bool


class UsageBase(PageHandler):
    """What page and CSV share."""

    @property
    def usage_desk(self) -> UsageDesk:
        """Where usage is answered."""
        desk: UsageDesk = self.application.settings["usage_desk"]
        return desk

    def by(self) -> By:
        """Return by what lines are wanted; by person where the address says nothing that there is."""
        asked = self.get_query_argument("by", "user")
        return cast(By, asked) if asked in get_args(By) else "user"


class UsagePageHandler(UsageBase):
    """``usage``"""

    async def get(self) -> None:
        """Show it. What is no period is said above the last 30 days."""
        by, problem = self.by(), ""
        first, last = self.get_query_argument("from", ""), self.get_query_argument("to", "")
        try:
            period = self.usage_desk.period(first, last)
        except InvalidLaunch as error:
            period, problem = self.usage_desk.period(None, None), self.t.say(error.message)
        days = await self.usage_desk.report(self.person, "day", period)
        before = await self.usage_desk.report(self.person, "day", period.before)
        lines = days if by == "day" else await self.usage_desk.report(self.person, by, period)
        self.render_page(
            "usage.html",
            title=self.t(N_("Usage")),
            problem=problem,
            period=period,
            by=by,
            lead=lead(days.total, self.t),
            chart=chart_of(days, self.t.language),
            compared=compare(days.total, before.total, self.t),
            before=period.before,
            heading=self.t(BY_NAMES[by]),
            headings=[self.t(text) for text in PARTS.values()],
            lines=lines_of(lines, self.t.language),
            left_out=max(len(lines.lines) - MOST_ROWS, 0) if by != "day" else 0,
            kinds=[self._choice(kind, period) for kind in BY_NAMES],
            quick=[self._quick(length, text, period) for length, text in QUICK],
            csv_url=self._url("usage.csv", by, period),
            about=self._about(days),
            today=self.usage_desk.today().isoformat(),
        )

    def _about(self, report: Report) -> str:
        """Say whose it is, and up to when it is added up."""
        whose = self.t(N_("Of everybody.") if report.covers == "everybody" else N_("Of yourself."))
        if report.until is None:
            return join_sentences([whose, self.t(N_("Nothing is added up yet; look again in some minutes."))])
        moment = self.t.moment(local(report.until), self.words.now)
        return join_sentences([whose, self.t(N_("Added up until {moment}."), moment=moment)])

    def _url(self, path: str, by: str, period: Period) -> str:
        return self.page_url(path, **{"by": by, "from": period.first.isoformat(), "to": period.last.isoformat()})

    def _choice(self, kind: str, period: Period) -> Choice:
        return Choice(self.t(BY_NAMES[kind]), self._url("usage", kind, period), kind == self.by())

    def _quick(self, length: int, text: str, period: Period) -> Choice:
        today: date = self.usage_desk.today()
        wanted = Period(today - timedelta(days=length - 1), today)
        return Choice(self.t(text), self._url("usage", self.by(), wanted), wanted == period)


class UsageCsvHandler(UsageBase):
    """``usage.csv``"""

    async def get(self) -> None:
        """Give all lines as a file; a mark at its beginning tells spreadsheets that it is UTF-8."""
        by = self.by()
        first, last = self.get_query_argument("from", ""), self.get_query_argument("to", "")
        report = await self.usage_desk.report(self.person, by, self.usage_desk.period(first, last))
        name = f"usage-{by}-{report.period.first}-{report.period.last}.csv"
        self.set_header("Content-Type", "text/csv; charset=utf-8")
        self.set_header("Content-Disposition", f'attachment; filename="{name}"')
        self.finish("\ufeff" + csv_text(by, report.lines))


def lead(total: UsageSums, t: Translator) -> str:
    """Say in one sentence what a period comes to."""
    if not total.allocated_s:
        return t(NOTHING)
    values = {name: hours_text(getattr(total, f"{name}_s"), t) for name in PARTS}
    shares = {f"{name}_share": _percent(getattr(total, f"{name}_s"), total.allocated_s) for name in ("used", "wasted")}
    return t(LEAD, **values, **shares)


def compare(now: UsageSums, before: UsageSums, t: Translator) -> list[Compared]:
    """Return each number beside that of the period before."""
    found = []
    for name, text in PARTS.items():
        one, other = getattr(now, f"{name}_s"), getattr(before, f"{name}_s")
        change = f"{100 * (one - other) / other:+.0f} %".replace("-", "\N{MINUS SIGN}") if other else ""
        found.append(Compared(t(text), hours_text(one, t), hours_text(other, t), change))
    return found


@lru_cache(64)
def chart_of(report: Report, language: str) -> Chart:
    """Return the picture of days, made once for all who see the same."""
    return make_chart(report.rows, get_translator(language))


@lru_cache(64)
def lines_of(report: Report, language: str) -> Sequence[Line]:
    """Return the first lines of a table, made once for all who see the same; of days all, the last one first."""
    t = get_translator(language)
    rows = reversed(report.rows) if report.by == "day" else report.page(0, MOST_ROWS)
    lines = []
    for row in rows:
        share = 100 * row.wasted_s / row.allocated_s if row.allocated_s else None
        text = t(N_("{percent} %"), percent=f"{share:.0f}") if share is not None else ""
        name = t.day(date.fromisoformat(row.name)) if report.by == "day" else plain(row.name)
        cells = [hours_text(getattr(row, f"{part}_s"), t) for part in PARTS]
        lines.append(Line(name or t(NAMELESS[report.by]), cells, share, text))
    return lines


NAMELESS = {
    "user": N_("(nobody)"),
    "group": N_("(no group)"),
    "profile": N_("(no profile)"),
    "day": "",
}


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f}"
