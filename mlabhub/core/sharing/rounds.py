"""One round over all that waits: who starts where, who is told to give back, who gives back now.

Guarantees: no start takes a machine beyond what is free on it, a group beyond its limit or a person beyond a cap; a
notice goes only to who is beyond their group's guarantee, and for an owner whom it lets start; nobody gives back before
their notice is over, nor then unless all of this is still so. The same scene, past and policy make the same round.

First come those who are owed something, in fair order; then those who borrow: the few that waited longest, then all
others in fair order; then those beyond a soft cap, if nobody else waits for what it is about.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from mlabhub.core.sharing.coming import add_up, covers
from mlabhub.core.sharing.draining import drain
from mlabhub.core.sharing.lending import kept_of
from mlabhub.core.sharing.model import Claim, NewNotice, Round, Run, Scene, Start, Waiter
from mlabhub.core.sharing.order import fair_order, totals_of
from mlabhub.core.sharing.past import Past
from mlabhub.core.sharing.places import Hold, Room, Rooms
from mlabhub.core.sharing.policy import Policy
from mlabhub.core.sharing.reclaims import Plan, Reclaims, add, loss_of, without_needless
from mlabhub.core.sharing.shares import Shares, Vector, vector_of, wants

MOST_TRIED = 8
"""For how many in one round it is looked whether room can be kept for them, before the others have to wait."""


def plan_round(scene: Scene, past: Past | None = None, policy: Policy | None = None) -> Round:
    """Decide a round. ``past`` is that after this very scene (`Past.after`)."""
    return _Planner(scene, past or Past(), policy or Policy()).plan()


class _Planner:
    """One round in the making."""

    def __init__(self, scene: Scene, past: Past, policy: Policy) -> None:
        self.scene, self.past, self.policy, self.now = scene, past, policy, scene.now
        self.rooms = Rooms(scene.machines, scene.now, policy.before_closing_s)
        self.shares = Shares(scene.quotas, scene.runs, past)
        self.most = min(policy.max_reclaims, scene.quotas.max_reclaims)
        self.patience_s = min(policy.patience_s, 3600 * scene.quotas.owner_wait_hours)
        self.reclaim = Reclaims(self.rooms, self.shares, policy, self.most, self.now, past.lifetimes)
        self.starts: list[Start] = []
        self.notices: list[NewNotice] = []
        self.withdrawn: list[str] = []
        self.reclaims: list[str] = []
        self.holds: dict[str, Hold] = {}
        self.blocked: dict[str, str] = {}
        self.soft: list[Waiter] = []
        self.kept: dict[str, int] = {}
        self.told: dict[str, list[Run]] = {}
        self.gpus_in_all = sum(sum(machine.gpus.values()) for machine in scene.machines)
        self.owners_waiting = 0
        self.served: set[str | None] = set()
        """Groups for which others give back now."""
        self._failed: dict[object, str] = {}
        self._dear: set[object] = set()

    def plan(self) -> Round:
        """Decide everything, in order."""
        for run in self.scene.runs:
            room = self.rooms.by_name.get(run.machine)
            if room is not None:
                room.add_run(run)
        self._remember_notices()
        totals = totals_of(self.scene.machines)
        order = fair_order(
            self.scene.waiters,
            self.shares.groups,
            self.shares.people,
            self.past,
            totals,
            self.now,
            self.shares.weights(totals),
        )
        self._serve_owners(order)
        self._lend(order)
        self._beyond_soft_caps()
        return Round(
            starts=tuple(self.starts),
            notices=tuple(self.notices),
            withdrawn=tuple(self.withdrawn),
            reclaims=tuple(self.reclaims),
            claims=tuple(_claim(waiter, hold) for waiter, hold in self.holds.items()),
            kept=self.kept,
            blocked=self.blocked,
            order=tuple(one.id for one in order if one.id in self.blocked),
        )

    # What was promised before

    def _remember_notices(self) -> None:
        """Keep what is free for those for whom somebody was told to give back."""
        waiters = {waiter.id: waiter for waiter in self.scene.waiters}
        for run in self.scene.runs:
            if run.notice is None or run.ending:
                continue
            if run.notice.waiter in waiters:
                self.told.setdefault(run.notice.waiter, []).append(run)
                self.shares.leave(run.group, vector_of(run.ask, None))
            else:
                self.withdrawn.append(run.id)
        for waiter_id, runs in self.told.items():
            room = self.rooms.by_name.get(runs[0].machine)
            if room is not None:
                ask = waiters[waiter_id].ask
                gpu_type = runs[0].ask.gpu_type
                self.holds[waiter_id] = room.hold(ask, gpu_type, add_up(gpu_type, runs))

    # Owners

    def _serve_owners(self, order: Sequence[Waiter]) -> None:
        owners = [waiter for waiter in order if self.shares.has_guarantee(waiter.group)]
        promised = dict(self.past.promised)
        promised.update({run.notice.waiter: run.machine for run in self.scene.runs if run.notice and run.ending})
        for waiter in owners:
            if promised.get(waiter.id) in (waiter.machines or self.rooms.by_name):
                self._start_owner(replace(waiter, machines=frozenset((promised[waiter.id],))))
        served = {start.waiter for start in self.starts}
        self.served.update(waiter.group for waiter in owners if waiter.id in promised and waiter.id not in served)
        for waiter in sorted(owners, key=lambda one: (one.id not in promised, one.id not in self.told)):
            owed = () if waiter.id in served else self._start_owner(waiter)
            if not owed:
                continue
            self.shares.promise(waiter.user, waiter.group, vector_of(waiter.ask, owed[0]))
            self.owners_waiting += waiter.ask.gpus
            self._make_room(waiter, owed)
            self.blocked.setdefault(waiter.id, self._why_no_room(waiter, owed))
        for waiter_id, runs in self.told.items():
            if waiter_id not in self.blocked:
                self._withdraw(runs)
                self._drop_hold(waiter_id)

    def _start_owner(self, waiter: Waiter) -> tuple[str | None, ...]:
        """Let an owner start where there is room; return the types that are owed to one that cannot."""
        if waiter.not_before > self.now:
            return ()
        types = self._permitted(waiter, soft_counts=True)
        owed = tuple(one for one in types if self.shares.owed(waiter.group, vector_of(waiter.ask, one)))
        if not any(self.rooms.possible(waiter, one) for one in owed):
            return ()
        self._drop_hold(waiter.id)
        others = tuple(one for one in types if one not in owed)  # there it would borrow, but need not wait
        if not self._start(waiter, owed) and not self._start(waiter, others):
            return owed
        self._withdraw(self.told.pop(waiter.id, ()))
        return ()

    def _make_room(self, waiter: Waiter, types: tuple[str | None, ...]) -> None:
        """Go on with the plan that there is for an owner, or make one; else keep room where there soon will be some."""
        of_gpus = tuple(one for one in types if one is not None)
        told = self.told.get(waiter.id)
        if told is not None and self._go_on(waiter, of_gpus, told):
            return
        plan = self.reclaim.best_plan(waiter, of_gpus)
        if plan is not None and plan.victims and not waiter.may_ask:
            self.blocked[waiter.id] = "restrained"
            plan = self.reclaim.without_loss(waiter, of_gpus)
        if plan is None:
            self._hold_where_soonest(waiter, types)
            return
        for run in plan.victims:
            self.notices.append(NewNotice(run.id, self.now + run.notice_s, waiter.id))
            self.shares.leave(run.group, vector_of(run.ask, None))
        told_now = {run.id for run in plan.victims}
        plan.room.runs = [run for run in plan.room.runs if run.id not in told_now]
        self.holds[waiter.id] = plan.room.hold(waiter.ask, plan.gpu_type, add_up(plan.gpu_type, plan.victims))

    def _go_on(self, waiter: Waiter, types: Sequence[str], told: list[Run]) -> bool:
        """Go on with a plan if it still lets the owner start; else take its notices back."""
        for run in told:
            self.shares.stay(run.group, vector_of(run.ask, None))
        plan = self._still_good(waiter, types, told)
        is_time = plan is not None and plan.victims and self._is_over(plan) and self._is_time(waiter, plan)
        if is_time:  # where somebody else gives back more than is needed, nobody has to give back for this one
            plan = self.reclaim.without_loss(waiter, types) or plan
        elif plan is not None and self._is_over(plan) and self.reclaim.is_bettered(waiter, types, plan):
            plan = None
        if plan is None:
            self._withdraw(told, counted=False)
            del self.told[waiter.id]
            return False
        needed = {run.id for run in plan.victims}
        self._withdraw([run for run in told if run.id not in needed], counted=False)
        for run in plan.victims:
            self.shares.leave(run.group, vector_of(run.ask, None))
        self.told[waiter.id] = list(plan.victims)
        if is_time:
            self.reclaims += [run.id for run in plan.victims]
            self.served.add(waiter.group)
        self.holds[waiter.id] = plan.room.hold(waiter.ask, plan.gpu_type, add_up(plan.gpu_type, plan.victims))
        return True

    def _is_over(self, plan: Plan) -> bool:
        """Whether everybody's notice is over."""
        return all(run.notice is not None and run.notice.deadline <= self.now for run in plan.victims)

    def _is_time(self, waiter: Waiter, plan: Plan) -> bool:
        """Whether waiting longer for somebody to end would cost more than is lost."""
        overdue = self.now - max(run.notice.deadline for run in plan.victims if run.notice is not None)
        if overdue >= self.patience_s:
            return True
        return self.reclaim.is_worth(waiter.ask, plan, overdue, self.owners_waiting)

    def _still_good(self, waiter: Waiter, types: Sequence[str], told: Sequence[Run]) -> Plan | None:
        """Return what remains of a plan: those whose giving back is still needed, all on one machine."""
        room = self.rooms.by_name.get(told[0].machine)
        gpu_type = told[0].ask.gpu_type
        if (
            room is None
            or gpu_type is None
            or gpu_type not in types
            or room not in self.rooms.possible(waiter, gpu_type)
        ):
            return None
        able = [run for run in told if run.machine == told[0].machine and self.reclaim.may_give_back(run)]
        soon = room.soon_for_sure(gpu_type)

        def enough(runs: Sequence[Run]) -> bool:
            return covers(room, gpu_type, waiter.ask, add(soon, add_up(gpu_type, runs)))

        if not enough(able):
            return None
        costs = {run.id: loss_of(run, self.shares, self.now) for run in able}
        kept = without_needless(able, costs, enough)
        if not self.reclaim.are_beyond(kept):
            return None
        return Plan(room, gpu_type, tuple(kept), 0.0)

    def _withdraw(self, runs: Iterable[Run], counted: bool = True) -> None:
        for run in runs:
            self.withdrawn.append(run.id)
            if counted:
                self.shares.stay(run.group, vector_of(run.ask, None))

    def _drop_hold(self, waiter_id: str) -> None:
        hold = self.holds.pop(waiter_id, None)
        if hold is not None:
            hold.room.release(hold)

    def _hold_where_soonest(self, waiter: Waiter, types: tuple[str | None, ...]) -> None:
        worth = self.policy.idle_for_owners * (self.now - waiter.since + self.scene.quotas.notice_seconds)
        if (waiter.ask, types) in self._dear:
            return
        hold = drain(self.rooms, waiter, types, self.past.lifetimes, self.now, worth * self.gpus_in_all)
        if hold is None:
            self._dear.add((waiter.ask, types))
        else:
            self.holds[waiter.id] = hold

    # Those who borrow

    def _lend(self, order: Sequence[Waiter]) -> None:
        totals: dict[str, int] = {}
        for machine in self.scene.machines:
            for gpu_type, count in machine.gpus.items():
                totals[gpu_type] = totals.get(gpu_type, 0) + count
        self.kept = kept_of(self.shares, self.past, self.rooms, totals, self.now, self.policy)
        started = {start.waiter for start in self.starts}
        rest = [one for one in order if one.id not in started and one.id not in self.blocked]
        most = max(1, int(self.policy.most_claims * len(self.rooms.by_name)))
        for waiter in rest:
            self._try_to_lend(waiter)
            if most and self.blocked.get(waiter.id) in ("room", "claimed") and self._hold_if_overtaken(waiter):
                most -= 1

    def _hold_if_overtaken(self, waiter: Waiter) -> bool:
        """Keep room for one that waited long, unless it costs more idle time of GPUs than its waiting is worth."""
        waited = self.now - waiter.since
        if waited < self.policy.overtake_s or not waiter.ask.gpus or len(self._dear) >= MOST_TRIED:
            return False
        types = self._permitted(waiter, soft_counts=True)
        spent = self.policy.idle_for_large * waited * self.gpus_in_all
        hold = drain(self.rooms, waiter, types, self.past.lifetimes, self.now, spent)
        if hold is None:
            self._dear.add(waiter.id)
            return False
        self.holds[waiter.id] = hold
        return True

    def _try_to_lend(self, waiter: Waiter) -> None:
        """Let one start that may borrow, or say what it waits for: what did not fit does not later in a round."""
        if waiter.not_before > self.now:
            self.blocked[waiter.id] = "backoff"
            return
        same = (waiter.user, waiter.group, waiter.ask, waiter.machines)
        reason = self._failed.get(same)
        if reason is None or reason == "cap":
            types = self._permitted(waiter, soft_counts=True)
            if not types:
                reason = self._why_not_permitted(waiter)
            else:
                key = (waiter.ask, waiter.machines, types, waiter.group if waiter.group in self.served else None)
                reason = self._failed.get(key) or self._start_or_why(waiter, types)
                if reason is None:
                    return
                self._failed[key] = reason
            self._failed[same] = reason
        self.blocked[waiter.id] = reason

    def _start_or_why(self, waiter: Waiter, types: tuple[str | None, ...]) -> str | None:
        """Let one start, and return None; else why it cannot."""
        lent = self._lent(waiter, types)
        if lent and self._start(waiter, lent):
            return None
        if lent != types and self.rooms.find(waiter, types):
            return "reserve"
        return self._why_no_room(waiter, types)

    def _why_not_permitted(self, waiter: Waiter) -> str:
        """Say which bound stands in the way."""
        reason = "room"
        for gpu_type in self.rooms.types_of(waiter.ask):
            vector = vector_of(waiter.ask, gpu_type)
            if not self.shares.within_limit(waiter, vector):
                reason = "limit"
                continue
            if self.shares.within_caps(waiter, vector, soft_counts=False):
                self.soft.append(waiter)
            return "cap"
        return reason

    def _lent(self, waiter: Waiter, types: tuple[str | None, ...]) -> tuple[str | None, ...]:
        """Return the types of which enough is left beyond what is kept for owners.

        While others give back for a group, it takes nothing that would leave the guarantee too small for that.
        """
        return tuple(
            one
            for one in types
            if (one is None or one not in self.kept or self.rooms.free(one) - waiter.ask.gpus >= self.kept[one])
            and (waiter.group not in self.served or self.shares.owed(waiter.group, vector_of(waiter.ask, one)))
        )

    def _beyond_soft_caps(self) -> None:
        """Let those start that only a soft cap holds back, if nobody else waits for what it is about."""
        for waiter in self.soft:
            types = []
            for gpu_type in self._permitted(waiter, soft_counts=False):
                beyond = self.shares.beyond_soft(waiter, vector_of(waiter.ask, gpu_type))
                if not any(self._others_wait(waiter, resource) for resource in beyond):
                    types.append(gpu_type)
            lent = self._lent(waiter, tuple(types))
            if lent and self._start(waiter, lent):
                del self.blocked[waiter.id]
            elif types:
                self.blocked[waiter.id] = "room"  # and so the soft caps of others count

    def _others_wait(self, waiter: Waiter, resource: str) -> bool:
        for other in self.scene.waiters:
            reason = self.blocked.get(other.id)
            if other.user == waiter.user or reason in (None, "cap", "backoff"):
                continue
            if (reason != "limit" or other.group == waiter.group) and wants(other, resource):
                return True
        return False

    # Both

    def _permitted(self, waiter: Waiter, soft_counts: bool) -> tuple[str | None, ...]:
        """Return the types that no limit and no cap closes."""
        types = []
        for gpu_type in self.rooms.types_of(waiter.ask):
            vector = vector_of(waiter.ask, gpu_type)
            if self.shares.within_limit(waiter, vector) and self.shares.within_caps(waiter, vector, soft_counts):
                types.append(gpu_type)
        return tuple(types)

    def _start(self, waiter: Waiter, types: Sequence[str | None]) -> bool:
        found = self.rooms.find(waiter, types)
        if found is None:
            return False
        room, gpu_type = found
        vector = vector_of(waiter.ask, gpu_type)
        room.take(waiter.ask, gpu_type)
        self.shares.add(waiter.user, waiter.group, vector)
        self.starts.append(Start(waiter.id, room.machine.name, gpu_type, self._borrows(waiter, vector)))
        return True

    def _borrows(self, waiter: Waiter, vector: Vector) -> bool:
        return self.shares.beyond(waiter.group, vector) and self.shares.may_be_taken_back(waiter.group, vector)

    def _why_no_room(self, waiter: Waiter, types: Sequence[str | None]) -> str:
        for hold in self.holds.values():
            room = hold.room
            if any(room.fits_without_holds(waiter.ask, one) for one in types) and room.takes(waiter.ask.profile):
                return "claimed"
        if any(room.fits(waiter.ask, one) for room in self.rooms.closed_soon for one in self._types_in(room, waiter)):
            return "maintenance"
        return "room"

    def _types_in(self, room: Room, waiter: Waiter) -> Sequence[str | None]:
        if not waiter.ask.gpus:
            return (None,)
        return [one for one in room.gpus if waiter.ask.gpu_type in (None, one)]


def _claim(waiter: str, hold: Hold) -> Claim:
    return Claim(waiter, hold.room.machine.name, hold.gpu_type, hold.gpus, hold.cpu, hold.memory)
