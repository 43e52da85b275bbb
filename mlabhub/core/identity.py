"""Who a user is to the file system: numeric user and group ids.

Guarantees: an id of the system (below 1000, or `NOBODY`) is never given to anyone; an existing account and existing
files keep their ids, and where those disagree nobody's files change hands silently: a sentence says what to do; two
names never share an id.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from mlabhub.core.names import folder_name
from mlabhub.core.quote import quote
from mlabhub.errors import LaunchRefused
from mlabhub.messages import N_, Message

FIRST_ORDINARY = 1000
NOBODY = 65534
MOST = 2**32 - 2
FIRST_ID = 200_000
LAST_ID = 299_999

Kind = Literal["user", "group"]

SYSTEM_ACCOUNT = N_(
    "{subject} is an account of this machine's system (id {number}): nobody can work under it. Use another name."
)
SYSTEM_FOLDER = N_(
    "The folder {folder} of {subject} belongs to the system (id {owner}). "
    "An administrator has to give it an id of its own (chown)."
)
FOREIGN_FOLDER = N_(
    "The folder {folder} of {subject} belongs to somebody else (id {owner}). "
    "An administrator has to give it an id of its own (chown)."
)
TWO_OWNERS = N_(
    "The folder {folder} belongs to id {owner}, but {subject} has id {chosen}. "
    "An administrator has to make them agree (chown or usermod)."
)
TWO_NAMES = N_(
    "The id {number} of {subject} belongs to another name as well. "
    "An administrator has to give one of them another id (usermod)."
)
NONE_LEFT = N_(
    "No id is left for {subject}: all of {first} to {last} are taken. An administrator has to close accounts."
)


@dataclass(frozen=True)
class GroupId:
    """A group of the hub and its id on the NAS."""

    name: str
    gid: int

    @property
    def account(self) -> str:
        """The group's name inside a server."""
        return folder_name(self.name)


@dataclass(frozen=True)
class Identity:
    """A user of the hub (``name`` is the hub's) and the ids that their servers run with."""

    name: str
    uid: int
    gid: int
    groups: tuple[GroupId, ...] = ()

    @property
    def account(self) -> str:
        """The user's name inside a server."""
        return folder_name(self.name)


def is_ordinary(number: int) -> bool:
    """Whether an id may belong to a person or a group of persons."""
    return FIRST_ORDINARY <= number <= MOST and number not in (NOBODY, 65535)


def choose_id(
    name: str,
    *,
    account: int | None = None,
    folder_owner: int | None = None,
    remembered: int | None = None,
    taken: Collection[int] = (),
    kind: Kind = "user",
    first: int = FIRST_ID,
    last: int = LAST_ID,
    folder: str = "",
) -> int:
    """Return the id of a user or group.

    Parameters
    ----------
    account
        Its id on this machine, if it has an account (or is a group) there.
    folder_owner
        The owner (for a group: the group) of its folder on the NAS, if that is there already.
    remembered
        What it was given before.
    taken
        Ids of all others: remembered ones, and accounts on this machine.
    folder
        Where the folder is; for the sentence only.

    Raises
    ------
    LaunchRefused
        The account or the folder is the system's or somebody else's, they contradict each other, or no id is free.
    """
    subject = _subject(name, kind)
    if account is not None and not is_ordinary(account):
        if kind == "user":
            raise _refusal(SYSTEM_ACCOUNT, subject=subject, number=account)
        account = None  # The hub's group "staff" is not the system's: it gets an id of its own.
    chosen = account if account is not None else remembered
    if folder_owner is not None:
        _check_folder(subject, folder or folder_name(name), folder_owner, chosen, taken)
        return folder_owner
    if chosen is not None and is_ordinary(chosen) and chosen not in taken:
        return chosen
    if chosen is not None:
        raise _refusal(TWO_NAMES, subject=subject, number=chosen)
    return _first_free(subject, taken, first, last)


def _check_folder(subject: Message, folder: str, owner: int, chosen: int | None, taken: Collection[int]) -> None:
    values = {"subject": subject, "folder": quote(folder), "owner": owner}
    if not is_ordinary(owner):
        raise _refusal(SYSTEM_FOLDER, values)
    if chosen is not None and chosen != owner:
        raise _refusal(TWO_OWNERS, {**values, "chosen": chosen})
    if owner in taken:
        raise _refusal(FOREIGN_FOLDER, values)


def _first_free(subject: Message, taken: Collection[int], first: int, last: int) -> int:
    occupied = taken if isinstance(taken, set | frozenset | dict) else frozenset(taken)
    for number in range(first, last + 1):
        if number not in occupied and is_ordinary(number):
            return number
    raise _refusal(NONE_LEFT, subject=subject, first=first, last=last)


def _subject(name: str, kind: Kind) -> Message:
    template = N_("user {name}") if kind == "user" else N_("group {name}")
    return Message.of(template, name=quote(name))


def _refusal(template: str, values: dict[str, object] | None = None, **more: object) -> LaunchRefused:
    return LaunchRefused(Message.of(template, values or {}, **more), code="identity")
