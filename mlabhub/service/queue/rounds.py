"""One round made durable: what the rules decided becomes records, all in one commit.

Guarantees: as in `reservations`; only what was looked at in this round starts, as it was looked at, and only where
there is room at this very moment; nobody is told to give back, or gives back, for one that may not start; a launch that
is taken back waits again from the same commit on, unless its profile says otherwise; a notice is never shorter than the
rules said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from mlabhub.core.admission import Placement
from mlabhub.core.capacity import Capacity
from mlabhub.core.holdings import Holdings
from mlabhub.core.placement import find_place
from mlabhub.core.privacy import EVERYTHING
from mlabhub.core.profiles import Catalog, LaunchRequest
from mlabhub.core.sharing.model import NewNotice, Round, Scene, Start
from mlabhub.core.sharing.policy import Policy
from mlabhub.errors import MLabError
from mlabhub.ledger import QueueEntry, ReclaimNotice, Record, Reservation
from mlabhub.messages import N_, Message
from mlabhub.service import decisions, reservations
from mlabhub.service.decisions import Ground, Wish
from mlabhub.service.projection import Projection, make_holding
from mlabhub.service.queue.acts import audit_of, make_entry_again
from mlabhub.service.queue.checks import Checked
from mlabhub.service.queue.scene import Facts, scene_of
from mlabhub.service.writer import Act, Outcome

ACTOR = "queue"

STARTED = N_("its turn has come: {words}")
TOLD = N_("it borrows what {user} of {group} may count on: told to give back within {seconds} s")
WITHDRAWN = N_("what it borrows is not needed any more: it may stay")
RECLAIMED = N_("its notice has passed: what it borrows is given back")
AGAIN = N_("it was taken back, and waits for its next turn")

POSTPONED = N_("it could not start yet: {reason}")
POSTPONED_S = 60.0

Planner = Callable[[Scene], Round]


@dataclass(frozen=True)
class Planned:
    """What a round stands on: all that was looked at before it, and what was planned on which projection."""

    catalog: Catalog
    capacity: Capacity
    facts: Facts
    checked: Mapping[str, Checked]
    version: int
    round: Round
    scene: Scene


@dataclass
class Made:
    """What became durable, for what follows from it. ``left_over``: starts that were not looked at, or had no room.

    ``in_vain``: entries for which others were told to give back, and that left, or ask for something else since.
    """

    round: Round
    started: list[tuple[Reservation, QueueEntry, Start]] = field(default_factory=list)
    told: list[tuple[Reservation, ReclaimNotice]] = field(default_factory=list)
    withdrawn: list[Reservation] = field(default_factory=list)
    reclaimed: list[tuple[Reservation, QueueEntry | None]] = field(default_factory=list)
    in_vain: set[str] = field(default_factory=set)
    left_over: bool = False


def carry_out(
    planned: Planned, plan: Planner, now: float, make_launch_id: Callable[[], str], deadline_s: float
) -> Act[Made]:
    """Make a round durable. If the projection changed since it was planned, it is planned anew first."""

    def act(projection: Projection) -> Outcome[Made]:
        decided, late = planned.round, now - planned.scene.now
        if projection.version != planned.version:
            late, decided = 0.0, plan(scene_of(projection, planned.catalog, planned.capacity, planned.facts, now))
        made = Made(decided)
        starts = _Starts(projection, planned, now, deadline_s, made)
        records: list[Record] = [
            *_reclaims(projection, planned, decided, now, make_launch_id, made),
            *_withdrawals(projection, decided, now, made),
            *starts.records(decided.starts),
            *_notices(projection, planned, decided.notices, now, late, made),
        ]
        return Outcome(made, tuple(records))

    return act


def place_on(
    request: LaunchRequest, start: Start, catalog: Catalog, holdings: Holdings, capacity: Capacity
) -> Placement | None:
    """Return the GPUs for a request on the machine that a round chose; None if there is no room now."""
    nodes = tuple(node for node in capacity.nodes if node.name == start.machine)
    types = () if start.gpu_type is None else (start.gpu_type,)
    return find_place(request, types, catalog.quotas.cpu_overcommit, holdings, Capacity(nodes))


@dataclass
class _Starts:
    """Gives those whose turn has come what they start with, one after the other."""

    projection: Projection
    planned: Planned
    now: float
    deadline_s: float
    made: Made
    numbers: dict[tuple[str, int], str] = field(default_factory=dict)
    """Who was given which number in this round: the next one finds it taken, and starts in the next round."""

    def records(self, starts: tuple[Start, ...]) -> Iterator[Record]:
        """Yield what has to be kept. What each gets counts for the next; the projection is as before in the end."""
        holdings = self.projection.holdings
        try:
            for start in starts:
                try:
                    records = tuple(self._start(start))
                except MLabError as error:  # one that cannot start keeps nobody else from it
                    records = tuple(self._postpone(start, error.message))
                checked = self.planned.checked.get(start.waiter)
                if not records and not (checked is not None and checked.unknown):
                    self.made.left_over = True
                yield from records
        finally:
            for reservation, _, _ in self.made.started:
                holdings.remove(reservation.launch_id)

    def _postpone(self, start: Start, why: Message) -> Iterator[Record]:
        entry = self.projection.queue[start.waiter]
        yield replace(entry, not_before=self.now + POSTPONED_S, changed=self.now)
        yield audit_of(entry, self.now, ACTOR, "postpone", Message.of(POSTPONED, reason=why))

    def _start(self, start: Start) -> Iterator[Record]:
        checked, entry = self.planned.checked.get(start.waiter), self.projection.queue.get(start.waiter)
        if entry is None or checked is None or checked.request is None or checked.identify is None:
            return
        if not checked.ready or not checked.fits(entry):
            return
        if self.projection.of_server(entry.user, entry.server) is not None:
            return
        planned = self.planned
        place = place_on(checked.request, start, planned.catalog, self.projection.holdings, planned.capacity)
        if place is None:
            return
        wish = Wish(
            launch_id=entry.launch_id,
            request=checked.request,
            options=entry.options,
            actor=entry.actor,
            viewer=EVERYTHING,
            deadline_s=self.deadline_s,
            display_name=entry.display_name,
        )
        ground = Ground(planned.catalog, planned.capacity, checked.identify)
        reservation, ids = decisions.grant(self.projection, wish, ground, self.now, place, entry)
        if any(self.numbers.setdefault((one.kind, one.number), one.name) != one.name for one in ids):
            return
        self.projection.holdings.add(make_holding(reservation))
        started = decisions.started_entry(entry, checked.request, entry.options, self.now)
        self.made.started.append((reservation, started, start))
        words = Message.of(STARTED, words=decisions.admitted_words(reservation))
        # An `admit` of the audit is a server's last launch, which is offered again.
        yield reservation
        yield started
        yield from ids
        yield reservations.audit_of(reservation, self.now, ACTOR, "admit", words)


def awaited(projection: Projection, decided: Round) -> list[str]:
    """Return the entries for which others are told to give back, or give back."""
    told = [projection.notices.get(run) for run in decided.reclaims]
    return [*(new.waiter for new in decided.notices), *(one.entry for one in told if one is not None)]


def _is_good(planned: Planned, projection: Projection, launch_id: str, made: Made, *, for_sure: bool) -> bool:
    """Whether an entry was looked at and may start, so that others may be asked for it; ``for_sure``: it is known."""
    checked = planned.checked.get(launch_id)
    if checked is not None and checked.unknown:
        return not for_sure
    good = checked is not None and checked.ready and checked.fits(projection.queue.get(launch_id))
    made.left_over = made.left_over or not good
    return good


def _notices(
    projection: Projection, planned: Planned, notices: tuple[NewNotice, ...], now: float, late: float, made: Made
) -> Iterator[Record]:
    """Give notices; what was planned ``late`` seconds ago runs its whole length from now."""
    for new in notices:
        if not _is_good(planned, projection, new.waiter, made, for_sure=False):
            continue
        one, entry = projection.launch(new.run), projection.queue.get(new.waiter)
        known = projection.notices.get(new.run)
        if one is None or one.state != "held" or entry is None or (known is not None and not known.entry):
            continue  # what is about to end by its longest duration was told so already
        notice = ReclaimNotice(new.run, now, max(new.deadline + late, now), new.waiter, changed=now)
        made.told.append((one, notice))
        words = Message.of(
            TOLD,
            user=entry.user,
            group=entry.group or Message(N_("no group")),
            seconds=round(notice.deadline - now),
        )
        yield from (notice, reservations.audit_of(one, now, ACTOR, "notice", words))


def _withdrawals(projection: Projection, decided: Round, now: float, made: Made) -> Iterator[Record]:
    for launch_id in decided.withdrawn:
        notice, one = projection.notices.get(launch_id), projection.launch(launch_id)
        if notice is None:
            continue
        yield replace(notice, state="withdrawn", changed=now)
        if one is not None and notice.entry and _is_in_vain(projection.queue.get(notice.entry), notice, decided):
            made.in_vain.add(notice.entry)
        if one is not None:
            made.withdrawn.append(one)
            yield reservations.audit_of(one, now, ACTOR, "withdraw", Message(WITHDRAWN))


def _is_in_vain(entry: QueueEntry | None, notice: ReclaimNotice, decided: Round) -> bool:
    """Whether a notice is withdrawn because its entry is not what it was: not as it starts, nor as others left."""
    if entry is None or entry.state != "waiting":
        return True
    return entry.changed > notice.at and all(start.waiter != entry.launch_id for start in decided.starts)


def _reclaims(
    projection: Projection,
    planned: Planned,
    decided: Round,
    now: float,
    make_launch_id: Callable[[], str],
    made: Made,
) -> Iterator[Record]:
    for launch_id in decided.reclaims:
        one, notice = projection.launch(launch_id), projection.notices.get(launch_id)
        if one is None or notice is None or one.state != "held":
            continue
        if not _is_good(planned, projection, notice.entry, made, for_sure=True):
            continue
        stopping = replace(one, state="stopping", changed=now)
        yield from (stopping, replace(notice, state="done", changed=now))
        yield reservations.audit_of(one, now, ACTOR, "reclaim", Message(RECLAIMED))
        own = projection.queue.get(launch_id)
        if own is not None:  # nobody used it yet; its name is needed for the next turn
            yield replace(own, state="claimed", changed=now)
        again = _again(projection, planned.catalog, one, now, make_launch_id)
        made.reclaimed.append((stopping, again))
        if again is not None:
            yield from (again, audit_of(again, now, ACTOR, "queue", Message(AGAIN)))


def _again(
    projection: Projection, catalog: Catalog, one: Reservation, now: float, make_launch_id: Callable[[], str]
) -> QueueEntry | None:
    """Return the entry under which a launch waits again that is taken back; None where it just ends."""
    profile = catalog.profiles_by_slug.get(one.profile)
    if profile is None or profile.after_reclaim != "queue" or one.origin == "adopted":
        return None
    if projection.entry_of_server(one.user, one.server) not in (None, projection.queue.get(one.launch_id)):
        return None
    not_before = now + Policy().back_off(one.reclaims + 1)
    return make_entry_again(one, make_launch_id(), now, reclaims=one.reclaims + 1, not_before=not_before)
