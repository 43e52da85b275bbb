"""What becomes durable about idleness: warned, delivered, reminded, withdrawn, kept, stopped; each a function of the
projection.

Guarantees: as in `reservations`: every act can be repeated, none does I/O or reads a clock; each does nothing where the
launch or its warning is another by now. A launch with a notice to give back is not warned or stopped for idleness as
well. One that is stopped was warned, was told, and is looked at once more when its turn comes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mlabhub.core.idle.keeping import decide_keeping
from mlabhub.core.idle.policy import Policy
from mlabhub.core.idle.state import State
from mlabhub.core.idle.verdict import Kind, Verdict
from mlabhub.core.idle.words import span
from mlabhub.errors import LaunchRefused
from mlabhub.ledger import AuditEntry, IdleWarning, Keeping, Record, Reservation, WouldStop
from mlabhub.ledger.idle_records import Way
from mlabhub.messages import N_, Message
from mlabhub.service.projection import Projection
from mlabhub.service.reservations import audit_of
from mlabhub.service.writer import Act, Outcome

ACTOR = "idle"

WARNED = N_("its person is warned: {said}")
TOLD = N_("the warning reached its person: {way}")
REMINDED = N_("its person is warned again: {said}")
WITHDRAWN = N_("the warning holds no more: {said}")
KEPT = N_("kept for {span} although it is idle: {reason}")
KEPT_SILENTLY = N_("kept for {span} although it is idle")
STOPPED = N_("stopped for idleness: {said}")
TAKEN_BACK = N_("it goes on: it is used again, or nobody knows, before it could be stopped. {said}")
WOULD_STOP = N_("a dry run would have stopped it: {said}")
UNKNOWN_LONG = N_("nobody knows whether it is used, for {span} by now: nothing is stopped")

BEING_STOPPED = N_("It is being stopped already, so it cannot be kept any more. Start it again; the home folder stays.")

WAYS: dict[str, str] = {"tool": N_("in a tool"), "message": N_("as a message"), "home": N_("on the Home page")}


def warning_of(projection: Projection, launch_id: str) -> IdleWarning | None:
    """Return the warning of a launch that is in force and from which nothing followed yet."""
    known = projection.warnings.get(launch_id)
    return known if known is not None and known.state == "given" else None


def _is_free(projection: Projection, one: Reservation | None) -> bool:
    """Whether nothing else is about to end it."""
    return one is not None and one.state == "held" and one.launch_id not in projection.notices


def warn(launch_id: str, said: Message, now: float) -> Act[IdleWarning | None]:
    """Warn the person of a launch; None if they are warned already, or there is nothing to warn of."""

    def act(projection: Projection) -> Outcome[IdleWarning | None]:
        one = projection.launch(launch_id)
        if one is None or not _is_free(projection, one) or launch_id in projection.warnings:
            return Outcome(None)
        warning = IdleWarning(launch_id, now, changed=now)
        return Outcome(warning, (warning, audit_of(one, now, ACTOR, "warn", Message.of(WARNED, said=said))))

    return act


def deliver(launch_id: str, at: float, way: Way, now: float) -> Act[IdleWarning | None]:
    """Record that the warning of then reached its person; None if that is known, or it holds no more."""

    def act(projection: Projection) -> Outcome[IdleWarning | None]:
        known, one = warning_of(projection, launch_id), projection.launch(launch_id)
        if known is None or one is None or known.at != at or known.told is not None:
            return Outcome(None)
        told = replace(known, told=now, way=way, changed=now)
        return Outcome(told, (told, audit_of(one, now, ACTOR, "warn", Message.of(TOLD, way=Message(WAYS[way])))))

    return act


def remind(known: IdleWarning, reminded: int, said: Message, now: float) -> Act[IdleWarning | None]:
    """Warn once more; None if the warning is another by now."""

    def act(projection: Projection) -> Outcome[IdleWarning | None]:
        one = projection.launch(known.launch_id)
        if one is None or not _is_free(projection, one) or projection.warnings.get(known.launch_id) != known:
            return Outcome(None)
        again = replace(known, reminded=reminded, changed=now)
        return Outcome(again, (again, audit_of(one, now, ACTOR, "warn", Message.of(REMINDED, said=said))))

    return act


def withdraw(known: IdleWarning, said: Message, now: float) -> Act[IdleWarning | None]:
    """Take a warning back; None if it is another by now."""

    def act(projection: Projection) -> Outcome[IdleWarning | None]:
        one = projection.launch(known.launch_id)
        if projection.warnings.get(known.launch_id) != known:
            return Outcome(None)
        withdrawn = replace(known, state="withdrawn", changed=now)
        why = Message.of(WITHDRAWN, said=said)
        audit = () if one is None else (audit_of(one, now, ACTOR, "withdraw", why),)
        return Outcome(withdrawn, (withdrawn, *audit))

    return act


Again = Callable[[Reservation, Projection], tuple[Verdict, Message]]
"""Judges a launch as it is at this moment."""


def stop(known: IdleWarning, again: Again, now: float) -> Act[tuple[Reservation, Message] | None]:
    """Let a launch end whose grace is over; None if anything is other than it was when that was found."""

    def act(projection: Projection) -> Outcome[tuple[Reservation, Message] | None]:
        one = projection.launch(known.launch_id)
        if one is None or not _is_free(projection, one) or projection.warnings.get(known.launch_id) != known:
            return Outcome(None)
        if known.told is None or known.state != "given":
            return Outcome(None)
        verdict, said = again(one, projection)
        if verdict.kind is not Kind.STOP:
            return Outcome(None)
        stopping, mark = replace(one, state="stopping", changed=now), replace(known, state="stopping", changed=now)
        audit = audit_of(one, now, ACTOR, "stop", Message.of(STOPPED, said=said))
        return Outcome((stopping, said), (stopping, mark, audit))

    return act


def take_back(launch_id: str, said: Message, now: float) -> Act[Reservation | None]:
    """Let a launch go on that was to be stopped for idleness; None if it is not."""

    def act(projection: Projection) -> Outcome[Reservation | None]:
        one, known = projection.launch(launch_id), projection.warnings.get(launch_id)
        if one is None or known is None or one.state != "stopping" or known.state != "stopping":
            return Outcome(None)
        held, withdrawn = replace(one, state="held", changed=now), replace(known, state="withdrawn", changed=now)
        audit = audit_of(one, now, ACTOR, "resume", Message.of(TAKEN_BACK, said=said))
        return Outcome(held, (held, withdrawn, audit))

    return act


def close(known: IdleWarning, now: float) -> Act[bool]:
    """Forget a warning whose launch is over; whether that was not done yet."""

    def act(projection: Projection) -> Outcome[bool]:
        if projection.warnings.get(known.launch_id) != known or projection.launch(known.launch_id) is not None:
            return Outcome(False)
        return Outcome(True, (replace(known, state="done", changed=now),))

    return act


def released(known: IdleWarning, now: float) -> Act[None]:
    """Note that nothing more follows from a warning: its launch gives its GPUs back."""

    def act(projection: Projection) -> Outcome[None]:
        if projection.warnings.get(known.launch_id) != known:
            return Outcome(None)
        return Outcome(None, (replace(known, state="done", changed=now),))

    return act


def keep(
    launch_id: str,
    policy: Policy,
    state: Callable[[Reservation, Projection], State],
    since: float | None,
    seconds: float,
    now: float,
    *,
    by: str,
    actor: str,
    reason: str,
) -> Act[Keeping]:
    """Keep a launch for a while; what was warned of holds no more. Raises `LaunchRefused` with the reason if not."""

    def act(projection: Projection) -> Outcome[Keeping]:
        one = projection.launch(launch_id)
        if one is None or one.state != "held":
            raise LaunchRefused(BEING_STOPPED)
        before = {kept.at for kept in projection.keepings.get(launch_id, ())}
        at = now if now not in before else max(before) + 0.001  # each counts, also two of one moment
        given = decide_keeping(state(one, projection), policy, since, seconds, at, reason=reason, by=by)
        if isinstance(given, Message):
            raise LaunchRefused(given)
        keeping = Keeping(launch_id, given.at, given.until, by, reason)
        length = span(given.until - given.at + 0.5)
        why = Message.of(KEPT, span=length, reason=reason) if reason else Message.of(KEPT_SILENTLY, span=length)
        records: list[Record] = [keeping, audit_of(one, now, actor, "keep", why)]
        warning = projection.warnings.get(launch_id)
        if warning is not None:
            records.append(replace(warning, state="withdrawn", changed=now))
        return Outcome(keeping, tuple(records))

    return act


def would_stop(one: Reservation, said: Message, now: float) -> Act[WouldStop | None]:
    """Note what a dry run would have stopped; None if that is noted, or the launch is another by now."""

    def act(projection: Projection) -> Outcome[WouldStop | None]:
        known = projection.launch(one.launch_id)
        if known is None or known.state != "held" or one.launch_id in projection.would_stops:
            return Outcome(None)
        found = WouldStop(one.launch_id, now, one.user, one.server, len(one.gpus), said)
        return Outcome(found, (found, audit_of(one, now, ACTOR, "dry_run", Message.of(WOULD_STOP, said=said))))

    return act


def settle_dry(known: WouldStop, *, again: float | None = None, ended: float | None = None) -> Act[None]:
    """Note that what would have been stopped was used again, or ended."""

    def act(projection: Projection) -> Outcome[None]:
        if projection.would_stops.get(known.launch_id) != known:
            return Outcome(None)
        return Outcome(None, (replace(known, again=again, ended=ended),))

    return act


def note_unknown(launch_id: str, seconds: float, now: float) -> Act[None]:
    """Keep in the audit that nobody knows whether a server with GPUs is used."""

    def act(projection: Projection) -> Outcome[None]:
        one = projection.launch(launch_id)
        why = Message.of(UNKNOWN_LONG, span=span(seconds))
        audit: tuple[AuditEntry, ...] = () if one is None else (audit_of(one, now, ACTOR, "unknown", why),)
        return Outcome(None, audit)

    return act
