"""Accounts as the service tells of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mlabhub.client import Account
from mlabhub.core.closed_accounts import ClosedAccount
from mlabhub.messages import Message

PersonState = Literal["open", "asked", "no_password", "elsewhere", "closed", "cleaned"]
_STATES: dict[str, PersonState] = {"open": "open", "shut": "asked", "none": "no_password", "elsewhere": "elsewhere"}


@dataclass(frozen=True)
class PersonView:
    """Somebody's account. ``asked``: it was asked for and waits for an administrator.

    ``running`` counts the servers that hold something. Times are in seconds since the epoch; ``last_activity`` is None
    where the hub does not know it, ``closed`` and ``keep_until`` are for closed accounts.
    """

    name: str
    state: PersonState
    admin: bool
    groups: tuple[str, ...]
    running: int
    last_activity: float | None
    closed: float | None
    keep_until: float | None


@dataclass(frozen=True)
class PeopleView:
    """Some people, by name. ``total`` counts those that were searched for; ``asked`` wait for an administrator."""

    people: tuple[PersonView, ...]
    total: int
    asked: tuple[str, ...]


@dataclass(frozen=True)
class OpenedView:
    """What became of a new account; ``password`` is told this once.

    ``account``: ``opened``; ``approved``: it was asked for, and keeps the password that its person chose; ``already``:
    it was there; ``made``: logins come from elsewhere. ``server`` is ``starting`` or ``queued``, empty where none was
    to start; ``login`` is the address to log in at, ``home`` the folder that the first server makes; ``faults`` say
    what did not work although the account is open.
    """

    name: str
    account: Literal["opened", "approved", "already", "made"]
    password: str | None
    groups: tuple[str, ...]
    admin: bool
    server: str
    login: str
    home: str
    said: tuple[Message, ...]
    faults: tuple[Message, ...]


@dataclass(frozen=True)
class ClosingView:
    """What closing an account does, or did. ``folders`` are kept until ``keep_until``; ``images`` were saved.

    ``waiting`` and ``quotas`` count entries of the queue and quotas of the person's own. ``faults`` say what did not
    work; closing can be repeated.
    """

    name: str
    servers: tuple[str, ...]
    waiting: int
    quotas: int
    images: tuple[str, ...]
    folders: tuple[str, ...]
    keep_until: float
    faults: tuple[Message, ...] = ()


@dataclass(frozen=True)
class ClosedView:
    """A closed account. ``due``: its files may be removed by now."""

    name: str
    state: str
    closed: float
    keep_until: float
    by: str
    reason: str
    folders: tuple[str, ...]
    due: bool


def person_view(one: Account, closed: ClosedAccount | None, running: int) -> PersonView:
    """Return an account as it is shown; that it is closed counts more than what its password says."""
    return PersonView(
        name=one.name,
        state=_state(one, closed),
        admin=one.admin,
        groups=one.groups,
        running=running,
        last_activity=one.last_activity,
        closed=closed.at if closed else None,
        keep_until=closed.keep_until if closed else None,
    )


def _state(one: Account, closed: ClosedAccount | None) -> PersonState:
    if closed is None:
        return _STATES[one.account]
    return "cleaned" if closed.state == "cleaned" else "closed"
