"""What API and pages answer about idleness: plain values, made of what the desk knows.

Guarantees: pure; what is not known is None, never zero; the rule is said in words beside its numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from mlabhub.core.idle.policy import Policy
from mlabhub.core.idle.rule_words import rule_sentences
from mlabhub.core.idle.words import Signal
from mlabhub.core.readings import Sample
from mlabhub.ledger import IdleWarning, Keeping, Reservation
from mlabhub.messages import Message
from mlabhub.service.idle.views import IdleOverview, IdleView, WouldStopView
from mlabhub.service.reports import AgentReport

SILENT_S = 600.0
"""An agent reports each minute; one that says nothing for so long is silent."""


@dataclass(frozen=True)
class RuleAnswer:
    """The policy that holds for a server, in numbers (seconds) and in words.

    ``window_s`` is None for servers that are never stopped; where ``learns``, each has a window of its own, and this is
    the one without history.
    """

    name: str
    said: tuple[Message, ...]
    window_s: float | None
    grace_s: float
    action: str
    dry_run: bool
    learns: bool
    keep_times: int
    keep_most_s: float


@dataclass(frozen=True)
class IdleAnswer:
    """The verdict on a server that runs, signal by signal, and what can be done.

    Times are seconds since the epoch by the service's clock, ``now`` among them: ``since`` is when it was last at work,
    ``due`` when it is warned, ``deadline`` when it is stopped unless it is used. ``reasons`` say why something is not
    known. It can be kept ``keep_left`` times yet. ``page`` shows the same to people.
    """

    user: str
    server_name: str
    display_name: str
    launch_id: str
    gpus: int
    now: float
    verdict: str
    said: Message
    since: float | None
    due: float | None
    deadline: float | None
    signals: tuple[Signal, ...]
    reasons: tuple[Message, ...]
    policy: RuleAnswer
    warning: IdleWarning | None
    keepings: tuple[Keeping, ...]
    keep_left: int
    keep_most_s: float
    can_release: bool
    page: str


@dataclass(frozen=True)
class SampleAnswer:
    """One minute of a server, or five of what is older: null is not known.

    ``gpu_util`` is in percent, the highest of each GPU; ``gpu_mem_used`` in bytes. The last four are what the server
    and the hub say of themselves: nobody has checked them.
    """

    t: float
    launch_id: str
    gpus: int
    gpu_util: tuple[float | None, ...]
    gpu_mem_used: tuple[float | None, ...]
    cpu_cores: float | None
    last_activity: float | None
    input_age: float | None
    kernels_busy: float | None
    terminals_busy: float | None


@dataclass(frozen=True)
class WouldStopAnswer:
    """What a dry run would have stopped at ``at``: ``again`` is when it was used after that, ``ended`` when it ended.

    ``gpu_hours`` would have been free.
    """

    launch_id: str
    user: str
    server_name: str
    at: float
    gpus: int
    reason: Message
    again: float | None
    ended: float | None
    regretted: bool
    gpu_hours: float


@dataclass(frozen=True)
class UnknownAnswer:
    """A server of which nobody knows, ``since`` when (None: ever), whether it is used; nothing is stopped there."""

    launch_id: str
    user: str
    server_name: str
    gpus: int
    since: float | None
    said: Message
    reasons: tuple[Message, ...]


@dataclass(frozen=True)
class SilentAnswer:
    """A server whose agent says nothing: since ``last``, or ever (None)."""

    launch_id: str
    user: str
    server_name: str
    gpus: int
    last: float | None


@dataclass(frozen=True)
class UndeliverableAnswer:
    """A server whose warning reaches nobody, so that it is not stopped."""

    launch_id: str
    user: str
    server_name: str
    gpus: int


@dataclass(frozen=True)
class KeepingAnswer:
    """That somebody kept a server, and why; ``user`` is empty where the launch is not known any more."""

    launch_id: str
    user: str
    server_name: str
    at: float
    until: float
    by: str
    reason: str


@dataclass(frozen=True)
class OverviewAnswer:
    """What administrators see of idleness; lists of the past are newest first, and of the last 30 days.

    ``gpu_hours`` would have been free by dry runs, with ``regrets`` servers that were used again. ``verdicts`` counts
    the servers that run by verdict.
    """

    now: float
    verdicts: Mapping[str, int]
    gpu_hours: float
    regrets: int
    would_stops: tuple[WouldStopAnswer, ...]
    unknown: tuple[UnknownAnswer, ...]
    silent_agents: tuple[SilentAnswer, ...]
    undeliverable: tuple[UndeliverableAnswer, ...]
    keepings: tuple[KeepingAnswer, ...]


def rule_answer(policy: Policy, gpus: int) -> RuleAnswer:
    """Return the policy as it holds for a server with so many GPUs."""
    return RuleAnswer(
        name=policy.name,
        said=rule_sentences(policy, gpus),
        window_s=policy.rule(gpus).window_s,
        grace_s=policy.grace_s,
        action=policy.action,
        dry_run=policy.dry_run,
        learns=policy.learns,
        keep_times=policy.keep_times,
        keep_most_s=policy.keep_most_s,
    )


def idle_answer(view: IdleView, prefix: str) -> IdleAnswer:
    """Return what is answered of one server; ``prefix`` is the service's."""
    one = view.launch
    return IdleAnswer(
        user=one.user,
        server_name=one.server,
        display_name=one.display_name,
        launch_id=one.launch_id,
        gpus=len(one.gpus),
        now=view.now,
        verdict=view.verdict,
        said=view.said,
        since=view.since,
        due=view.due,
        deadline=view.deadline,
        signals=view.signals,
        reasons=view.reasons,
        policy=rule_answer(view.policy, len(one.gpus)),
        warning=view.warning,
        keepings=view.keepings,
        keep_left=view.keep_left,
        keep_most_s=view.keep_most_s,
        can_release=view.can_release,
        page=f"{prefix}servers/{one.launch_id}",
    )


def sample_answer(one: Sample) -> SampleAnswer:
    """Return one minute of a server."""
    further = ("last_activity", "input_age", "kernels_busy", "terminals_busy")
    return SampleAnswer(
        one.t,
        one.launch_id,
        one.gpus,
        one.gpu_util,
        one.gpu_mem_used,
        one.cpu_cores,
        *(None if (value := one.more.get(name)) is None else float(value) for name in further),
    )


def overview_answer(view: IdleOverview, silent: tuple[SilentAnswer, ...], now: float) -> OverviewAnswer:
    """Return what administrators see."""
    return OverviewAnswer(
        now=now,
        verdicts=view.verdicts,
        gpu_hours=sum(one.gpu_hours for one in view.would_stops),
        regrets=sum(one.regretted for one in view.would_stops),
        would_stops=tuple(map(_would_stop, view.would_stops)),
        unknown=tuple(
            UnknownAnswer(one.launch_id, one.user, one.server, len(one.gpus), it.verdict.since, it.said, it.reasons)
            for one, it in view.unknown
        ),
        silent_agents=silent,
        undeliverable=tuple(
            UndeliverableAnswer(one.launch_id, one.user, one.server, len(one.gpus)) for one in view.undeliverable
        ),
        keepings=tuple(
            KeepingAnswer(
                kept.launch_id,
                "" if one is None else one.user,
                "" if one is None else one.server,
                kept.at,
                kept.until,
                kept.by,
                kept.reason,
            )
            for kept, one in view.keepings
        ),
    )


def _would_stop(view: WouldStopView) -> WouldStopAnswer:
    one = view.found
    return WouldStopAnswer(
        one.launch_id,
        one.user,
        one.server,
        one.at,
        one.gpus,
        one.reason,
        one.again,
        one.ended,
        view.regretted,
        view.gpu_hours,
    )


def silent_agents(
    running: Iterable[Reservation], latest: Callable[[str], AgentReport | None], now: float
) -> tuple[SilentAnswer, ...]:
    """Return the servers that run for a while and whose agent says nothing, the longest silence first."""
    found = []
    for one in running:
        ready = one.ready if one.ready is not None else one.held
        last = latest(one.launch_id)
        heard = last.at if last is not None else ready
        if one.state == "held" and heard is not None and now - heard > SILENT_S:
            at = None if last is None else last.at
            found.append(SilentAnswer(one.launch_id, one.user, one.server, len(one.gpus), at))
    return tuple(sorted(found, key=lambda one: (one.last is not None, one.last or 0.0, one.user, one.server_name)))
