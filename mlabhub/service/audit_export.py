"""The audit as a file: CSV for spreadsheets, JSON Lines for programs.

Guarantees: no cell of the CSV is read as a formula, whatever people called their servers; a line is one entry, newest
first; times are in UTC.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timezone

from mlabhub.core.quote import printable
from mlabhub.ledger import AuditEntry
from mlabhub.messages import Message

COLUMNS = ("number", "time", "actor", "act", "user", "server", "launch_id", "message")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
Say = Callable[[Message], str]


@dataclass(frozen=True)
class Format:
    """A kind of file: what it begins with, and the text of some entries."""

    content_type: str
    ending: str
    head: str
    text: Callable[[Iterable[AuditEntry], Say], str]


def csv_text(entries: Iterable[AuditEntry], say: Say) -> str:
    """Return lines of CSV."""
    return _csv([defuse(str(cell)) for cell in _cells(one, say).values()] for one in entries)


def json_text(entries: Iterable[AuditEntry], say: Say) -> str:
    """Return a line of JSON for each."""
    return "".join(json.dumps({"at": one.at, **_cells(one, say)}, ensure_ascii=False) + "\n" for one in entries)


def defuse(cell: str) -> str:
    """Return a cell that no spreadsheet computes: what would be a formula is text, behind an apostrophe."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _cells(one: AuditEntry, say: Say) -> dict[str, object]:
    time = datetime.fromtimestamp(one.at, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    texts = (one.actor, one.act, one.user, one.server, one.launch_id, say(one.message))
    return dict(zip(COLUMNS, (one.number, time, *map(printable, texts)), strict=True))


def _csv(rows: Iterable[Iterable[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


FORMATS = {
    "csv": Format("text/csv; charset=utf-8", "csv", _csv([COLUMNS]), csv_text),
    "jsonl": Format("application/jsonl; charset=utf-8", "jsonl", "", json_text),
}
