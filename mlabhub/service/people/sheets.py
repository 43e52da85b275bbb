"""Files of people: read, shown with each line's fault, and then opened, one after the other, while the page looks on.

Guarantees: a file belongs to who brought it, and is forgotten after an hour; it is opened once, however often that is
asked; a password is handed out to one look at the finished file, and is not kept after that. A service that ends
meanwhile leaves some lines out: the file can be brought again, and what is there already stays.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from mlabhub.core.people import Line, NewPerson, read_csv
from mlabhub.errors import MLabError, NotFound
from mlabhub.messages import N_, Message
from mlabhub.service.people.desk import Acting, PeopleDesk
from mlabhub.service.people.views import OpenedView

log = logging.getLogger(__name__)
MOST = 50
FORGOTTEN_AFTER_S = 3600.0
NO_FILE = N_("There is no such file here; files are forgotten after an hour. Bring it again: what is done stays done.")


@dataclass
class Sheet:
    """A file of people. ``results`` are by line; ``revealed``: its passwords were handed out."""

    sheet_id: str
    by: str
    made: float
    lines: tuple[Line, ...]
    state: Literal["read", "opening", "done"] = "read"
    results: dict[int, OpenedView | Message] = field(default_factory=dict)
    revealed: bool = False

    @property
    def valid(self) -> tuple[NewPerson, ...]:
        """Return those who can be opened."""
        return tuple(line.person for line in self.lines if line.person is not None)


class Sheets:
    """The files of the last hour."""

    def __init__(self, desk: PeopleDesk, clock: Callable[[], float]):
        self._desk = desk
        self._clock = clock
        self._sheets: OrderedDict[str, Sheet] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    async def read(self, by: Acting, data: bytes) -> Sheet:
        """Read a file, and check each of its lines. Raises `InvalidPerson` for what is no such file."""
        lines = tuple([await self._checked(line) for line in read_csv(data)])
        self._forget()
        sheet = Sheet(secrets.token_urlsafe(16), by.name, self._clock(), lines)
        self._sheets[sheet.sheet_id] = sheet
        return sheet

    def find(self, by: Acting, sheet_id: str) -> Sheet:
        """Return a file of one's own. Raises `NotFound`."""
        self._forget()
        sheet = self._sheets.get(sheet_id)
        if sheet is None or sheet.by != by.name:
            raise NotFound(NO_FILE)
        return sheet

    def begin(self, by: Acting, sheet: Sheet) -> None:
        """Open all valid lines; fine if that was begun."""
        if sheet.state != "read":
            return
        sheet.state = "opening"
        task = asyncio.create_task(self._open(by, sheet), name="opening accounts")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def reveal(self, sheet: Sheet) -> dict[int, str]:
        """Return the passwords of a finished file by line, once; they are forgotten then."""
        if sheet.state != "done":
            return {}
        opened = {line: one for line, one in sheet.results.items() if isinstance(one, OpenedView) and one.password}
        sheet.results.update({line: replace(one, password=None) for line, one in opened.items()})
        sheet.revealed = True
        return {line: one.password for line, one in opened.items() if one.password}

    async def _checked(self, line: Line) -> Line:
        if line.person is None:
            return line
        try:
            await self._desk.check(line.person)
        except MLabError as error:
            return replace(line, person=None, fault=error.message)
        return line

    async def _open(self, by: Acting, sheet: Sheet) -> None:
        try:
            for line in sheet.lines:
                if line.person is not None:
                    sheet.results[line.number] = await self._result(by, line.person)
        finally:
            sheet.state = "done"

    async def _result(self, by: Acting, person: NewPerson) -> OpenedView | Message:
        try:
            return await self._desk.open(by, person)
        except MLabError as error:
            return error.message
        except Exception:
            log.exception("An account of a file was not opened")
            return Message(N_("The service failed at this line; its log has the details. Bring the file again."))

    def _forget(self) -> None:
        before = self._clock() - FORGOTTEN_AFTER_S
        gone = [one.sheet_id for one in self._sheets.values() if one.made < before and one.state != "opening"]
        gone += [one for one in list(self._sheets)[: max(0, len(self._sheets) - MOST)] if one not in gone]
        for sheet_id in gone:
            del self._sheets[sheet_id]
