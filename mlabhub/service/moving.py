"""The cluster decides on which node a server runs: the ledger follows.

Guarantees: as in `reservations`; whatever the cluster decided, the reservation has the same amounts as before.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from mlabhub.core.capacity import Capacity
from mlabhub.core.moving import move
from mlabhub.ledger import Record, Reservation
from mlabhub.messages import N_, Message
from mlabhub.service.projection import Projection, make_holding
from mlabhub.service.reservations import active_launch, audit_of
from mlabhub.service.writer import Act, Outcome

MOVED = N_("the cluster put it on {node}, where {planned} was planned")
GAVE_WAY = N_("on {node} it gave way to {user}/{server}, which the cluster put there first")


def place(
    launch_id: str,
    user: str,
    server: str,
    node: str,
    now: float,
    *,
    actor: str,
    capacity: Capacity,
    placed: Collection[str] = (),
) -> Act[Reservation]:
    """Note on which node a launch is. Raises `LaunchRefused` for a launch that is not active, or another server's.

    ``placed`` are the launches of which it is known that the cluster has put them somewhere.
    """

    def act(projection: Projection) -> Outcome[Reservation]:
        known = active_launch(projection, launch_id, user, server)
        unplaced = {one.launch_id for one in projection if one.state == "pending" and one.launch_id not in placed}
        moves = move(make_holding(known), node, capacity, projection.holdings, unplaced - {launch_id})
        if known.node == node and moves[launch_id] == known.gpus:
            return Outcome(known)
        records: list[Record] = []
        for other, gpus in moves.items():
            one = projection.launch(other)
            if one is not None and other != launch_id:
                why = Message.of(GAVE_WAY, node=node, user=user, server=server)
                records += [_at(one, one.node, gpus), audit_of(one, now, actor, "move", why)]
        moved = _at(known, node, moves[launch_id])
        why = Message.of(MOVED, node=node, planned=known.node or "?")
        return Outcome(moved, (*records, moved, audit_of(moved, now, actor, "move", why)))

    return act


def _at(one: Reservation, node: str, gpus: tuple[str, ...]) -> Reservation:
    plan = None if one.plan is None else {**one.plan, "node": node, "gpus": list(gpus)}
    return replace(one, node=node, gpus=gpus, plan=plan)
