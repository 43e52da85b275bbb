"""The call about usage: GPU-hours by user, group, profile or day, as JSON or CSV."""

from __future__ import annotations

from typing import cast, get_args

from mlabhub.core.quote import quote
from mlabhub.core.usage.report import csv_text
from mlabhub.errors import InvalidLaunch
from mlabhub.ledger.usage import By
from mlabhub.messages import N_, Message
from mlabhub.service.handlers.base import ApiHandler
from mlabhub.service.usage.desk import UsageDesk

MOST_ROWS = 1000
NOT_ONE_OF = N_("{name} must be one of {known}; it is {value}.")
NO_NUMBER = N_("{name} must be a whole number from {least} to {most}; it is {value}.")


class UsageHandler(ApiHandler):
    """``GET usage``"""

    @property
    def usage_desk(self) -> UsageDesk:
        """Where usage is answered."""
        desk: UsageDesk = self.application.settings["usage_desk"]
        return desk

    async def get(self) -> None:
        """Return lines and their sums; ``?by=``, ``?from=``, ``?to=``, ``?limit=``, ``?offset=``, ``?format=csv``."""
        by = read_by(self.get_query_argument("by", "user"))
        period = self.usage_desk.period(self.get_query_argument("from", None), self.get_query_argument("to", None))
        as_csv = _one_of("format", self.get_query_argument("format", "json"), ("json", "csv")) == "csv"
        limit, offset = self._number("limit", MOST_ROWS, 1, MOST_ROWS), self._number("offset", 0, 0, 10**9)
        report = await self.usage_desk.report(self.reader, by, period)
        if as_csv:
            self.set_header("Content-Type", "text/csv; charset=utf-8")
            self.finish(csv_text(by, report.lines))
            return
        self.answer(
            {
                "by": by,
                "from": period.first.isoformat(),
                "to": period.last.isoformat(),
                "covers": report.covers,
                "until": report.until,
                "count": len(report.lines),
                "total": report.total,
                "rows": report.page(offset, limit),
            }
        )

    def _number(self, name: str, otherwise: int, least: int, most: int) -> int:
        text = self.get_query_argument(name, str(otherwise))
        if not (text.isascii() and text.isdigit() and len(text) < 12 and least <= int(text) <= most):
            raise InvalidLaunch(Message.of(NO_NUMBER, name=name, least=least, most=most, value=quote(text)), key=name)
        return int(text)


def read_by(text: str) -> By:
    """Return by what lines are wanted. Raises `InvalidLaunch`."""
    return cast(By, _one_of("by", text, get_args(By)))


def _one_of(name: str, text: str, known: tuple[str, ...]) -> str:
    if text not in known:
        raise InvalidLaunch(Message.of(NOT_ONE_OF, name=name, known=", ".join(known), value=quote(text)), key=name)
    return text
