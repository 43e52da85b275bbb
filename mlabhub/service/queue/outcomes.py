"""What becomes of a launch that started from the queue, or has to end; each a function of the projection.

Guarantees: as in `reservations`; each does nothing unless everything still is as its caller saw it. Whose start came to
nothing without anybody's fault keeps the place: under the same launch if no spawner had it, else under another one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from mlabhub.ledger import QueueEntry, ReclaimNotice, Record, Reservation
from mlabhub.messages import N_, Message
from mlabhub.service.projection import Projection
from mlabhub.service.queue.acts import audit_of
from mlabhub.service.reservations import audit_of as audit_of_launch
from mlabhub.service.reservations import released_of
from mlabhub.service.writer import Act, Outcome

ACTOR = "queue"
PAUSE_S = 10.0
"""How long an entry whose start came to nothing is not looked at."""
MOST_ATTEMPTS = 3
"""How often a start may come to nothing after a spawner took it."""
MOST_BUSY = 10
"""How often a hub is asked that answers that it is busy with that server, or with others."""

NOT_ASKED = N_("the hub could not be asked to start it: it keeps its place and goes on waiting")
REFUSED = N_("the hub did not start it: {reason}")
NOTHING_CAME = N_("It could not be started. It keeps its place and waits again, as another launch.")
GAVE_UP = N_(
    "It could not be started, without a reason; attempts: {attempts}. Look at the image, or ask an administrator."
)
USED = N_("it was used")
ENDED = N_("it ended before anybody used it")
UNUSED = N_("nobody used it for {minutes} minutes: it is given back")
ENDS_SOON = N_("it reaches the longest duration of {profile} in {seconds} s: its owner is told")
ENDS = N_("it reached the longest duration of {profile}")


@dataclass(frozen=True)
class Settled:
    """What an entry became, and the entry under which its launch goes on waiting, if that is another one."""

    entry: QueueEntry
    again: QueueEntry | None = None


def not_started(
    launch_id: str,
    refusal: Message | None,
    now: float,
    make_launch_id: Callable[[], str],
    *,
    busy: Message | None = None,
) -> Act[Settled | None]:
    """Give back a launch that the hub did not start; with a ``refusal`` its entry is over, else it goes on waiting.

    ``busy`` is what a hub says that may start it another time; it is asked `MOST_BUSY` times at most. None if something
    of it runs, or may run.
    """

    def act(projection: Projection) -> Outcome[Settled | None]:
        one, entry = projection.launch(launch_id), projection.queue.get(launch_id)
        if one is not None and one.state != "pending":
            return Outcome(None)
        records: list[Record] = []
        if one is not None:
            why = Message.of(REFUSED, reason=refusal) if refusal is not None else Message(NOT_ASKED)
            records += [released_of(one, now, refusal), audit_of_launch(one, now, ACTOR, "release", why)]
        if entry is None or entry.state != "started":
            return Outcome(None, tuple(records))
        taken = one is None or one.redeemed is not None
        asked = replace(entry, attempts=entry.attempts + 1) if busy is not None and not taken else entry
        said = busy if asked.attempts >= MOST_BUSY and not taken else refusal
        settled, more = _after(asked, said, now, make_launch_id, taken=taken)
        return Outcome(settled, (*records, *more))

    return act


def over(
    entry: QueueEntry, past: Reservation | None, now: float, make_launch_id: Callable[[], str]
) -> Act[Settled | None]:
    """Settle an entry that started and whose launch is over: ``past`` is what the ledger says of it."""

    def act(projection: Projection) -> Outcome[Settled | None]:
        if projection.queue.get(entry.launch_id) != entry or projection.launch(entry.launch_id) is not None:
            return Outcome(None)
        if past is not None and past.ready is not None:
            claimed = replace(entry, state="claimed", changed=now)
            return Outcome(Settled(claimed), (claimed, audit_of(entry, now, ACTOR, "claim", Message(ENDED))))
        taken = past is not None and past.redeemed is not None
        settled, records = _after(entry, past.failure if past else None, now, make_launch_id, taken=taken)
        return Outcome(settled, records)

    return act


def _after(
    entry: QueueEntry, refusal: Message | None, now: float, make_launch_id: Callable[[], str], *, taken: bool
) -> tuple[Settled, tuple[Record, ...]]:
    """Return what becomes of an entry whose start came to nothing; ``taken``: a spawner had its launch."""
    if refusal is None and not taken:
        waits = replace(entry, state="waiting", changed=now, not_before=now + PAUSE_S, started=None, claim_by=None)
        return Settled(waits), (waits, audit_of(entry, now, ACTOR, "queue", Message(NOT_ASKED)))
    attempts = entry.attempts + 1
    if refusal is not None or attempts >= MOST_ATTEMPTS:
        why = refusal if refusal is not None else Message.of(GAVE_UP, attempts=attempts)
        refused = replace(entry, state="refused", changed=now, reason=why)
        return Settled(refused), (refused, audit_of(entry, now, ACTOR, "refuse", Message.of(REFUSED, reason=why)))
    why = Message(NOTHING_CAME)
    closed = replace(entry, state="refused", changed=now, reason=why)
    again = replace(
        entry,
        launch_id=make_launch_id(),
        state="waiting",
        created=now,
        changed=now,
        not_before=now + PAUSE_S,
        started=None,
        claim_by=None,
        again_of=entry.launch_id,
        attempts=attempts,
    )
    return Settled(closed, again), (closed, again, audit_of(again, now, ACTOR, "queue", why))


def claim(launch_id: str, actor: str, now: float) -> Act[QueueEntry | None]:
    """Note that somebody uses what started from the queue; None if that needs no noting."""

    def act(projection: Projection) -> Outcome[QueueEntry | None]:
        entry = projection.queue.get(launch_id)
        if entry is None or entry.state != "started":
            return Outcome(None)
        claimed = replace(entry, state="claimed", changed=now)
        return Outcome(claimed, (claimed, audit_of(entry, now, actor, "claim", Message(USED))))

    return act


def await_claim(entry: QueueEntry, claim_by: float, now: float) -> Act[QueueEntry | None]:
    """Note until when somebody has to use it; None if the entry is another by now."""

    def act(projection: Projection) -> Outcome[QueueEntry | None]:
        if projection.queue.get(entry.launch_id) != entry:
            return Outcome(None)
        waits = replace(entry, claim_by=claim_by, changed=now)
        return Outcome(waits, (waits,))

    return act


def give_back(entry: QueueEntry, one: Reservation, minutes: float, now: float) -> Act[Reservation | None]:
    """Let a launch end that nobody used; None if it or its entry is another by now."""

    def act(projection: Projection) -> Outcome[Reservation | None]:
        if projection.queue.get(entry.launch_id) != entry or projection.launch(one.launch_id) != one:
            return Outcome(None)
        why = Message.of(UNUSED, minutes=minutes)
        given_back = replace(entry, state="given_back", changed=now, reason=why)
        stopping = replace(one, state="stopping", changed=now)
        return Outcome(stopping, (stopping, given_back, audit_of(entry, now, ACTOR, "give_back", why)))

    return act


def tell_end(one: Reservation, deadline: float, now: float) -> Act[ReclaimNotice | None]:
    """Note that a launch's owner is told of its end by the longest duration; None if it has a notice, or changed."""

    def act(projection: Projection) -> Outcome[ReclaimNotice | None]:
        if projection.launch(one.launch_id) != one or one.launch_id in projection.notices:
            return Outcome(None)
        notice = ReclaimNotice(one.launch_id, now, deadline, "", changed=now)
        why = Message.of(ENDS_SOON, profile=one.profile, seconds=round(deadline - now))
        return Outcome(notice, (notice, audit_of_launch(one, now, ACTOR, "notice", why)))

    return act


def end(one: Reservation, notice: ReclaimNotice, now: float) -> Act[Reservation | None]:
    """Let a launch end whose longest duration is over, and whose owner was told in time."""

    def act(projection: Projection) -> Outcome[Reservation | None]:
        if projection.launch(one.launch_id) != one or projection.notices.get(one.launch_id) != notice:
            return Outcome(None)
        stopping, done = replace(one, state="stopping", changed=now), replace(notice, state="done", changed=now)
        why = Message.of(ENDS, profile=one.profile)
        return Outcome(stopping, (stopping, done, audit_of_launch(one, now, ACTOR, "end", why)))

    return act


def drop_notice(notice: ReclaimNotice, now: float) -> Act[None]:
    """Forget a notice of a launch that is over."""

    def act(projection: Projection) -> Outcome[None]:
        if projection.notices.get(notice.launch_id) != notice or projection.launch(notice.launch_id) is not None:
            return Outcome(None)
        return Outcome(None, (replace(notice, state="done", changed=now),))

    return act


def drop_again(entry: QueueEntry, now: float) -> Act[None]:
    """Take an entry out of the queue whose launch was to be taken back, and goes on running."""

    def act(projection: Projection) -> Outcome[None]:
        one = projection.launch(entry.again_of)
        if projection.queue.get(entry.launch_id) != entry or one is None or one.state == "stopping":
            return Outcome(None)
        why = Message(N_("It is not needed: the server that it was to follow goes on running."))
        left = replace(entry, state="left", changed=now, reason=why)
        return Outcome(None, (left, audit_of(entry, now, ACTOR, "leave", why)))

    return act
