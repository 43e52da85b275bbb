"""The acts on reservations, each a function of the projection: redeem, hold, change, release, adopt.

Guarantees: every act can be repeated (a lost answer costs nothing); none does I/O or reads a clock; a launch's id is
good for one start of one server with one set of options, and never again once a spawner had it and it was released.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from mlabhub.core.capacity import Capacity
from mlabhub.core.moving import move
from mlabhub.ledger import AuditEntry, QueueEntry, Record, Reservation, StoredAnswer
from mlabhub.messages import Message
from mlabhub.service.answers import unknown, used
from mlabhub.service.projection import Projection, make_holding
from mlabhub.service.writer import Act, Outcome


def active_launch(projection: Projection, launch_id: str, user: str, server: str) -> Reservation:
    """Return the reservation of a launch. Raises `LaunchRefused` if it is not active, or another server's."""
    known = projection.launch(launch_id)
    if known is None:
        raise used(launch_id) if projection.is_spent(launch_id) else unknown(launch_id)
    if (known.user, known.server) != (user, server):
        raise unknown(launch_id)
    return known


def redeem(
    launch_id: str, user: str, server: str, options: dict[str, Any], deadline: float, now: float
) -> Act[Reservation]:
    """Give a spawner the launch that was decided on before. Raises `LaunchRefused` for any other launch."""

    def act(projection: Projection) -> Outcome[Reservation]:
        known = active_launch(projection, launch_id, user, server)
        if known.options != options:
            raise unknown(launch_id)
        if known.state != "pending":
            raise used(launch_id)
        if known.redeemed is not None:
            return Outcome(known)
        redeemed = replace(known, redeemed=now, deadline=max(known.deadline, deadline))
        return Outcome(redeemed, (redeemed,))

    return act


def hold(launch_id: str, user: str, server: str, now: float, notes: tuple[Message, ...] = ()) -> Act[Reservation]:
    """Note that the server of a launch runs. Raises `LaunchRefused` if that launch was given up: it must stop again.

    ``notes`` are kept also where the server is known to run already.
    """

    def act(projection: Projection) -> Outcome[Reservation]:
        known = active_launch(projection, launch_id, user, server)
        if known.state == "stopping":
            raise used(launch_id)
        if known.state == "held" and known.notes == notes:
            return Outcome(known)
        held = replace(known, state="held", held=known.held or now, changed=now, notes=notes)
        return Outcome(held, (held,))

    return act


def release(
    launch_id: str,
    now: float,
    *,
    actor: str,
    why: Message,
    failure: Message | None = None,
    only: Reservation | None = None,
    answer: StoredAnswer | None = None,
    served: bool = False,
) -> Act[Reservation | None]:
    """Give back what a launch holds. Fine for one that holds nothing (any more): the answer is None then.

    With ``only``, nothing is done unless the reservation still is exactly that; ``answer`` replaces what is kept under
    the ``Idempotency-Key`` of the launch; ``served``: it was ready, whether or not that was seen.
    """

    def act(projection: Projection) -> Outcome[Reservation | None]:
        known = projection.launch(launch_id)
        if known is None or (only is not None and known != only):
            return Outcome(None, (answer,) if answer else ())
        if served and known.ready is None:
            known = replace(known, held=known.held or now, ready=now)
        released = released_of(known, now, failure)
        records: tuple[Record, ...] = (released, audit_of(released, now, actor, "release", why))
        return Outcome(released, (*records, answer) if answer else records)

    return act


def note_failure(past: Reservation, failure: Message) -> Act[None]:
    """Keep why a launch that was released already did not start."""

    def act(projection: Projection) -> Outcome[None]:
        return Outcome(None, () if projection.launch(past.launch_id) else (replace(past, failure=failure),))

    return act


def change(
    expected: Reservation, now: float, *, actor: str, act_name: str, why: Message, **changes: Any
) -> Act[Reservation | None]:
    """Change a reservation that still is exactly as expected, with a line in the audit; None if it is not."""

    def act(projection: Projection) -> Outcome[Reservation | None]:
        if projection.launch(expected.launch_id) != expected:
            return Outcome(None)
        changed = replace(expected, **{"changed": now, **changes})
        ended = _ended(projection, changed) if act_name == "stop" else ()
        return Outcome(changed, (changed, *ended, audit_of(changed, now, actor, act_name, why)))

    return act


def _ended(projection: Projection, one: Reservation) -> tuple[QueueEntry, ...]:
    """Return the entry of a launch that somebody ends: it is not to wait again."""
    entry = projection.queue.get(one.launch_id)
    if one.state != "stopping" or entry is None or entry.state != "started":
        return ()
    return (replace(entry, state="claimed", changed=one.changed),)


def note_ready(one: Reservation, now: float) -> Act[Reservation | None]:
    """Note that the hub serves a server that is held; None if the reservation is not the same any more."""

    def act(projection: Projection) -> Outcome[Reservation | None]:
        if projection.launch(one.launch_id) != one:
            return Outcome(None)
        ready = replace(one, state="held", held=one.held or now, ready=now, changed=now)
        return Outcome(ready, (ready,))

    return act


def adopt(
    found: Reservation, running: Collection[str], now: float, why: Message, capacity: Capacity
) -> Act[Reservation | None]:
    """Count a server that runs without a reservation; None if it is counted, or another of its name runs.

    What runs wins over what only stands in the ledger: launches that are not among ``running`` give its name and its
    GPUs up. A GPU that another running server has stays with that one; of slots, which are as good as each other, it
    gets others on its node.
    """

    def act(projection: Projection) -> Outcome[Reservation | None]:
        wanted = move(make_holding(found), found.node, capacity, projection.holdings)[found.launch_id]
        holders = [projection.holdings.holder_of(uuid) for uuid in wanted]
        others = {holder.launch_id for holder in holders if holder is not None}
        namesake = projection.of_server(found.user, found.server)
        if namesake is not None:
            others.add(namesake.launch_id)
            if namesake.launch_id in running or namesake.launch_id == found.launch_id:
                return Outcome(None)
        evicted = [one for other in sorted(others - set(running)) if (one := projection.launch(other)) is not None]
        kept = {uuid for other in others & set(running) for uuid in _gpus(projection, other)}
        adopted = replace(found, gpus=tuple(uuid for uuid in wanted if uuid not in kept), changed=now)
        records: list[Record] = []
        for one in evicted:
            released = released_of(one, now)
            records += [released, audit_of(released, now, "reconciler", "release", why)]
        return Outcome(adopted, (*records, adopted, audit_of(adopted, now, "reconciler", "adopt", why)))

    return act


def released_of(one: Reservation, now: float, failure: Message | None = None) -> Reservation:
    """Return what is kept of a launch that is over: all but its plan, which nobody can ask for again."""
    return replace(one, state="released", released=now, changed=now, plan=None, failure=failure or one.failure)


def _gpus(projection: Projection, launch_id: str) -> tuple[str, ...]:
    one = projection.launch(launch_id)
    return one.gpus if one is not None else ()


def audit_of(one: Reservation, now: float, actor: str, act: str, message: Message) -> AuditEntry:
    """Return a line of the audit about a reservation."""
    return AuditEntry(now, actor, act, message, user=one.user, server=one.server, launch_id=one.launch_id)
