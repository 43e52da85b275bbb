"""Ask this machine who a user is: accounts, and owners of folders that are there already.

Guarantees: nothing is ever changed here; a file server that hangs delays one launch for a few seconds and then refuses
it with a sentence, it never stops the service. Which number follows from the facts is decided in `core.identity`.
"""

from __future__ import annotations

import asyncio
import contextlib
import grp
import os
import pwd
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from mlabhub.core.identity import GroupId, Identity, choose_id, is_ordinary
from mlabhub.core.storage import Storage
from mlabhub.errors import Unavailable
from mlabhub.messages import N_, Message
from mlabhub.service.projection import Projection
from mlabhub.service.writer import being_stopped

_PATIENCE_S = 5.0
_FRESH_S = 30.0
_MOST_KNOWN = 10_000
_USERS = 100


@dataclass(frozen=True)
class NameFacts:
    """What is known of one name: its account's number, and its folder with the owner it has.

    ``folder_foreign``: that owner is an account of this machine with another name.
    """

    kind: Literal["user", "group"]
    name: str
    account: int | None
    folder: str
    folder_owner: int | None
    folder_foreign: bool = False


@dataclass(frozen=True)
class MachineFacts:
    """What this machine says about a user and their groups; ``occupied`` are its accounts' and groups' numbers."""

    user: NameFacts
    account_gid: int | None
    groups: tuple[NameFacts, ...]
    occupied: frozenset[int]

    def choose(self, projection: Projection) -> Identity:
        """Return who the user is. Raises `LaunchRefused` when the facts contradict each other."""
        chosen: set[int] = set()
        uid = self._choose(self.user, projection, chosen)
        groups = tuple(GroupId(facts.name, self._choose(facts, projection, chosen)) for facts in self.groups)
        return Identity(self.user.name, uid, uid if self.account_gid is None else self.account_gid, groups)

    def _choose(self, facts: NameFacts, projection: Projection, chosen: set[int]) -> int:
        """Choose one number. A new one differs from every user's and group's: it is a user's own group as well."""
        remembered = projection.known_id(facts.kind, facts.name)
        candidates = {facts.account, remembered, None if facts.folder_foreign else facts.folder_owner} - {None}
        own = {
            number
            for number in candidates
            if number is not None and projection.id_owner(facts.kind, number) in (None, facts.name)
        }
        taken: Collection[int] = (self.occupied | projection.numbers | chosen) - own
        number = choose_id(
            facts.name,
            account=facts.account,
            folder_owner=facts.folder_owner,
            remembered=remembered,
            taken=taken,
            kind=facts.kind,
            folder=facts.folder,
        )
        chosen.add(number)
        return number


class MachineAccounts:
    """Looks names up on this machine, in threads, and remembers the answers for half a minute.

    With ``own_folders`` (servers run under their users' numbers) the owners of existing folders count, too.
    """

    def __init__(self, storage: Callable[[], Storage], clock: Callable[[], float], *, own_folders: bool):
        self._storage = storage
        self._clock = clock
        self._own_folders = own_folders
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="accounts")
        self._closed = False
        self._known: dict[tuple[str, tuple[str, ...]], tuple[float, MachineFacts]] = {}
        self._occupied: tuple[float, frozenset[int]] = (float("-inf"), frozenset())

    async def look_up(self, user: str, groups: Sequence[str]) -> MachineFacts:
        """Return the facts about a user and their groups. Raises `Unavailable` if the storage does not answer."""
        now = self._clock()
        key = (user, tuple(groups))
        known = self._known.get(key)
        if known is not None and 0 <= now - known[0] < _FRESH_S:
            return known[1]
        if self._closed:
            raise Unavailable(being_stopped())
        call = asyncio.get_running_loop().run_in_executor(self._threads, self._look_up, user, tuple(groups), now)
        try:
            facts = await asyncio.wait_for(call, _PATIENCE_S)
        except asyncio.TimeoutError:
            raise Unavailable(_hangs(self._storage())) from None
        except OSError as error:
            raise Unavailable(_broken(error)) from error
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[key] = (now, facts)
        return facts

    def forget(self, user: str) -> None:
        """Look this user up anew next time: a launch made their folder, perhaps."""
        self._known = {key: entry for key, entry in self._known.items() if key[0] != user}

    def close(self) -> None:
        """Let the threads go; one that hangs in a file server does not hold up the exit."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _look_up(self, user: str, groups: tuple[str, ...], now: float) -> MachineFacts:
        storage = self._storage()
        account = _account(user)
        home, owner = self._first_folder([area.source(user) for area in storage.user_areas(groups)])
        return MachineFacts(
            user=NameFacts(
                "user",
                user,
                account.pw_uid if account else None,
                home,
                owner.st_uid if owner else None,
                folder_foreign=owner is not None and _account_name(owner.st_uid) not in (None, user),
            ),
            account_gid=account.pw_gid if account and _is_for_people(account.pw_gid) else None,
            groups=tuple(self._group(storage, group) for group in groups),
            occupied=self._all_numbers(storage, now),
        )

    def _group(self, storage: Storage, group: str) -> NameFacts:
        folder, owner = self._first_folder([storage.share_area(group).source(group)])
        return NameFacts("group", group, _group_number(group), folder, owner.st_gid if owner else None)

    def _first_folder(self, folders: Sequence[str]) -> tuple[str, os.stat_result | None]:
        """Return the first of these that is there, with its owner; that the others agree is seen to at the start."""
        found = ((folder, self._owner(folder)) for folder in folders)
        return next((pair for pair in found if pair[1] is not None), (folders[0], None))

    def _owner(self, folder: str) -> os.stat_result | None:
        if not self._own_folders:
            return None
        try:
            return os.stat(folder)
        except FileNotFoundError:
            return None

    def _all_numbers(self, storage: Storage, now: float) -> frozenset[int]:
        """Return every number that is somebody's: of accounts, and of folders, also where the ledger has lost them."""
        at, numbers = self._occupied
        if not 0 <= now - at < _FRESH_S:
            accounts = {one.pw_uid for one in pwd.getpwall()} | {one.gr_gid for one in grp.getgrall()}
            folders = _owners_in(storage) if self._own_folders else set()
            numbers = frozenset(accounts | folders)
            self._occupied = (now, numbers)
        return numbers


def _owners_in(storage: Storage) -> set[int]:
    owners = set()
    for root in storage.user_roots:
        owners |= {status.st_uid for status in _folders_in(root)}
    for root in storage.share_roots:
        owners |= {status.st_gid for status in _folders_in(root)}
    return owners


def _folders_in(root: str) -> list[os.stat_result]:
    """Return what a root has; one that is not there yet has nothing, and what has just gone is left out."""
    found = []
    with contextlib.suppress(FileNotFoundError), os.scandir(root) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                found.append(entry.stat(follow_symlinks=False))
    return found


def _account(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except (KeyError, ValueError):
        return None


def _is_for_people(gid: int) -> bool:
    """Return whether a user's main group may be used inside: any but the system's; 100 is `users` by tradition."""
    return is_ordinary(gid) or gid == _USERS


def _account_name(number: int) -> str | None:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return None


def _group_number(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):
        return None


def _hangs(storage: Storage) -> Message:
    return Message.of(
        N_("The storage {root} does not answer, so nothing was started. Try again later; running servers go on."),
        root=storage.user_root,
    )


def _broken(error: OSError) -> Message:
    return Message.of(
        N_("The storage {path} cannot be read ({reason}), so nothing was started. An administrator has to mend it."),
        path=error.filename,
        reason=error.strerror or str(error),
    )
