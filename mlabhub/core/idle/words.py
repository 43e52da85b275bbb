"""A verdict in words: one sentence for what is decided, and one for each signal that was looked at.

Guarantees: pure; every value that decided is said; what is not known is said to be not known, never as a number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from mlabhub.core.idle.fold import BUSY, Fold, fold_of
from mlabhub.core.idle.policy import Policy, Rule
from mlabhub.core.idle.samples import NO_GPU, Samples
from mlabhub.core.idle.verdict import Kind, Verdict, Why
from mlabhub.core.wait_words import DAYS, HOURS, HOURS_AND, MINUTES
from mlabhub.messages import N_, Message

Says = Literal["busy", "idle", "unknown", "holds", "nothing"]

GPU, CPU = N_("GPU"), N_("processors")
AT_WORK = N_("At work: {what} {use}.")
GPU_USE = N_("at {percent} %")
CPU_USE = N_("with {cores} cores in use")
UNKNOWN_USE = N_("in use")
NOT_KNOWN = N_("Not known for {span} whether it is used, so nothing is stopped. Administrators see why.")
NEVER_KNOWN = N_("Nothing was measured yet, so nothing is stopped.")
OTHER_LAUNCH = N_("The samples are those of another launch, so nothing is stopped.")
STALE = N_("Nothing was measured in the last {span}; it is not stopped before that is known.")
NEVER = N_("Idle for {span}; servers of this kind are never stopped for that.")
IDLE_UNTIL = N_("Idle for {span}; warned in {left} unless it is used.")
HELD_UNTIL = N_("{what} idle for {span}, but somebody or something is there; warned in {left} unless it is used.")
KEPT_UNTIL = N_("Idle for {span}; kept as was asked for, for another {left}.")
QUIET = N_("Idle for {span}; nobody is warned or stopped at this time of day.")
WARN = N_("{what} idle for {span}. Stopped in {grace} unless it is used or kept.")
WARN_LONGEST = N_("It runs as long as it may. Stopped in {grace}: save what is open.")
WARNED = N_("{what} idle for {span}. Stopped in {left} unless it is used or kept.")
WARN_RELEASE = N_("{what} idle for {span}. It gives its GPUs back in {grace} unless it is used or kept.")
WARN_RELEASE_LONGEST = N_("It has its GPUs for as long as it may. It gives them back in {grace}: save what is open.")
ASK = N_("{what} idle for {span}. Nothing happens to it; please stop it if it is not needed.")
ASK_LONGEST = N_("It runs for longer than it should. Nothing happens to it; please stop it if it is not needed.")
STOP = N_("{what} idle for {span}; warned {ago} ago, and not used since.")
STOP_LONGEST = N_("It ran as long as it may; warned {ago} ago.")
KEEP_UNKNOWN = N_("Not known for {span} whether it is used: the warning does not hold any more.")
KEEP_USED = N_("It was used: the warning does not hold any more. {now}")
WITH_GROUND = N_("{said} {ground}")
SECONDS = N_("{seconds} s")


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal: its name, what it says, and the sentence. ``trusted`` is whether the server cannot forge it."""

    name: str
    says: Says
    text: Message
    trusted: bool


def span(seconds: float) -> Message:
    """Say a length of time, rounded down: ``40 s``, ``35 min``, ``2 h 5 min``, ``3 days``."""
    seconds = max(seconds, 0.0)
    if seconds < 60:
        return Message.of(SECONDS, seconds=int(seconds))
    minutes = int(seconds / 60)
    if minutes < 60:
        return Message.of(MINUTES, minutes=minutes)
    if minutes >= 48 * 60:
        return Message.of(DAYS, days=minutes // 1440)
    hours, minutes = divmod(minutes, 60)
    return Message.of(HOURS_AND, hours=hours, minutes=minutes) if minutes else Message.of(HOURS, hours=hours)


def say(found: Verdict, samples: Samples, policy: Policy, ground: Message | None = None) -> Message:
    """Return the sentence of a verdict; ``ground`` is why the window is as long as it is."""
    said = _withdrawn(found, samples, policy) if found.withdraw else _said(found, samples, policy)
    due = found.kind in (Kind.WARNED, Kind.STOP) or found.warn
    return said if ground is None or not due else Message.of(WITH_GROUND, said=said, ground=ground)


def _withdrawn(found: Verdict, samples: Samples, policy: Policy) -> Message:
    if found.kind is Kind.UNKNOWN:
        return Message.of(KEEP_UNKNOWN, span=_since(found))
    return Message.of(KEEP_USED, now=_said(found, samples, policy))


def _said(found: Verdict, samples: Samples, policy: Policy) -> Message:
    if found.kind is Kind.UNKNOWN:
        return _unknown(found)
    if found.why is Why.AT_WORK:
        return Message.of(AT_WORK, what=_what(samples), use=_use(samples, policy))
    if found.kind is Kind.STOP or found.kind is Kind.WARNED or found.warn:
        return _warned(found, samples, policy)
    left = span((found.due or found.at) - found.at)
    values = {"span": _since(found), "left": left, "what": _what(samples)}
    texts = {Why.NEVER: NEVER, Why.QUIET: QUIET, Why.KEPT: KEPT_UNTIL, Why.HELD: HELD_UNTIL}
    return Message.of(texts.get(found.why, IDLE_UNTIL), values)


def _unknown(found: Verdict) -> Message:
    if found.why is Why.OTHER_LAUNCH:
        return Message(OTHER_LAUNCH)
    return Message(NEVER_KNOWN) if found.since is None else Message.of(NOT_KNOWN, span=_since(found))


def _warned(found: Verdict, samples: Samples, policy: Policy) -> Message:
    values = {"what": _what(samples), "span": _since(found), "grace": span(policy.grace_s)}
    longest = found.why is Why.LONGEST
    if policy.action == "nothing":
        return Message.of(ASK_LONGEST if longest else ASK, values)
    gives_back = policy.action == "release-gpu" and samples.gpus
    warn = WARN_RELEASE_LONGEST if gives_back else WARN_LONGEST
    if not longest:
        warn = WARN_RELEASE if gives_back else WARN
    if found.deadline is None:
        return Message.of(warn, values)
    if found.kind is Kind.STOP:
        ago = span(found.at - found.deadline + policy.grace_s)
        return Message.of(STOP_LONGEST if longest else STOP, values, ago=ago)
    if found.at >= found.deadline:
        return Message.of(QUIET if found.why is Why.QUIET else STALE, values | {"span": span(policy.fresh_s)})
    left = span(found.deadline - found.at)
    return Message.of(WARNED if warn == WARN else warn, values | {"left": left, "grace": left})


def _since(found: Verdict) -> Message:
    since = found.since
    return span(found.at - since if since is not None and math.isfinite(since) else 0.0)


def _what(samples: Samples) -> Message:
    return Message(GPU if samples.gpus else CPU)


def _use(samples: Samples, policy: Policy) -> Message:
    last = samples.seen - 1
    value = samples.gpu[last] if samples.gpus else samples.cpu[last]
    if math.isnan(value):
        return Message(UNKNOWN_USE)
    if samples.gpus:
        return Message.of(GPU_USE, percent=f"{value:.0f}")
    return Message.of(CPU_USE, cores=f"{value:.1f}")


GPU_BUSY = N_("{percent} % on one of {gpus} GPUs: at work.")
GPU_IDLE = N_("{percent} % at most, without work for {span}.")
GPU_NOISE = N_("{percent} %: no more than a screen or a look at it causes, with {cores} cores in use.")
GPU_PART = N_("Measured on some of {gpus} GPUs only, so nothing is concluded.")
GPU_UNKNOWN = N_("Not measured on {gpus} GPUs, as with parts of a GPU or a failed reading; nothing is concluded.")
MEMORY = N_("{gib} GiB held; memory that is held is not work.")
CPU_BUSY = N_("{cores} cores in use.")
CPU_IDLE = N_("{cores} cores in use, less than {least}.")
CPU_HOLDS = N_("{cores} cores in use; that alone holds a GPU for {most} at most.")
CPU_UNKNOWN = N_("Not measured.")
INPUT = N_("Keys or pointer last used {span} ago; that alone holds a GPU for {most} at most.")
WORK = N_("A kernel or a terminal is busy by what the server says; that alone holds a GPU for {most} at most.")
NO_WORK = N_("No kernel and no terminal is busy by what the server says.")
ACTIVITY = N_(
    "Open pages last asked for something {span} ago. That decides nothing about a GPU: a tab does so by itself."
)
ACTIVITY_COUNTS = N_("Last used {span} ago, by what the hub was told.")


def signals(samples: Samples, policy: Policy, now: float) -> tuple[Signal, ...]:
    """Return what each signal says now, the trusted ones first; those that were never known are left out."""
    if not samples.seen:
        return ()
    rule = policy.rule(samples.gpus)
    return tuple(_signals(samples, rule, fold_of(samples, rule.thresholds), now))


def _signals(samples: Samples, rule: Rule, fold: Fold, now: float) -> Iterator[Signal]:
    last = samples.seen - 1
    if samples.known[last] != NO_GPU:
        yield _gpu(samples, fold, last, now)
        if not math.isnan(samples.memory[last]):
            gib = f"{samples.memory[last] / 2**30:.1f}"
            yield Signal("gpu_memory", "nothing", Message.of(MEMORY, gib=gib), True)
    yield _cpu(samples, rule, fold, last)
    most = span(rule.held_most_s)
    touched = samples.input[last]
    if not math.isnan(touched):
        recent = now - touched <= rule.held_s
        yield Signal(
            "input", "holds" if recent else "idle", Message.of(INPUT, span=span(now - touched), most=most), False
        )
    if samples.work[last] >= 0:
        busy = samples.work[last] > 0
        yield Signal("work", "holds" if busy else "idle", Message.of(WORK if busy else NO_WORK, most=most), False)
    if fold.activity > -math.inf:
        counts = rule.activity_holds or rule.thresholds.by_activity
        text = Message.of(ACTIVITY_COUNTS if counts else ACTIVITY, span=span(now - fold.activity))
        yield Signal(
            "last_activity", "holds" if counts and now - fold.activity <= rule.held_s else "nothing", text, False
        )


def _gpu(samples: Samples, fold: Fold, last: int, now: float) -> Signal:
    percent, gpus = f"{samples.gpu[last]:.0f}", samples.gpus
    if fold.status == BUSY:
        return Signal("gpu", "busy", Message.of(GPU_BUSY, percent=percent, gpus=gpus), True)
    if math.isnan(samples.gpu[last]):
        return Signal("gpu", "unknown", Message.of(GPU_UNKNOWN, gpus=gpus), True)
    if samples.known[last]:
        return Signal("gpu", "unknown", Message.of(GPU_PART, gpus=gpus), True)
    if samples.gpu[last] > 0 and not math.isnan(samples.cpu[last]):
        return Signal("gpu", "idle", Message.of(GPU_NOISE, percent=percent, cores=f"{samples.cpu[last]:.1f}"), True)
    since = now - fold.idle_since if math.isfinite(fold.idle_since) else 0.0
    return Signal("gpu", "idle", Message.of(GPU_IDLE, percent=percent, span=span(since)), True)


def _cpu(samples: Samples, rule: Rule, fold: Fold, last: int) -> Signal:
    cores = samples.cpu[last]
    if math.isnan(cores):
        return Signal("cpu", "unknown", Message(CPU_UNKNOWN), True)
    said, least = f"{cores:.1f}", rule.thresholds.cpu_cores
    if cores < least:
        return Signal("cpu", "idle", Message.of(CPU_IDLE, cores=said, least=least), True)
    if samples.gpus and fold.status != BUSY:
        return Signal("cpu", "holds", Message.of(CPU_HOLDS, cores=said, most=span(rule.held_most_s)), True)
    return Signal("cpu", "busy", Message.of(CPU_BUSY, cores=said), True)
