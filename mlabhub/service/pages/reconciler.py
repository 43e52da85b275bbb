"""What hub, machines and ledger disagree about, for administrators: why, what follows, and a repair that asks first.

Guarantees: the page itself asks neither hub nor machines, so that it is there when they are not; what is not known is
said to be not known; nothing is repaired that was not shown on the page before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from mlabhub.core.quote import plain, printable
from mlabhub.errors import MLabError, NotFound
from mlabhub.i18n import N_, Translator
from mlabhub.ledger import AuditFilter
from mlabhub.service.audit_desk import AuditDesk
from mlabhub.service.pages.audit import Row as Entry
from mlabhub.service.pages.audit import make_rows
from mlabhub.service.pages.base import PageHandler
from mlabhub.service.pages.confirm import Asking, Question
from mlabhub.service.pages.waits import local
from mlabhub.service.reconcile_rules import Finding
from mlabhub.service.reconcile_words import FOLLOWS, WORDS
from mlabhub.service.reconciler import ACTOR, Reconciler, Report

MOST_ROWS = 200
MOST_PAST = 20

AGREE = N_("Hub, machines and ledger agree. Looked at {time}.")
DIFFER = N_("Differences: {count}. Looked at {time}.")
NOT_KNOWN = N_("What differs is not known, and nothing is done until it is. Tried at {time}: {reason}")
NOT_YET = N_("Nothing was compared yet: the service has just started. Look again in a few seconds.")
STATES = {
    "pending": N_("starting"),
    "held": N_("running"),
    "stopping": N_("stopping"),
    "unknown": N_("not known"),
    "running": N_("running"),
    "starting": N_("starting"),
    "exited": N_("has ended"),
}
REPAIR = Question(
    N_("Repair what differs?"),
    (
        N_("What runs without the hub knowing it ends now: notebooks, terminals, training runs."),
        N_("Files under /mnt stay. What was installed in it stays too."),
        N_("Each repair stands in the audit, and who asked for it."),
    ),
    N_("Repair it"),
    N_("Repaired. What is done stands below."),
)
DONE = {
    "repair": REPAIR.done,
    "repair-goes-on": N_("The repair goes on; what it does appears below."),
}


@dataclass(frozen=True)
class Row:
    """One difference: of what, what each side has, why, and what follows; ``repair``: only when it is asked for."""

    user: str
    server: str
    gpus: int
    ledger: str
    machine: str
    why: str
    follows: str
    repair: bool
    idle: bool


@dataclass(frozen=True)
class Drift:
    """What the page says of a report."""

    said: str
    known: bool
    rows: list[Row]
    left_out: int = 0
    repairable: int = 0


def make_drift(report: Report | None, t: Translator) -> Drift:
    """Return what is to be shown; those first about which somebody has to decide."""
    if report is None:
        return Drift(t(NOT_YET), False, [])
    time = t.date_time(local(report.at))
    if report.error is not None:
        return Drift(t(NOT_KNOWN, time=time, reason=printable(t.say(report.error.message))), False, [])
    open_ones = [finding for finding, done in report.findings if not done]
    rows = sorted((_row(one, t) for one in open_ones), key=lambda row: (not row.repair, row.user, row.server))
    said = t(DIFFER, count=len(rows), time=time) if rows else t(AGREE, time=time)
    return Drift(said, True, rows[:MOST_ROWS], max(len(rows) - MOST_ROWS, 0), sum(row.repair for row in rows))


def _row(one: Finding, t: Translator) -> Row:
    nothing = t(N_("nothing"))
    return Row(
        user=plain(one.user),
        server=plain(one.server),
        gpus=len(one.gpus),
        ledger=t(STATES[one.reservation.state]) if one.reservation else nothing,
        machine=_machine(one, t) if one.backend else nothing,
        why=printable(t.say(WORDS[one.kind])),
        follows=t(FOLLOWS[one.kind]),
        repair=one.repairable and not one.acting,
        idle=not one.repairable,
    )


def _machine(one: Finding, t: Translator) -> str:
    assert one.backend is not None
    return t(N_("does not answer")) if one.backend.lost is not None else t(STATES[one.backend.state])


class ReconcilerBase(PageHandler):
    """What these pages share."""

    @property
    def reconciler(self) -> Reconciler:
        """The one reconciler of this process."""
        reconciler: Reconciler = self.application.settings["reconciler"]
        return reconciler

    async def drift_text(self) -> str:
        """Return the part of the page that changes."""
        past, fault = await self._past()
        drift = make_drift(self.reconciler.last, self.t)
        return self.render_text("_drift.html", drift=drift, past=past, fault=fault, repair_url=self.page_url("repair"))

    async def _past(self) -> tuple[list[Entry], str]:
        """Return the last repairs, or why they are not known."""
        desk: AuditDesk = self.application.settings["audit_desk"]
        try:
            page = await desk.search(self.person, AuditFilter(actor=ACTOR), limit=MOST_PAST)
        except MLabError as error:
            return [], self.t.say(error.message)
        return make_rows(page.entries, self.t, self.page_url), ""


class ReconcilerHandler(ReconcilerBase):
    """``reconciler``"""

    async def get(self) -> None:
        """Show what the last look found, and what was repaired."""
        self.require_admin()
        done = DONE.get(self.get_query_argument("done", ""), "")
        self.render_page(
            "reconciler.html",
            title=self.t(N_("Reconciler")),
            done=self.t(done) if done else "",
            fragment=Markup(await self.drift_text()),
            parts_url=self.page_url("reconciler/parts"),
            history_url=self.page_url("audit", actor=ACTOR),
        )


class ReconcilerPartsHandler(ReconcilerBase):
    """The page's live part."""

    answers_json = True

    async def get(self) -> None:
        """Answer with it."""
        self.require_admin()
        self.finish({"parts": {"drift": await self.drift_text()}, "moves": False})


class RepairHandler(ReconcilerBase, Asking):
    """``repair``: looks anew, shows what would be done, and does it."""

    field = "what"
    template = "confirm_repair.html"

    async def look(self, act: str, user: str, name: str) -> tuple[str, Question]:
        """Return what to ask. Raises what keeps it from being known, or `NotFound` where there is nothing to do."""
        self.require_admin()
        report = await self.reconciler.look()
        if report.error is not None:
            raise report.error
        if not any(finding.repairable for finding, _ in report.findings):
            raise NotFound(N_("There is nothing to repair any more: hub, machines and ledger agree."))
        self.drift = make_drift(report, self.t)
        return "", REPAIR

    async def about(self, act: str, name: str) -> dict[str, Any]:
        """Return what would be done."""
        return {"drift": self.drift}

    async def act(self, act: str, user: str, name: str) -> str:
        """Repair it."""
        report = await self.reconciler.repair(self.person.name)
        if report is not None and report.error is not None:
            raise report.error
        return self.page_url("reconciler", done="repair" if report is not None else "repair-goes-on")

    def back(self, user: str) -> str:
        """Return where one goes who changes their mind."""
        return self.page_url("reconciler")
