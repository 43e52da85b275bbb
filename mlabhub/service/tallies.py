"""What is counted of the queue and of idleness: who came, whose turn came and after how long, who was told to give
back, who was warned, and what became of that.

Guarantees: counted once, when it is durable, from what changed in the ledger; who writes records need not count.
"""

from __future__ import annotations

from typing import NamedTuple

from mlabhub.ledger import IdleWarning, Keeping, QueueEntry, ReclaimNotice, Record, WouldStop
from mlabhub.service.projection import Projection


class Tally(NamedTuple):
    """One thing that happened; ``seconds`` is how long it was waited for, where it was."""

    what: str
    event: str
    seconds: float | None = None


ENTRY_EVENTS = ("queued", "started", "left", "given_back", "refused")
NOTICE_EVENTS = ("given", "withdrawn", "done")
IDLE_EVENTS = (
    "warned",
    "told_tool",
    "told_message",
    "told_home",
    "reminded",
    "withdrawn",
    "stopped",
    "released",
    "taken_back",
    "kept",
    "would_stop",
    "would_regret",
)


def tally(projection: Projection, record: Record) -> Tally | None:
    """Return what a record counts as, before it is applied; None for what is not counted, or was already."""
    if isinstance(record, QueueEntry):
        return _of_entry(projection.queue.get(record.launch_id), record)
    if isinstance(record, ReclaimNotice):
        return _of_notice(projection.notices.get(record.launch_id), record)
    if isinstance(record, IdleWarning):
        event = _of_warning(projection.warnings.get(record.launch_id), record)
        # Of what was stopped only that it is over is news: that was counted when it was decided.
        over = event == "released" and projection.launch(record.launch_id) is None
        return None if event is None or over else Tally("idle", event)
    if isinstance(record, Keeping):
        return Tally("idle", "kept")
    if isinstance(record, WouldStop):
        known = record.launch_id in projection.would_stops
        return Tally("idle", "would_regret" if known else "would_stop") if not known or record.again else None
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


def _of_warning(before: IdleWarning | None, warning: IdleWarning) -> str | None:
    if before is None:
        return "warned" if warning.state == "given" else None
    if before.state == "stopping":
        return "taken_back" if warning.state == "withdrawn" else None
    if warning.state != "given":
        return {"stopping": "stopped", "done": "released"}.get(warning.state, warning.state)
    if before.told is None and warning.told is not None:
        return f"told_{warning.way}"
    return "reminded" if warning.reminded > before.reminded else None
