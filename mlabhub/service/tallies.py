"""What is counted of the queue: who came, whose turn came and after how long, who was told to give back.

Guarantees: counted once, when it is durable, from what changed in the ledger; who writes records need not count.
"""

from __future__ import annotations

from typing import NamedTuple

from mlabhub.ledger import QueueEntry, ReclaimNotice, Record
from mlabhub.service.projection import Projection


class Tally(NamedTuple):
    """One thing that happened; ``seconds`` is how long it was waited for, where it was."""

    what: str
    event: str
    seconds: float | None = None


ENTRY_EVENTS = ("queued", "started", "left", "given_back", "refused")
NOTICE_EVENTS = ("given", "withdrawn", "done")


def tally(projection: Projection, record: Record) -> Tally | None:
    """Return what a record counts as, before it is applied; None for what is not counted, or was already."""
    if isinstance(record, QueueEntry):
        return _of_entry(projection.queue.get(record.launch_id), record)
    if isinstance(record, ReclaimNotice):
        return _of_notice(projection.notices.get(record.launch_id), record)
    return None


def _of_entry(before: QueueEntry | None, entry: QueueEntry) -> Tally | None:
    if before is None:
        return Tally("entry", "queued") if entry.state == "waiting" else None
    if before.state == entry.state or entry.state in ("waiting", "claimed"):
        return None
    waited = max(0.0, entry.changed - entry.since) if entry.state == "started" else None
    return Tally("entry", entry.state, waited)


def _of_notice(before: ReclaimNotice | None, notice: ReclaimNotice) -> Tally | None:
    if notice.state == "given":
        return Tally("notice", "given") if before is None or before.at != notice.at else None
    return Tally("notice", notice.state) if before is not None else None
