"""What hub, backend and ledger disagree about, and what follows: a pure function, tried as a table.

A server counts as *at the hub* while the hub runs it or is bringing it up or down, and as *running* while the backend
has it running or starting. Rules, for a reservation:

    state      at the hub         running      follows
    ---------  -----------------  -----------  -----------------------------------------------------------------
    pending    ready              yes          `ready`
    pending    no                 yes, exited  `remove`: the hub died between the container's start and its answer
    pending    no                 no           `release`, unless the launch is being asked of the hub right now
    held       ready              yes          `ready`, once
    held       no                 no           `release`
    held       no                 exited       `remove`: what was installed is carried over
    held       no                 yes          never seen ready: `remove`, nobody can have worked in it;
                                               else `lost`: it stays as `unknown`, with its GPUs, for a person to decide
    stopping   no                 yes, exited  `remove`: its owner asked for that
    stopping   no                 no           `release`
    stopping   ready for a while  yes          `resume`: the stop did not come to anything
    unknown    ready              yes          `resume`
    unknown    no                 no, exited   `release`, `remove`
    unknown    no                 yes          `unknown`: shown, removed on request; but one that was launched here and
                                               never seen ready: `remove`

where the backend says that a server's node does not answer, so that nobody can tell whether it still runs:

    any        on its way         yes          nothing
    any        ready, no          yes          `unreachable`: it stays as `unknown` with the reason and its GPUs, until
                                               its node is back or deleted; from then on `silent`: only shown. The hub
                                               goes on serving what may come back; a stop is waited for first

and wherever a server runs on another node than the ledger says, `move`.

For a server without reservation:

    ready at the hub   `adopt`     not at the hub, exited   `remove`
    coming or going    nothing     not at the hub, running  never seen ready: `remove`; else `orphan`: kept as unknown
                                   its node is silent       `orphan`

Guarantees: whatever is younger than `GRACE_S` is left alone; `release` follows only when neither hub nor backend has
the server; nothing follows from one of them being silent (the caller does not ask then); without ``repair`` no finding
ends a server in which somebody may have worked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from mlabhub.client import HubServer
from mlabhub.inventory import BackendServer
from mlabhub.ledger import Reservation

GRACE_S = 5.0
STOP_PATIENCE_S = 60.0

Kind = Literal[
    "ready",
    "release",
    "remove",
    "lost",
    "resume",
    "unknown",
    "adopt",
    "orphan",
    "double",
    "move",
    "unreachable",
    "silent",
]
ACTING: frozenset[Kind] = frozenset(
    {"ready", "release", "remove", "lost", "resume", "adopt", "orphan", "move", "unreachable"}
)
"""Findings that are acted on by themselves; the others are shown, and acted on by ``repair``, but for ``silent``."""


@dataclass(frozen=True)
class Finding:
    """One disagreement. ``reservation`` and ``backend`` are what is acted on; either may be absent."""

    kind: Kind
    user: str
    server: str
    launch_id: str
    reservation: Reservation | None = None
    backend: BackendServer | None = None

    @property
    def gpus(self) -> tuple[str, ...]:
        """Return the GPUs that it is about."""
        return self.reservation.gpus if self.reservation else self.backend.gpus if self.backend else ()

    @property
    def acting(self) -> bool:
        """Return whether it is acted on without being asked to."""
        return self.kind in ACTING

    @property
    def repairable(self) -> bool:
        """Return whether anything can be done about it."""
        return self.kind != "silent"


def compare(
    hub_servers: Iterable[HubServer],
    backend_servers: Iterable[BackendServer],
    reservations: Iterable[Reservation],
    now: float,
    *,
    in_flight: Collection[str] = (),
    past: Mapping[str, Reservation] | None = None,
) -> tuple[Finding, ...]:
    """Return what disagrees.

    ``now`` is when the asking began; ``in_flight`` are launches that are being asked of the hub; ``past`` are released
    reservations of servers that the backend still has, by launch.
    """
    at_hub = {(one.user, one.name): one for one in hub_servers if one.active}
    running = {one.launch_id: one for one in backend_servers}
    known = tuple(reservations)
    findings = [
        finding
        for one in known
        if one.launch_id not in in_flight
        for finding in _of_reservation(one, at_hub.get((one.user, one.server)), running.get(one.launch_id), now)
    ]
    counted = {one.launch_id for one in known}
    holders = {(one.user, one.server): one.launch_id for one in known}
    for server in running.values():
        if server.launch_id not in counted and server.launch_id not in in_flight:
            name = (server.user, server.server_name)
            last = (past or {}).get(server.launch_id)
            taken = holders.get(name) in running
            findings.extend(_of_stranger(server, at_hub.get(name), last, now, taken=taken))
    return tuple(findings)


def _of_reservation(
    one: Reservation, hub: HubServer | None, backend: BackendServer | None, now: float
) -> Iterator[Finding]:
    if backend is None and hub is not None and hub.launch_id not in (None, one.launch_id):
        hub = None  # the hub runs another launch under this name; of this one nothing is left
    kind = _at_hub(one, hub, backend, now) if hub is not None else _not_at_hub(one, backend, now)
    if kind is None and backend is not None and backend.node not in ("", one.node):
        kind = "move"
    if kind is not None:
        yield Finding(kind, one.user, one.server, one.launch_id, one, backend)


def _at_hub(one: Reservation, hub: HubServer, backend: BackendServer | None, now: float) -> Kind | None:
    if not hub.ready or hub.pending or backend is None or backend.state == "exited":
        return None  # the hub is at it, or will see at its next look that the server is gone
    if one.state == "stopping" and _age(one.changed, now) <= STOP_PATIENCE_S:
        return None
    if backend.lost is not None:
        return _of_lost(one)
    if one.state == "stopping":
        return "resume"
    if one.state == "unknown":
        return "resume"
    return "ready" if one.ready is None else None


def _not_at_hub(one: Reservation, backend: BackendServer | None, now: float) -> Kind | None:
    if _age(max(one.changed, one.redeemed or 0.0), now) < GRACE_S:
        return None
    if backend is None:
        return "release"
    if backend.lost is not None:
        return _of_lost(one)
    if backend.state == "exited" or one.state in ("pending", "stopping"):
        return "remove"
    if one.ready is None and one.origin != "adopted":
        return "remove"
    return "unknown" if one.state == "unknown" and one.failure is None else "lost"


def _of_lost(one: Reservation) -> Kind:
    return "silent" if one.state == "unknown" and one.failure is not None else "unreachable"


def _of_stranger(
    server: BackendServer, hub: HubServer | None, last: Reservation | None, now: float, *, taken: bool
) -> Iterator[Finding]:
    kind: Kind | None
    if last is not None and _age(last.released or now, now) < GRACE_S:
        kind = None  # it was given back this moment, and is being taken down
    elif hub is not None and not taken:
        kind = "adopt" if hub.ready and not hub.pending and server.state != "exited" else None
    elif server.state == "exited":
        kind = "remove" if hub is None else None
    elif taken:
        kind = "double"
    else:
        kind = "remove" if last is not None and last.ready is None and server.lost is None else "orphan"
    if kind is not None:
        yield Finding(kind, server.user, server.server_name, server.launch_id, None, server)


def _age(since: float, now: float) -> float:
    """Return how long something has been so. A time well ahead means that the clock was set back: it is old, then."""
    age = now - since
    return age if age > -GRACE_S else float("inf")
