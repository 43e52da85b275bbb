"""What the agents inside servers report: taken in, checked, and kept at hand for whoever judges what is idle.

Guarantees: a report changes what is known of the launch that its token was made for, and of no other; no answer waits
for the hub, the ledger or a disk; what is kept is bounded for each server and goes with its launch. A report is never
newer than now; what was sent before, or is too old to matter, is dropped and counted. What a report does not say is
not known, never zero.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mlabhub.errors import Gone, NotPermitted, TooMany, UnknownToken
from mlabhub.messages import N_, Message
from mlabhub.service.bodies import ReportBody, ReportsBody
from mlabhub.service.metrics import Metrics
from mlabhub.service.projection import Projection
from mlabhub.service.report_tokens import ReportTokens, Subject

OLDEST_S = 3 * 3600.0
"""What lies longer ago decides nothing any more; an agent keeps what it could not send for two hours."""
KEPT = 60
"""Reports of one server: an hour of them."""
CALLS = 10
"""Calls that one server may make at once, after an outage, say."""
CALL_EVERY_S = 6.0
"""How often it may call from then on; an agent needs one call a minute, and four while a warning is in force."""


@dataclass(frozen=True, slots=True)
class AgentReport:
    """What one server said about itself at one time; None is not known. Times are the service's own.

    ``input_at``: when a person last touched a key or the pointer. ``kernels_busy_since``: since when the one of them
    that has been busy for longest.
    """

    at: float
    input_at: float | None
    kernels_busy: int | None
    kernels_busy_since: float | None
    terminals_busy: int | None
    cpu_cores: float | None


@dataclass
class _Kept:
    """What is known of one launch. ``calls`` are those it may still make, as of ``called``."""

    called: float
    calls: float = float(CALLS)
    number: int = 0
    reports: deque[AgentReport] = field(default_factory=lambda: deque(maxlen=KEPT))
    inputs: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Taken:
    """What became of the reports of one call."""

    taken: int
    dropped: int


class Reports:
    """The reports of all servers that run.

    Parameters
    ----------
    projection
        Returns the launches that are not over: those of others are refused, and what was kept of them is forgotten.
    monotonic
        For how often a server calls: setting the machine's time opens and closes no door.
    """

    def __init__(
        self,
        tokens: ReportTokens,
        projection: Callable[[], Projection],
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        metrics: Metrics,
    ):
        self.tokens = tokens
        self._projection = projection
        self._clock = clock
        self._monotonic = monotonic
        self._metrics = metrics
        self._kept: dict[str, _Kept] = {}

    def admit(self, token: str) -> Subject:
        """Return whose reports may follow. Raises `UnknownToken`, `Gone` or `TooMany`."""
        subject = self.tokens.read(token)
        if subject is None:
            self._count("refused")
            raise UnknownToken(
                N_(
                    "This report token was not made by this service. A server finds its own in MLABHUB_REPORT_TOKEN; "
                    "start the server anew if it is that one."
                )
            )
        if self._projection().launch(subject.launch_id) is None:
            self._kept.pop(subject.launch_id, None)
            self._count("refused")
            raise Gone(
                Message.of(
                    N_("The launch {launch_id} is over, so nothing is taken in from it any more."),
                    launch_id=subject.launch_id,
                )
            )
        self._limit(subject.launch_id)
        return subject

    def take(self, subject: Subject, body: ReportsBody) -> Taken:
        """Keep what is new in a call. Raises `NotPermitted` if it is about another server than its token's."""
        self.check(subject, body.server)
        kept, now = self._kept[subject.launch_id], self._clock()
        taken = 0
        # By the sender's own clock only how long ago something was counts: clocks differ, and are set.
        ahead = now - body.sent
        for one in sorted(body.reports, key=lambda each: each.number):
            at = min(one.t + ahead, now)
            if one.number <= kept.number or at < now - OLDEST_S:
                continue
            kept.number = one.number
            kept.reports.append(_report(one, at))
            kept.inputs = {tool: at - age for tool, age in one.inputs.items()}
            taken += 1
        dropped = len(body.reports) - taken
        self._count("taken", taken)
        self._count("dropped", dropped)
        return Taken(taken, dropped)

    def check(self, subject: Subject, server: str) -> None:
        """Let pass what is about the token's own server. Raises `NotPermitted`."""
        if server != subject.name:
            self._count("refused")
            raise NotPermitted(
                Message.of(
                    N_("This report token is for the server {own}, and not for {server}. Each reports with its own."),
                    own=subject.name,
                    server=server,
                )
            )

    def latest(self, launch_id: str) -> AgentReport | None:
        """Return the last report of a launch; None if there is none."""
        kept = self._kept.get(launch_id)
        return kept.reports[-1] if kept is not None and kept.reports else None

    def since(self, launch_id: str, at: float) -> tuple[AgentReport, ...]:
        """Return the reports of a launch from after a time, as they came."""
        kept = self._kept.get(launch_id)
        return () if kept is None else tuple(one for one in kept.reports if one.at > at)

    def inputs(self, launch_id: str) -> Mapping[str, float]:
        """Return when a person last touched which tool of a launch, as far as it was ever told."""
        kept = self._kept.get(launch_id)
        return {} if kept is None else kept.inputs

    def forget_ended(self) -> None:
        """Drop what was kept of launches that are over."""
        projection = self._projection()
        self._kept = {one: kept for one, kept in self._kept.items() if projection.launch(one) is not None}

    def _limit(self, launch_id: str) -> None:
        now = self._monotonic()
        kept = self._kept.get(launch_id)
        if kept is None:
            if len(self._kept) >= 2 * len(self._projection()):
                self.forget_ended()
            kept = self._kept[launch_id] = _Kept(now)
        kept.calls = min(CALLS, kept.calls + (now - kept.called) / CALL_EVERY_S)
        kept.called = now
        if kept.calls < 1:
            self._count("refused")
            seconds = max(1, round(CALL_EVERY_S * (1 - kept.calls)))
            raise TooMany(
                Message.of(
                    N_("This server reports more often than every {every} s. Try again in {seconds} s."),
                    every=CALL_EVERY_S,
                    seconds=seconds,
                ),
                retry_after=seconds,
            )
        kept.calls -= 1

    def _count(self, result: str, number: int = 1) -> None:
        self._metrics.reports.labels(result).inc(number)


def _report(one: ReportBody, at: float) -> AgentReport:
    busy_since = None if one.kernels_busy_age is None else at - one.kernels_busy_age
    return AgentReport(
        at=at,
        input_at=None if one.input_age is None else at - one.input_age,
        kernels_busy=one.kernels_busy,
        kernels_busy_since=busy_since,
        terminals_busy=one.terminals_busy,
        cpu_cores=one.cpu_cores,
    )
