"""`assess`: whether a server is used, idle, to be warned or to be stopped; `unused_since`: since when nobody uses it.

Guarantees: pure. Unknown never stops anything: STOP is only said of a server that was seen idle through its whole
window, with no hole in it, whose person was told (a delivery that was recorded), whose grace since then is over, whose
last sample is fresh and known, and whose launch is the one that was warned. Nobody is warned or stopped in quiet hours.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from enum import Enum

from mlabhub.core.idle.fold import BUSY, IDLE, UNKNOWN, Fold, fold_of
from mlabhub.core.idle.policy import Policy, Rule, is_within
from mlabhub.core.idle.samples import Samples
from mlabhub.core.idle.state import State

Patience = Callable[[Fold, int, Policy, Rule], float]
"""How long a server may stand idle before it is warned, where that is learned: seconds."""


class Kind(Enum):
    """What is said of a server."""

    ACTIVE = "active"
    IDLE = "idle"
    UNKNOWN = "unknown"
    WARNED = "warned"
    STOP = "stop"


class Why(Enum):
    """What decided, or what stands in the way."""

    AT_WORK = "at work"
    IDLE = "idle"
    KEPT = "kept"
    HELD = "held"
    QUIET = "quiet hours"
    LONGEST = "longest life"
    NEVER = "never stopped"
    NOTHING = "nothing known"
    STALE = "not known now"
    OTHER_LAUNCH = "another launch"


@dataclass(slots=True)
class Verdict:
    """The answer. ``since`` is when the server was last at work, as far as known; ``due`` when it is warned.

    ``warn`` says that a warning is to be delivered now, ``withdraw`` that one which was delivered holds no more.
    ``deadline`` is when it is stopped unless it is used.
    """

    kind: Kind
    why: Why
    at: float
    since: float | None = None
    due: float | None = None
    deadline: float | None = None
    warn: bool = False
    withdraw: bool = False


def assess(
    samples: Samples,
    state: State,
    policy: Policy,
    now: float,
    *,
    patience: Patience | None = None,
    zone: tzinfo | None = None,
) -> Verdict:
    """Return what is to be said of a launch at ``now``. Without a zone, quiet hours are in the machine's own time."""
    rule = policy.with_gpu if samples.gpus else policy.without_gpu
    fold = fold_of(samples, rule.thresholds)
    if samples.launch_id != state.launch_id:
        return Verdict(Kind.UNKNOWN, Why.OTHER_LAUNCH, now)
    warned = state.warned_at is not None or state.due_at is not None
    hole = rule.thresholds.hole_s
    if fold.status == UNKNOWN or now - fold.t > hole:
        since = min(fold.unknown_since, fold.t)
        why = Why.NOTHING if since == -math.inf else Why.STALE
        known_since = None if since == -math.inf else since
        return Verdict(Kind.UNKNOWN, why, now, known_since, withdraw=warned and now - since > hole)
    aged = policy.longest_s is not None and state.started is not None
    ends = state.started + policy.longest_s if aged else math.inf  # type: ignore[operator]  # both are known
    if fold.status == BUSY and now < ends - policy.grace_s:
        return Verdict(Kind.ACTIVE, Why.AT_WORK, now, fold.busy_t, withdraw=warned)
    since, due, why = _due(samples, state, policy, rule, fold, patience)
    if ends - policy.grace_s < due:
        due, why = max(ends - policy.grace_s, state.kept_until), Why.LONGEST
    if now < due:
        kind = Kind.ACTIVE if fold.status == BUSY or why is Why.NEVER else Kind.IDLE
        return Verdict(kind, why, now, since, None if due == math.inf else due, withdraw=warned)
    return _overdue(Verdict(Kind.IDLE, why, now, since, due), state, policy, fold, zone)


def unused_since(samples: Samples, state: State, policy: Policy, now: float) -> float | None:
    """Return since when nobody uses a server; None where it is at work, kept by its person, or nobody knows.

    Keys, kernels and what else holds a server count as use, within the limits that they have in a verdict.
    """
    rule = policy.rule(samples.gpus)
    fold = fold_of(samples, rule.thresholds)
    if samples.launch_id != state.launch_id or fold.status != IDLE or now - fold.t > rule.thresholds.hole_s:
        return None
    since = _idle_since(fold, rule, state)
    if now < state.kept_until or not math.isfinite(since):
        return None
    return max(since, min(_held(fold, rule), since + rule.held_most_s))


def _idle_since(fold: Fold, rule: Rule, state: State) -> float:
    if rule.thresholds.by_activity:
        return max(fold.activity, state.started or 0.0)  # a launch was used when it was started
    return fold.idle_since


def _held(fold: Fold, rule: Rule) -> float:
    """Return when something that nobody has checked last said that the server is used."""
    return max(fold.held_t, fold.activity) if rule.activity_holds else fold.held_t


def _due(
    samples: Samples, state: State, policy: Policy, rule: Rule, fold: Fold, patience: Patience | None
) -> tuple[float, float, Why]:
    """Return since when the server is idle, when it is to be warned, and what decides that."""
    since = _idle_since(fold, rule, state)
    if fold.status == BUSY:
        return fold.busy_t, math.inf, Why.AT_WORK
    if rule.window_s is None:
        return since, math.inf, Why.NEVER
    window = rule.window_s if patience is None or not policy.learns else patience(fold, samples.gpus, policy, rule)
    due, why = since + window, Why.IDLE
    held = _held(fold, rule)
    if held > since:
        until = min(held + rule.held_s, since + rule.held_most_s)
        if until > due:
            due, why = until, Why.HELD
    if state.extensions and state.kept_until > due:
        due, why = state.kept_until, Why.KEPT
    return since, due, why


def _overdue(found: Verdict, state: State, policy: Policy, fold: Fold, zone: tzinfo | None) -> Verdict:
    """Return what is said of a server that may be warned, or was."""
    now = found.at
    quiet = bool(policy.quiet) and is_quiet(policy, now, zone)
    if state.warned_at is None:
        found.warn = not quiet
        found.why = Why.QUIET if quiet else found.why
        return found
    found.kind, found.deadline = Kind.WARNED, state.warned_at + policy.grace_s
    if now < found.deadline:
        left = [one for one in policy.reminders_s if one < policy.grace_s]
        due = sum(now >= found.deadline - one for one in left)
        found.warn = due > state.reminded and not quiet
    elif quiet:
        found.why = Why.QUIET
    elif abs(now - fold.t) <= policy.fresh_s:  # a sample from the future is none of now
        found.kind = Kind.STOP
    else:
        found.why = Why.STALE
    return found


def is_quiet(policy: Policy, now: float, zone: tzinfo | None) -> bool:
    """Whether nobody is warned or stopped now."""
    local = datetime.fromtimestamp(now, zone)
    minute = local.hour * 60 + local.minute
    return any(is_within(hours, minute) for hours in policy.quiet)
