"""Where one launch stands: what was said of it, on which policy, on what that was said, and how to say it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from mlabhub.core.idle.fold import fold_of
from mlabhub.core.idle.patience import Patient
from mlabhub.core.idle.policy import Policy
from mlabhub.core.idle.samples import Samples
from mlabhub.core.idle.state import Extension, State
from mlabhub.core.idle.verdict import Verdict, unused_since
from mlabhub.core.idle.words import Signal, say, signals
from mlabhub.ledger import Reservation
from mlabhub.messages import Message
from mlabhub.service.idle.steady import About, Elapsed
from mlabhub.service.projection import Projection
from mlabhub.service.queue.deadlines import MARGIN_S


@dataclass(frozen=True)
class Standing:
    """The verdict of one look. ``reasons`` say why something is not known, ``fixed_at`` is when it was looked.

    ``said`` is the verdict in a sentence, ``signals`` what each signal says; both are made when they are asked for.
    """

    launch_id: str
    verdict: Verdict
    policy: Policy
    state: State
    reasons: tuple[Message, ...]
    fixed_at: float
    samples: Samples = field(repr=False, compare=False)
    patient: Patient | None = field(default=None, repr=False, compare=False)

    @cached_property
    def said(self) -> Message:
        """The verdict in a sentence."""
        return say(self.verdict, self.samples, self.policy, self._ground())

    @cached_property
    def signals(self) -> tuple[Signal, ...]:
        """What each signal says, the trusted ones first."""
        return signals(self.samples, self.policy, self.fixed_at)

    @property
    def unused_since(self) -> float | None:
        """Since when nobody uses the server; None where somebody does, or nobody knows."""
        return unused_since(self.samples, self.state, self.policy, self.fixed_at)

    def _ground(self) -> Message | None:
        if self.patient is None or not self.policy.learns or not self.samples.seen:
            return None
        rule = self.policy.rule(self.samples.gpus)
        return self.patient.ground(fold_of(self.samples, rule.thresholds), self.fixed_at)


@dataclass(frozen=True)
class Times:
    """Makes the state of a launch of what the ledger says, with the times by the steady clock put back on the wall's.

    So a person's grace is as long as it was, and what they kept is kept as long, wherever the wall clock is set.
    """

    elapsed: Elapsed
    clock: Callable[[], float]

    def state_of(self, one: Reservation, projection: Projection, hole_s: float) -> State:
        """Return where a launch stands by the ledger; a step of the wall clock beyond ``hole_s`` is seen otherwise."""
        now, launch_id = self.clock(), one.launch_id
        warning = projection.warnings.get(launch_id)
        told = None if warning is None else warning.told
        started = one.ready if one.ready is not None else one.held
        return State(
            launch_id=launch_id,
            started=None if started is None else now - self.elapsed.since(launch_id, started, MARGIN_S),
            warned_at=None if told is None else now - self.elapsed.since(launch_id, told, hole_s),
            due_at=None if warning is None or told is not None else warning.at,
            reminded=0 if warning is None else warning.reminded,
            extensions=tuple(
                Extension(
                    one.at, now + one.until - one.at - self.elapsed.since(launch_id, one.at, hole_s), one.reason, one.by
                )
                for one in projection.keepings.get(launch_id, ())
            ),
        )

    def forget(self, projection: Projection) -> None:
        """Forget what nothing follows from any more."""
        known: set[About] = set()
        for one in projection:
            known.update((one.launch_id, at) for at in (one.ready, one.held) if at is not None)
        known.update((one.launch_id, one.told) for one in projection.warnings.values() if one.told is not None)
        known.update((launch_id, one.at) for launch_id, kept in projection.keepings.items() for one in kept)
        self.elapsed.keep(known)
