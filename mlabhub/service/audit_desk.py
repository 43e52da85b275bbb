"""Where the audit is read: all of it by administrators, one's own entries by everybody. Nothing here changes it.

Guarantees: an answer reads a bounded part of the audit, in a thread; a person learns of others from their own entries
what the privacy setting allows and nothing more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from typing import Protocol

from mlabhub.core.privacy import Viewer
from mlabhub.core.quote import quote_all
from mlabhub.errors import InvalidLaunch, NotPermitted
from mlabhub.ledger import AuditEntry, AuditFilter, AuditPage, Ledger
from mlabhub.messages import N_, Message
from mlabhub.service.audit_export import FORMATS, Format, Say
from mlabhub.service.queue_desk import FOR_ADMINISTRATORS
from mlabhub.service.views import Person

MOST = 1000
AT_ONCE = 2000
"""How many entries of an export are read, and written, at a time."""

WITHOUT_NAMES = {
    "refuse": N_("it could not start: what it asked for was not to be had, or not allowed, at that time"),
    "postpone": N_("its turn had come, and it could not start yet"),
    "notice": N_("somebody may count on what it borrows: told to give back"),
}
"""What is said instead to somebody who may not know who holds what."""
NO_FORMAT = N_("There is no format {format}. There are: {known}.")


class HasLedger(Protocol):
    """The part of the world that is read here."""

    @property
    def ledger(self) -> Ledger: ...


class AuditDesk:
    """Reads the audit for people; ``viewer`` says what somebody may know of others."""

    def __init__(self, world: HasLedger, viewer: Callable[[Person], Viewer]) -> None:
        self._world = world
        self._viewer = viewer

    async def search(self, person: Person, wanted: AuditFilter, *, limit: int, before: int | None = None) -> AuditPage:
        """Return entries for an administrator. Raises `NotPermitted` or `LedgerUnavailable`."""
        _require_admin(person)
        return await self._search(wanted, min(limit, MOST), before)

    async def own(self, person: Person, wanted: AuditFilter, *, limit: int, before: int | None = None) -> AuditPage:
        """Return what was decided about a person, and done with what is theirs.

        A text is not sought in sentences that they may not read: what is found would tell what stands there.
        """
        viewer = self._viewer(person)
        unread = () if viewer.sees_all or not wanted.text else tuple(WITHOUT_NAMES)
        page = await self._search(replace(wanted, user=person.name, without=unread), limit, before)
        return replace(page, entries=tuple(for_owner(entry, viewer) for entry in page.entries))

    def reads_all_of_own(self, person: Person) -> bool:
        """Return whether a person may read each sentence about themselves, and so search in it."""
        return self._viewer(person).sees_all

    def export(self, person: Person, wanted: AuditFilter, form: Format, say: Say) -> AsyncIterator[str]:
        """Return the text of all entries that are wanted, part by part. Raises `NotPermitted` at once."""
        _require_admin(person)
        return self._export(wanted, form, say)

    async def _export(self, wanted: AuditFilter, form: Format, say: Say) -> AsyncIterator[str]:
        before: int | None = None
        text = form.head
        while True:
            page = await self._search(wanted, AT_ONCE, before)
            yield text + await asyncio.to_thread(form.text, page.entries, say)
            if page.next is None:
                return
            text, before = "", page.next

    async def _search(self, wanted: AuditFilter, limit: int, before: int | None) -> AuditPage:
        read = partial(self._world.ledger.search_audit, wanted, limit=limit, before=before)
        return await asyncio.to_thread(read)


def read_format(name: str) -> Format:
    """Return the format of that name. Raises `InvalidLaunch`."""
    if name not in FORMATS:
        raise InvalidLaunch(Message.of(NO_FORMAT, format=name[:40], known=quote_all(FORMATS)), key="format")
    return FORMATS[name]


def for_owner(entry: AuditEntry, viewer: Viewer) -> AuditEntry:
    """Return an entry as the person may read it whom it is about."""
    hidden = not viewer.sees_all and WITHOUT_NAMES.get(entry.act)
    return replace(entry, message=Message(hidden)) if hidden else entry


def _require_admin(person: Person) -> None:
    if not person.admin:
        raise NotPermitted(FOR_ADMINISTRATORS)
