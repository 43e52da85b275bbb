"""A virtual cluster and its clock: a workload is run through rules that decide round by round.

Guarantees: deterministic; events are in order of time, and within one moment in the order in which they happen: ends,
then what comes, then what the round decides. Every request is refused at once (nothing could ever hold it), or ends,
as long as the rules let it start. The rules never see how long something will run.

``queued`` is said of a request that does not start in the very moment it comes, and of each that was reclaimed. Ending
a reclaimed one takes no time; it waits again with its whole duration, unless its profile ends it.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from mlabhub.core.quotas import Quotas
from mlabhub.core.quote import plain
from mlabhub.core.sharing.model import Machine, Notice, Round, Run, Scene, Waiter
from mlabhub.core.sharing.past import Past
from mlabhub.core.sharing.policy import Policy
from mlabhub.core.sharing.rounds import plan_round
from mlabhub.core.units import to_micro
from mlabhub.replay.model import Event, Kind, Node, Outcome, Request, Terms, Workload
from mlabhub.replay.never import Impossible

TICK_SECONDS = 900.0
PATIENCE_SECONDS = 60 * 86_400.0
MOST_ROUNDS_AT_ONCE = 100

_END, _COME, _WAKE = 0, 1, 2


def _at_once(reclaims: int) -> float:
    return 0.0


@dataclass(frozen=True)
class Rules:
    """What decides in one replay: ``plan`` is given a scene at each round, in order of time.

    ``back_off`` says how many seconds one that was reclaimed for the so-manieth time is not looked at.
    """

    plan: Callable[[Scene], Round]
    back_off: Callable[[int], float] = _at_once


MakeRules = Callable[[Workload, Quotas], Rules]
"""Makes rules ready for one replay."""


def live_rules(workload: Workload, quotas: Quotas, policy: Policy | None = None) -> Rules:
    """Return the rules by which the service decides."""
    chosen = policy or Policy()
    past = Past(half_life_s=quotas.half_life_days * 86_400.0)

    def plan(scene: Scene) -> Round:
        nonlocal past
        past = past.after(scene)
        return plan_round(scene, past, chosen)

    return Rules(plan, chosen.back_off)


def run(
    workload: Workload,
    quotas: Quotas,
    make_rules: MakeRules = live_rules,
    terms: Mapping[str, Terms] | None = None,
) -> Outcome:
    """Replay a workload under rules; ``terms`` are the profiles' by slug."""
    return _Replay(workload, quotas, make_rules(workload, quotas), terms or {}).run()


@dataclass
class _Place:
    """A node and what is free on it."""

    node: Node
    gpus: int
    cpu: int
    memory: int
    machine: Machine | None = None


@dataclass
class _Replay:
    workload: Workload
    quotas: Quotas
    rules: Rules
    terms: Mapping[str, Terms]
    events: list[Event] = field(default_factory=list)
    runs: dict[str, Run] = field(default_factory=dict)
    waiters: dict[str, Waiter] = field(default_factory=dict)
    heap: list[tuple[float, int, int, str]] = field(default_factory=list)
    starts: dict[str, int] = field(default_factory=dict)
    fresh: dict[str, None] = field(default_factory=dict)
    counter: int = 0
    rounds: int = 0
    withdrawn: int = 0
    notified: int = 0
    now: float = 0.0
    tick: float = -1.0
    coming: int = 0
    progress: float = 0.0

    def __post_init__(self) -> None:
        self.requests = {request.id: request for request in self.workload.requests}
        self.impossible = Impossible(self.workload.nodes, self.quotas)
        times = self.quotas.cpu_overcommit
        self.places = {
            node.name: _Place(node, node.gpus, to_micro(node.cpu * times), to_micro(node.memory_gib))
            for node in self.workload.nodes
        }

    def run(self) -> Outcome:
        self.coming = len(self.workload.requests)
        for request in self.workload.requests:
            self._at(request.t, _COME, request.id)
        for closed in self.quotas.maintenance:
            self._wake(closed.until)
        while self.heap:
            self.now = self.heap[0][0]
            if not self.runs and not self.coming and self.now > self.progress + PATIENCE_SECONDS:
                break
            self._moment()
        stranded = tuple(self.waiters)
        return Outcome(tuple(self.events), self.rounds, self.withdrawn, stranded)

    def _at(self, when: float, kind: int, what: str) -> None:
        self.counter += 1
        heapq.heappush(self.heap, (when, kind, self.counter, what))

    def _moment(self) -> None:
        """Do all that happens now, and plan until nothing more can be done."""
        for _ in range(MOST_ROUNDS_AT_ONCE):
            self._pass()
            if not self.waiters and not self.notified:
                return
            self.rounds += 1
            round_ = self.rules.plan(self._scene())
            self._apply(round_)
            if not round_.reclaims and not (self.heap and self.heap[0][0] <= self.now):
                break
        if self.waiters and self.tick <= self.now:
            self.tick = self.now + TICK_SECONDS
            self._wake(self.tick)

    def _pass(self) -> None:
        """Let end and come what does so now."""
        while self.heap and self.heap[0][0] <= self.now:
            _, kind, serial, what = heapq.heappop(self.heap)
            if kind == _COME:
                self._come(self.requests[what])
            elif kind == _END and self.starts.get(what) == serial:
                self._leave(what, "ended")

    def _wake(self, when: float) -> None:
        self._at(when, _WAKE, "")

    def _come(self, request: Request) -> None:
        self.progress = self.now
        self.coming -= 1
        reason = self.impossible.reason(request)
        if reason:
            self._say(request.id, "refused", reason=reason)
            return
        self.fresh[request.id] = None
        self.waiters[request.id] = Waiter(
            id=request.id,
            user=request.user,
            group=request.group,
            ask=request.ask,
            since=request.t,
            priority=request.priority,
        )

    def _say(self, who: str, event: Kind, node: str = "", reason: str = "") -> None:
        self.events.append(Event(self.now, who, event, node, reason))

    def _leave(self, who: str, event: Kind, reason: str = "") -> Run:
        """Take a run off its machine."""
        run_ = self.runs.pop(who)
        self.starts.pop(who, None)
        self.progress = self.now
        self._hold(run_.machine, run_, -1)
        if run_.notice is not None:
            self.notified -= 1
        self._say(who, event, run_.machine, reason)
        return run_

    def _hold(self, name: str, run_: Run, sign: int) -> None:
        place, ask = self.places[name], run_.ask
        place.gpus -= sign * ask.gpus
        place.cpu -= sign * ask.cpu
        place.memory -= sign * ask.memory
        place.machine = None

    def _scene(self) -> Scene:
        machines = []
        for place in self.places.values():
            if place.machine is None or self.quotas.maintenance:
                place.machine = self._machine(place)
            machines.append(place.machine)
        return Scene(tuple(machines), tuple(self.runs.values()), tuple(self.waiters.values()), self.quotas, self.now)

    def _machine(self, place: _Place) -> Machine:
        node = place.node
        typed = node.gpu_type is not None and node.gpus > 0
        closing = self.quotas.maintenance_of(node.name, self.now)
        return Machine(
            name=node.name,
            gpus={node.gpu_type: node.gpus} if typed and node.gpu_type else {},
            cpu=to_micro(node.cpu * self.quotas.cpu_overcommit),
            memory=to_micro(node.memory_gib),
            free_gpus={node.gpu_type: place.gpus} if typed and node.gpu_type else {},
            free_cpu=place.cpu,
            free_memory=place.memory,
            most_cpu=to_micro(node.cpu),
            open=closing is None or closing.start > self.now,  # what runs there runs on, as it does live
            closes=None if closing is None else closing.start,
        )

    def _apply(self, round_: Round) -> None:
        started = {one.waiter for one in round_.starts}
        for who in self.fresh:
            if who not in started:
                self._say(who, "queued", reason=_waits(round_.blocked.get(who, "")))
        self.fresh.clear()
        for who in round_.withdrawn:
            self.runs[who] = replace(self.runs[who], notice=None)
            self.withdrawn += 1
            self.notified -= 1
        for who in round_.reclaims:
            self._reclaim(who)
        for start in round_.starts:
            self._start(start.waiter, start.machine, start.gpu_type, start.borrowed)
        for new in round_.notices:
            run_ = self.runs[new.run]
            self.notified += run_.notice is None
            deadline = new.deadline
            while self.now < deadline < self.now + run_.notice_s + 1e-3 and deadline - self.now < run_.notice_s:
                deadline = math.nextafter(deadline, math.inf)  # a full notice, also to who subtracts times
            self.runs[new.run] = replace(run_, notice=Notice(self.now, deadline, new.waiter))
            reason = f"{self._who(new.waiter)} needs it; runs until {deadline:.0f} at least"
            self._say(new.run, "notice", run_.machine, reason)
            self._wake(deadline)

    def _reclaim(self, who: str) -> None:
        notice = self.runs[who].notice
        reason = f"for {self._who(notice.waiter)}" if notice is not None else "for another's guarantee"
        run_ = self._leave(who, "reclaimed", reason)
        request = self.requests[who]
        if self._terms(request).ends_when_reclaimed:
            self._say(who, "ended", run_.machine, "its profile ends what was reclaimed")
            return
        reclaims = run_.reclaims + 1
        not_before = self.now + self.rules.back_off(reclaims)
        self.waiters[who] = Waiter(
            id=who,
            user=run_.user,
            group=run_.group,
            ask=request.ask,
            since=request.t,
            priority=request.priority,
            reclaims=reclaims,
            not_before=not_before,
        )
        if not_before > self.now:
            self._wake(not_before)
        self._say(who, "queued", reason="waits again, with its whole duration")

    def _start(self, who: str, machine: str, gpu_type: str | None, borrowed: bool) -> None:
        waiter, request = self.waiters.pop(who), self.requests[who]
        terms = self._terms(request)
        run_ = Run(
            id=who,
            user=waiter.user,
            group=waiter.group,
            ask=replace(waiter.ask, gpu_type=gpu_type if waiter.ask.gpus else None),
            machine=machine,
            started=self.now,
            notice_s=self.quotas.notice_seconds if terms.notice_s is None else terms.notice_s,
            reclaims=waiter.reclaims,
            ends_by=None if terms.longest_s is None else self.now + terms.longest_s,
            reclaimable=terms.reclaimable,
        )
        self.runs[who] = run_
        self.progress = self.now
        self._hold(machine, run_, 1)
        self._at(self.now + request.duration_s, _END, who)
        self.starts[who] = self.counter
        group = plain(request.group or "")
        borrows = f"borrows beyond the guarantee of {group}; may be taken back after a notice"
        self._say(who, "started", machine, borrows if borrowed else "")

    def _terms(self, request: Request) -> Terms:
        return self.terms.get(request.profile, _USUAL)

    def _who(self, waiter: str) -> str:
        request = self.requests.get(waiter)
        group = f" of {plain(request.group)}" if request is not None and request.group else ""
        return f"{plain(waiter)}{group}"


_USUAL = Terms()
_WAITS = {
    "limit": "the group is at its limit",
    "cap": "the person is at their cap",
    "room": "no machine has room",
    "claimed": "the room is promised to others",
    "reserve": "what is free is kept for owners who are likely to come back",
    "backoff": "it was reclaimed a short while ago",
    "maintenance": "a maintenance is near",
}


def _waits(word: str) -> str:
    return _WAITS.get(word, word)
