"""The ledger read as a workload: what ran in a time, and what of it was one request.

Guarantees: only reads, in one go, so that what is written meanwhile is there as a whole or not at all; of a year only
what ran in the time asked for is looked at, by the index of what ended.
"""

from __future__ import annotations

import sqlalchemy as sa

from mlabhub.core.units import ANY_GPU
from mlabhub.ledger.queue_tables import queue, quota_changes
from mlabhub.ledger.records import QuotaChange
from mlabhub.ledger.sql import SqlLedger
from mlabhub.ledger.tables import reservations
from mlabhub.replay.recorded import Ran


class RecordedRuns:
    """What a ledger knows of a time. Calls block, and raise `LedgerUnavailable`."""

    def __init__(self, ledger: SqlLedger):
        self._ledger = ledger

    def ran(self, since: float, until: float) -> list[Ran]:
        """Return what ran between two moments, seconds since the epoch, in no order."""
        of, waits = reservations.c, queue.c
        columns = (of.launch_id, of.user, of.group, of.profile, of.gpu_type, of.gpus, of.cpu, of.memory_gib)
        times = (of.created, of.since, of.held, of.released, of.options, waits.priority, waits.again_of)
        there = sa.or_(of.released >= since, of.state != "released")
        query = (
            sa.select(*columns, *times)
            .join_from(reservations, queue, of.launch_id == waits.launch_id, isouter=True)
            .where(there, of.held.is_not(None), of.held < until)
        )
        with self._ledger._reading() as connection:
            return [_ran(row) for row in connection.execute(query).mappings()]

    def left_out(self, since: float, until: float) -> int:
        """Return how many waited in that time and never ran, or not yet."""
        of = queue.c
        gone = sa.and_(of.state.in_(("left", "refused", "given_back")), of.changed >= since)
        query = sa.select(sa.func.count()).where(of.created < until, sa.or_(of.state == "waiting", gone))
        with self._ledger._reading() as connection:
            return int(connection.execute(query.select_from(queue)).scalar_one())

    def quota_changes(self) -> tuple[QuotaChange, ...]:
        """Return all changes of quotas at run time."""
        with self._ledger._reading() as connection:
            return tuple(QuotaChange(**row) for row in connection.execute(sa.select(quota_changes)).mappings())


def _ran(row: sa.RowMapping) -> Ran:
    options, since, gpu_type = row["options"], row["since"], row["gpu_type"]
    asked = options.get("gpu_type", gpu_type)
    return Ran(
        launch_id=row["launch_id"],
        user=row["user"],
        group=row["group"],
        profile=row["profile"],
        gpu_type=None if asked in (None, "", ANY_GPU) else gpu_type,
        gpus=len(row["gpus"]),
        cpu=row["cpu"],
        memory_gib=row["memory_gib"],
        came=min(row["held"], row["created"] if since is None else since),
        started=row["held"],
        ended=row["released"],
        priority=row["priority"] or 0,
        again_of=row["again_of"] or "",
    )
