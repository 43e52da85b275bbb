"""Run a policy over recorded samples.

Guarantees: a warning counts as delivered in the moment it is due. After a stop the policy takes no interest in a server
until it was seen at work again; after its end the same name is a new server. What `Totals` calls busy does not depend
on the policy: whether a GPU was at work in the last `RECENT_S` by the thresholds of `default`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import tzinfo
from typing import Any

from mlabhub.core.idle.fold import BUSY, IDLE, Thresholds, fold_of
from mlabhub.core.idle.gaps import Gaps
from mlabhub.core.idle.patience import Patient
from mlabhub.core.idle.policy import LEAST_WINDOW_S, Policy
from mlabhub.core.idle.state import State
from mlabhub.core.idle.verdict import Kind, Verdict, assess
from mlabhub.core.idle.words import say
from mlabhub.messages import Message
from mlabhub.replay.idle.reader import Launch, Recording

RECENT_S = 600.0
REFERENCE = Thresholds()


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision: ``warn``, ``stop`` or ``keep``."""

    t: float
    server: str
    action: str
    reason: Message

    def to_dict(self) -> dict[str, Any]:
        """Return it as a line says it."""
        return {"t": self.t, "server": self.server, "action": self.action, "reason": str(self.reason)}


@dataclass(slots=True)
class Totals:
    """What came of it. ``wanted_again`` are stops after which the GPU was seen at work again."""

    servers: int = 0
    samples: int = 0
    gpu_hours_held: float = 0.0
    gpu_hours_idle: float = 0.0
    gpu_hours_unknown: float = 0.0
    gpu_hours_reclaimed: float = 0.0
    warnings: int = 0
    withdrawn: int = 0
    stops: int = 0
    wanted_again: int = 0
    stops_of_a_busy_server: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return them as one object."""
        return {key: round(value, 3) for key, value in asdict(self).items()}


@dataclass
class Outcome:
    """Decisions in order of time, and what they come to."""

    decisions: list[Decision]
    totals: Totals


@dataclass(slots=True)
class _Seat:
    """Where a launch stands in the replay."""

    launch: Launch
    patient: Patient
    state: State = field(default_factory=State)
    gone: bool = False
    t: float = -math.inf


def run(recording: Recording, policy: Policy, *, zone: tzinfo | None = None) -> Outcome:
    """Replay all rows."""
    return _Run(recording, policy, zone).outcome()


class _Run:
    def __init__(self, recording: Recording, policy: Policy, zone: tzinfo | None) -> None:
        self.policy, self.zone, self.rows = policy, zone, recording.rows
        gaps = Gaps((policy.with_gpu.window_s or LEAST_WINDOW_S) + policy.grace_s)
        self.seats = [_Seat(launch, Patient(gaps, launch.server)) for launch in recording.launches]
        self.totals = Totals(servers=len(self.seats), samples=len(self.rows))
        self.decisions: list[Decision] = []

    def outcome(self) -> Outcome:
        """Replay, and return what came of it."""
        for number in self.rows:
            self._row(self.seats[number])
        self.decisions.sort(key=lambda decision: decision.t)
        return Outcome(self.decisions, self.totals)

    def _row(self, seat: _Seat) -> None:
        samples = seat.launch.samples
        samples.seen += 1
        now = samples.t[samples.seen - 1]
        reference = fold_of(samples, REFERENCE)
        self._count(seat, now, reference.status)
        self._learn(seat)
        if now < reference.t:
            return  # a row that came late: it is known from now on, but it is not now
        if seat.gone:
            if reference.status != BUSY:
                return
            seat.gone, seat.state = False, State(started=now)
            self.totals.wanted_again += 1
        verdict = assess(samples, seat.state, self.policy, now, patience=seat.patient, zone=self.zone)
        if verdict.warn or verdict.withdraw or verdict.kind is Kind.STOP:
            ground = self._ground(seat, now)
            for action in self._act(seat, verdict):
                said = say(verdict, samples, self.policy, ground)
                self.decisions.append(Decision(now, seat.launch.server, action, said))

    def _learn(self, seat: _Seat) -> None:
        samples = seat.launch.samples
        fold = fold_of(samples, self.policy.rule(samples.gpus).thresholds)
        seat.patient.harvest(fold, samples.gpus)
        if samples.seen == len(samples) and seat.launch.ended:
            seat.patient.ended(fold, samples.gpus)

    def _ground(self, seat: _Seat, now: float) -> Message | None:
        if not self.policy.learns:
            return None
        samples = seat.launch.samples
        return seat.patient.ground(fold_of(samples, self.policy.rule(samples.gpus).thresholds), now)

    def _act(self, seat: _Seat, verdict: Verdict) -> Iterator[str]:
        if verdict.withdraw:
            seat.state = seat.state.withdrawn()
            self.totals.withdrawn += 1
            yield "keep"
        elif verdict.warn:
            seat.state = seat.state.delivered(verdict.at)
            self.totals.warnings += 1
            yield "warn"
        elif self.policy.action != "nothing":
            seat.gone = True
            self.totals.stops += 1
            reference = fold_of(seat.launch.samples, REFERENCE)
            self.totals.stops_of_a_busy_server += verdict.at - reference.busy_t <= RECENT_S
            yield "stop"

    def _count(self, seat: _Seat, now: float, status: int) -> None:
        """Count the time since the row before; a row says how it was since then."""
        if seat.t != -math.inf and now > seat.t:
            passed = now - seat.t
            spent = passed / 3600.0 * seat.launch.samples.gpus
            totals = self.totals
            totals.gpu_hours_held += spent
            if status == IDLE and passed <= REFERENCE.hole_s:
                totals.gpu_hours_idle += spent
            elif status != BUSY:
                totals.gpu_hours_unknown += spent
            if seat.gone and status != BUSY:
                totals.gpu_hours_reclaimed += spent
        seat.t = max(seat.t, now)
