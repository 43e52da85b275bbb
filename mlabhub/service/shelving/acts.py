"""What becomes of a server that gives its GPUs back; each a function of the projection.

    saving -> stopping -> released -> returning -> returned
       |         |           |
       +---------+-----------+--> dropped

Guarantees: as in `reservations`; each does nothing unless everything still is as its caller saw it. Nothing ends that
was not asked for durably; whoever stops a server in between is obeyed: it does not start again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mlabhub.errors import LaunchRefused, NotFound
from mlabhub.ledger import AuditEntry, Reservation, Shelved
from mlabhub.messages import N_, Message
from mlabhub.service import reservations
from mlabhub.service.projection import Projection
from mlabhub.service.writer import Act, Outcome

ACTOR = "service"
ACT = "release_gpu"
NOT_RUNNING = N_("The server does not run, so it holds no GPU to give back.")
NO_GPUS = N_("The server holds no GPU. To give back the rest, stop it.")
FOUND = N_(
    "This server was found running and nobody knows how it was launched, so it cannot go on by itself without its "
    "GPUs. Stop it, and start it again from the launch page."
)
NO_WAY_BACK = N_("This server gave no GPU back. Start it from the launch page.")
NOT_YET = N_("This server is still giving its GPUs back. Try again in a minute.")
SAVED = N_("what is open was saved; it is stopped, and goes on without GPUs")
NO_ANSWER = N_("nobody inside said that all is saved; it is stopped, and goes on without GPUs")
FOR_RETURN = N_("it makes way for the same server with its GPUs")
STOPPED = N_("{actor} stopped it, so it does not go on without GPUs")


def begin(launch_id: str, until: float, actor: str, why: Message, now: float) -> Act[Shelved]:
    """Let a launch save and give its GPUs back. One that does so already goes on as it is.

    Raises `LaunchRefused` for one that has none, or does not run.
    """

    def act(projection: Projection) -> Outcome[Shelved]:
        one = projection.launch(launch_id)
        if one is None:
            raise LaunchRefused(NOT_RUNNING)
        known = projection.shelved.get((one.user, one.server))
        if known is not None and known.launch_id == launch_id and known.state in ("saving", "stopping"):
            return Outcome(known)
        if one.state != "held":
            raise LaunchRefused(NOT_RUNNING)
        if not one.gpus:
            raise LaunchRefused(NO_GPUS)
        if not one.profile:
            raise LaunchRefused(FOUND)
        shelved = Shelved(
            user=one.user,
            server=one.server,
            launch_id=launch_id,
            at=now,
            until=until,
            state="saving",
            changed=now,
            actor=actor,
            reason=why,
            # A default may be another one by the time of the return.
            options={**one.options, "profile": one.profile, "image": one.image},
            display_name=one.display_name,
        )
        return Outcome(shelved, (shelved, reservations.audit_of(one, now, actor, ACT, why)))

    return act


def saved(launch_id: str, user: str, server: str, rescue: str, now: float) -> Act[Shelved | None]:
    """Note that a server has saved what it could, and where; None if it was not asked, or not any more."""

    def act(projection: Projection) -> Outcome[Shelved | None]:
        known = projection.shelved.get((user, server))
        if known is None or known.launch_id != launch_id or known.state != "saving":
            return Outcome(None)
        done = replace(known, rescue=rescue, until=min(known.until, now), changed=now)
        return Outcome(done, (done,))

    return act


def stop(shelved: Shelved, now: float, *, answered: bool) -> Act[Reservation | None]:
    """Let the launch end that holds the GPUs; None if it or what was asked of it is another by now."""

    def act(projection: Projection) -> Outcome[Reservation | None]:
        one = projection.launch(shelved.launch_id)
        if projection.shelved.get((shelved.user, shelved.server)) != shelved or one is None or one.state != "held":
            return Outcome(None)
        why = Message(SAVED if answered else NO_ANSWER)
        return _stopping(projection, one, now, why, replace(shelved, state="stopping", changed=now))

    return act


def make_way(shelved: Shelved, one: Reservation, now: float) -> Act[Reservation | None]:
    """Let the launch without GPUs end; None if anything is another by now."""

    def act(projection: Projection) -> Outcome[Reservation | None]:
        if projection.shelved.get((shelved.user, shelved.server)) != shelved or one.state != "held":
            return Outcome(None)
        return _stopping(projection, one, now, Message(FOR_RETURN))

    return act


def _stopping(
    projection: Projection, one: Reservation, now: float, why: Message, *more: Shelved
) -> Outcome[Reservation | None]:
    change = reservations.change(one, now, actor=ACTOR, act_name="stop", why=why, state="stopping")
    stopping = change(projection)
    return Outcome(stopping.answer, (*stopping.records, *more) if stopping.answer else ())


def bring_back(user: str, server: str, actor: str, now: float) -> Act[Shelved]:
    """Let a server have its GPUs again. Raises `NotFound` for one that gave none back, `LaunchRefused` if not yet."""

    def act(projection: Projection) -> Outcome[Shelved]:
        known = way_back(projection, user, server)
        if known.state == "returning":
            return Outcome(known)
        returning = replace(known, state="returning", changed=now, actor=actor, fault=None, attempts=0)
        why = Message.of(N_("{actor} wants its GPUs again"), actor=actor)
        return Outcome(returning, (returning, audit_of(returning, now, actor, "bring_back", why)))

    return act


def way_back(projection: Projection, user: str, server: str) -> Shelved:
    """Return what a server gave back. Raises `NotFound` if it gave nothing back, `LaunchRefused` if not yet."""
    known = projection.shelved.get((user, server))
    if known is None:
        raise NotFound(NO_WAY_BACK)
    if known.state in ("saving", "stopping"):
        raise LaunchRefused(NOT_YET)
    return known


def settle(shelved: Shelved, now: float, why: Message, **changes: Any) -> Act[Shelved | None]:
    """Change what is known of it, with a line in the audit; None if it is another by now."""

    def act(projection: Projection) -> Outcome[Shelved | None]:
        if projection.shelved.get((shelved.user, shelved.server)) != shelved:
            return Outcome(None)
        settled = replace(shelved, **{"changed": now, **changes})
        return Outcome(settled, (settled, audit_of(settled, now, ACTOR, ACT, why)))

    return act


def call_off(user: str, server: str, actor: str, now: float) -> Act[Shelved | None]:
    """Whoever stops a server does not want it to start again; None if that was not to be."""

    def act(projection: Projection) -> Outcome[Shelved | None]:
        known = projection.shelved.get((user, server))
        if known is None or known.state == "released":
            return Outcome(None)
        why = Message.of(STOPPED, actor=actor)
        if known.state == "returning":
            off = replace(known, state="released", changed=now, fault=why)
        else:
            off = replace(known, state="dropped", changed=now)
        return Outcome(off, (off, audit_of(off, now, actor, ACT, why)))

    return act


def audit_of(one: Shelved, now: float, actor: str, act: str, message: Message) -> AuditEntry:
    """Return a line of the audit about it."""
    return AuditEntry(now, actor, act, message, user=one.user, server=one.server, launch_id=one.launch_id)
