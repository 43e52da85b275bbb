"""A policy in words: one sentence for who is about to start a server, and all of it for who asks why.

Guarantees: pure; says what the policy does to a server with so many GPUs, and nothing that does not hold for it.
"""

from __future__ import annotations

from collections.abc import Iterator

from mlabhub.core.idle.policy import LEAST_WINDOW_S, Policy, Rule
from mlabhub.core.idle.words import span
from mlabhub.messages import N_, Message

NEVER = N_("Idle rule: servers of this kind are never stopped for idleness.")
TRIAL = N_("Idle rule, on trial: nobody is warned and nothing is stopped; what would have been is only noted.")
STOPPED = {
    True: N_("Idle rule: warned after {window} without GPU work, stopped {grace} later."),
    False: N_("Idle rule: warned after {window} without use, stopped {grace} later."),
}
RELEASED = N_(
    "Idle rule: warned after {window} without GPU work; {grace} later its GPUs are given back, and the work is kept."
)
TOLD = {
    True: N_("Idle rule: told after {window} without GPU work; nothing is stopped."),
    False: N_("Idle rule: told after {window} without use; nothing is stopped."),
}

GPU_WORK = N_(
    "A GPU is at work from {busy} % on, and never below {noise} %; in between it is if {cores} cores are in use as "
    "well."
)
CPU_WORK = N_("A server without GPUs is at work from {cores} cores in use on.")
ACTIVITY_WORK = N_("Only what the hub calls activity counts as use.")
ACTIVITY_HOLDS = N_("Activity at the hub counts as use, too.")
HELD = N_(
    "What nobody can check (keys and pointer, kernels and terminals, processors beside a GPU that does nothing) holds "
    "it for {held}, and for {most} at most."
)
LEARNED = N_(
    "How long it waits is learned from how long servers stood idle before and were used again: {least} at the least."
)
KEEPS = N_("It can be kept {times} times in one stretch of idleness, for up to {most} each time.")
NO_KEEPS = N_("It cannot be kept by asking for it.")
QUIET = N_("Nobody is warned or stopped between {begin} and {end}.")
LONGEST = N_("No server runs for longer than {longest}.")
UNKNOWN = N_("What is not known for certain stops nothing.")


def rule_sentence(policy: Policy, gpus: int) -> Message:
    """Return what befalls a server with so many GPUs that nobody uses."""
    rule, with_gpu = policy.rule(gpus), bool(gpus)
    if rule.window_s is None:
        return Message(NEVER)
    if policy.dry_run:
        return Message(TRIAL)
    values = {"window": span(rule.window_s), "grace": span(policy.grace_s)}
    if policy.action == "nothing":
        return Message.of(TOLD[with_gpu], values)
    releases = policy.action == "release-gpu" and with_gpu
    return Message.of(RELEASED if releases else STOPPED[with_gpu], values)


def rule_sentences(policy: Policy, gpus: int) -> tuple[Message, ...]:
    """Return all of it: what follows, what counts as use, and what can be asked for."""
    rule = policy.rule(gpus)
    if rule.window_s is None:
        return (Message(NEVER),)
    return (rule_sentence(policy, gpus), *_use(rule, gpus), *_more(policy, gpus), Message(UNKNOWN))


def _use(rule: Rule, gpus: int) -> Iterator[Message]:
    use = rule.thresholds
    if use.by_activity:
        yield Message(ACTIVITY_WORK)
        return
    if gpus:
        yield Message.of(GPU_WORK, busy=use.busy_percent, noise=use.noise_percent, cores=use.cpu_cores)
    else:
        yield Message.of(CPU_WORK, cores=use.cpu_cores)
    if rule.held_s and rule.held_most_s:
        yield Message.of(HELD, held=span(min(rule.held_s, rule.held_most_s)), most=span(rule.held_most_s))
    if rule.activity_holds:
        yield Message(ACTIVITY_HOLDS)


def _more(policy: Policy, gpus: int) -> Iterator[Message]:
    if policy.learns and gpus:
        yield Message.of(LEARNED, least=span(LEAST_WINDOW_S))
    if policy.dry_run:
        return
    keeps = policy.keep_times and policy.keep_most_s
    yield Message.of(KEEPS, times=policy.keep_times, most=span(policy.keep_most_s)) if keeps else Message(NO_KEEPS)
    for begin, end in policy.quiet:
        yield Message.of(QUIET, begin=_clock(begin), end=_clock(end))
    if policy.longest_s is not None:
        yield Message.of(LONGEST, longest=span(policy.longest_s))


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
