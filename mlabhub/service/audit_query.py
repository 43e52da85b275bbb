"""What people ask of the audit, read; and the acts that there are, in words.

Guarantees: pure but for the zone of this machine, in which a day without a zone is meant; what cannot be read is one
sentence with the value and what would be right.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta

from mlabhub.core.moments import NoMoment, read_moment
from mlabhub.core.quote import quote
from mlabhub.errors import InvalidLaunch
from mlabhub.ledger import AuditFilter
from mlabhub.messages import N_, Message

LONGEST = 255
LONGEST_NUMBER = 18
LATEST = 1e11
"""No moment is later than this: the year 5138."""

ACTS = {
    "admit": N_("admitted"),
    "adopt": N_("found and counted"),
    "bring_back": N_("GPUs wanted again"),
    "change": N_("request changed"),
    "claim": N_("turn used"),
    "clean account": N_("closed account's files removed"),
    "close account": N_("account closed"),
    "delete_image": N_("image deleted"),
    "dry_run": N_("idle in a dry run"),
    "end": N_("longest duration reached"),
    "give_back": N_("turn not used"),
    "keep": N_("kept although idle"),
    "leave": N_("left the queue"),
    "lost": N_("lost by the hub"),
    "move": N_("moved"),
    "notice": N_("told to give back"),
    "nudge": N_("asked to give back"),
    "open account": N_("account opened"),
    "postpone": N_("postponed"),
    "queue": N_("waits"),
    "quota": N_("quota changed"),
    "quota undone": N_("change of a quota undone"),
    "reclaim": N_("taken back"),
    "reconcile": N_("repair asked for"),
    "refuse": N_("refused"),
    "release": N_("released"),
    "release_gpu": N_("GPUs given back"),
    "remove": N_("removed"),
    "reopen account": N_("account reopened"),
    "reset": N_("environment reset"),
    "reset password": N_("new password given"),
    "resume": N_("goes on"),
    "save_image": N_("image saved"),
    "set groups": N_("groups changed"),
    "stop": N_("stopped"),
    "unknown": N_("use not known"),
    "unreachable": N_("node silent"),
    "warn": N_("warned"),
    "withdraw": N_("warning withdrawn"),
}
"""What is done, as lists of entries say it."""

NO_TIME = N_(
    "{name} cannot be {value}: write a day such as 2026-12-01, a moment such as 2026-12-01T18:00Z, or seconds since "
    "the epoch."
)
TOO_LONG = N_("What is asked for in {name} has {length} characters; names and texts have {most} at most.")
NO_NUMBER = N_("limit and before must be whole numbers above 0.")


def read_filter(asked: Callable[[str], str]) -> AuditFilter:
    """Return what is wanted; ``asked`` returns what was typed for a name, or nothing. Raises `InvalidLaunch`."""
    names = ("user", "actor", "act", "server", "text")
    told = {name: asked(name).strip() for name in names}
    for name, value in told.items():
        if len(value) > LONGEST:
            message = Message.of(TOO_LONG, name=name, length=len(value), most=LONGEST)
            raise InvalidLaunch(message, key=name)
    return AuditFilter(
        user=told["user"],
        actor=told["actor"],
        act=told["act"],
        server=told["server"] or None,
        since=read_time("from", asked("from").strip(), end=False),
        until=read_time("to", asked("to").strip(), end=True),
        text=told["text"],
    )


def read_time(name: str, text: str, *, end: bool) -> float | None:
    """Return seconds since the epoch, None for nothing; a day is its beginning, or its ``end``."""
    if not text:
        return None
    try:
        day = date.fromisoformat(text) if len(text) == len("2026-12-01") else None
        if day is not None:
            return datetime.combine(day + timedelta(days=end), time()).astimezone().timestamp()
        if text.replace(".", "", 1).isdecimal() and text.isascii() and float(text) <= LATEST:
            return float(text)
        return read_moment(text)
    except (NoMoment, ValueError, OverflowError, OSError):
        raise InvalidLaunch(Message.of(NO_TIME, name=name, value=quote(text)), key=name) from None


def read_number(name: str, text: str) -> int | None:
    """Return a whole number above 0, None for nothing. Raises `InvalidLaunch`."""
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()) or len(text) > LONGEST_NUMBER or int(text) == 0:
        raise InvalidLaunch(Message(NO_NUMBER), key=name)
    return int(text)
