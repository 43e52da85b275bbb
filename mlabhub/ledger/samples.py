"""Samples that are kept: each minute for two days, each five for thirty, then daily sums.

Guarantees, kept by one contract suite over all implementations: a tick that was added is there until it is made
coarser; adding one again replaces it; `tidy` may be called at any time, and again after a crash, and counts nothing
twice. Calls block, and those that write come from one thread at a time; none keeps the ledger's own commits waiting for
long.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from mlabhub.core.readings import TICK_S, Sample
from mlabhub.core.sample_history import COARSE_FOR_S, COARSE_S, FINE_FOR_S, DaySums, added, coarser, day_sums
from mlabhub.ledger.sample_tables import HOUR_S, chunks, days, pack, ticks, unpack, unpack_of
from mlabhub.ledger.sql import SqlLedger

LATE_S = 300.0
"""How long after its end an hour is put together."""
AT_ONCE = 2000
"""How many chunks are made coarser in one transaction."""


class SampleStore(Protocol):
    """What keeps samples."""

    def add(self, t: float, samples: Iterable[Sample]) -> None:
        """Keep one tick of all servers. Raises `LedgerUnavailable`."""

    def of_server(self, server: str, since: float, until: float) -> tuple[Sample, ...]:
        """Return a server's samples by time, of all its launches, as fine as they are kept."""

    def pieces(self, since: float, until: float) -> Iterator[Sequence[Sample]]:
        """Yield all samples in small pieces, an hour after the other; those of one launch come by time."""

    def export(self, since: float, until: float) -> Iterator[str]:
        """Yield all samples as lines of JSON, by time."""

    def days(self, since: float, until: float) -> tuple[DaySums, ...]:
        """Return the daily sums of days that begin in that time."""

    def tidy(self, now: float) -> None:
        """Make coarser what is old. Raises `LedgerUnavailable`; what was not done yet is done by the next call."""


class MemorySamples:
    """Samples in memory: for tests and simulations."""

    def __init__(self) -> None:
        self._samples: dict[tuple[float, str], Sample] = {}
        self._coarse: dict[tuple[float, str], Sample] = {}
        self._days: dict[tuple[float, str], DaySums] = {}

    def add(self, t: float, samples: Iterable[Sample]) -> None:
        """Keep one tick of all servers."""
        self._samples = {key: one for key, one in self._samples.items() if key[0] != t}
        self._samples.update({(t, one.launch_id): one for one in samples})

    def of_server(self, server: str, since: float, until: float) -> tuple[Sample, ...]:
        """Return a server's samples by time."""
        return tuple(one for one in self._all(since, until) if one.server == server)

    def pieces(self, since: float, until: float) -> Iterator[Sequence[Sample]]:
        """Yield all samples in small pieces."""
        yield from ((one,) for one in self._all(since, until))

    def export(self, since: float, until: float) -> Iterator[str]:
        """Yield all samples as lines of JSON, by time."""
        yield from (one.line() for one in self._all(since, until))

    def days(self, since: float, until: float) -> tuple[DaySums, ...]:
        """Return the daily sums of days that begin in that time."""
        return tuple(self._days[key] for key in sorted(self._days) if since <= key[0] < until)

    def tidy(self, now: float) -> None:
        """Make coarser what is old, by whole hours."""
        old = [one for one in self._samples.values() if _hour(one.t) < now - FINE_FOR_S]
        self._coarse.update({(one.t, one.launch_id): one for one in coarser(old)})
        self._samples = {key: one for key, one in self._samples.items() if _hour(one.t) >= now - FINE_FOR_S}
        old = [one for one in self._coarse.values() if _hour(one.t) < now - COARSE_FOR_S]
        self._coarse = {key: one for key, one in self._coarse.items() if _hour(one.t) >= now - COARSE_FOR_S}
        for sums in day_sums(old):
            key = (sums.day, sums.server)
            self._days[key] = added(self._days[key], sums) if key in self._days else sums

    def _all(self, since: float, until: float) -> list[Sample]:
        everything = (*self._coarse.values(), *self._samples.values())
        return sorted((one for one in everything if since <= one.t < until), key=lambda one: (one.t, one.server))


class SqlSamples:
    """Samples in the ledger's database."""

    def __init__(self, ledger: SqlLedger):
        self._engine = ledger._engine
        self._faults = ledger._faults
        self._insert = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert

    def add(self, t: float, samples: Iterable[Sample]) -> None:
        """Keep one tick of all servers."""
        with self._faults(), self._engine.begin() as connection:
            self._put(connection, ticks, ("t",), [{"t": t, "lines": pack(samples)}])

    def of_server(self, server: str, since: float, until: float) -> tuple[Sample, ...]:
        """Return a server's samples by time: whole hours from its chunks, the rest from the ticks."""
        of = chunks.c
        query = sa.select(of.lines).where(of.server == server, of.begin >= since - HOUR_S, of.begin < until)
        with self._faults(), self._engine.connect() as connection:
            packed = connection.execute(_ticks_between(since, until)).scalars()
            found = [one for lines in packed for one in unpack_of(lines, server)]
            found += _unpacked(connection.execute(query).scalars())
        return tuple(_between(found, since, until))

    def pieces(self, since: float, until: float) -> Iterator[Sequence[Sample]]:
        """Yield all samples in small pieces: the chunks of an hour, then what of it is in ticks yet."""
        of = chunks.c
        for begin in self._hours(since, until):
            of_hour = sa.select(of.lines).where(of.begin == begin)
            late = (ticks.c.t > begin, ticks.c.t >= since, ticks.c.t <= min(begin + HOUR_S, until))
            rest = sa.select(ticks.c.lines).where(*late).order_by(ticks.c.t)
            with self._faults(), self._engine.connect() as connection:
                packed = [*connection.execute(of_hour).scalars(), *connection.execute(rest).scalars()]
            for lines in packed:
                yield [one for one in unpack(lines) if since <= one.t < until]

    def export(self, since: float, until: float) -> Iterator[str]:
        """Yield all samples as lines of JSON, by time; one hour at a time is in memory."""
        of = chunks.c
        for begin in self._hours(since, until):
            with self._faults(), self._engine.connect() as connection:
                found = [one for one in _ticks(connection, begin, begin + HOUR_S + TICK_S) if _hour(one.t) == begin]
                found += _unpacked(connection.execute(sa.select(of.lines).where(of.begin == begin)).scalars())
            yield from (one.line() for one in _between(found, since, until))

    def days(self, since: float, until: float) -> tuple[DaySums, ...]:
        """Return the daily sums of days that begin in that time."""
        query = sa.select(days).where(days.c.day >= since, days.c.day < until).order_by(days.c.day, days.c.server)
        with self._faults(), self._engine.connect() as connection:
            return tuple(DaySums(**row) for row in connection.execute(query).mappings())

    def tidy(self, now: float) -> None:
        """Put whole hours together, and make coarser what is old; each part is one transaction."""
        first = self._tick_times(0.0, now - LATE_S - HOUR_S)
        for begin in sorted({_hour(t) for t in first}):
            self._put_together(begin)
        while self._coarsen(now - FINE_FOR_S):
            pass
        while self._sum_up(now - COARSE_FOR_S):
            pass

    def _hours(self, since: float, until: float) -> list[float]:
        """Return the beginnings of the hours of which there is something."""
        of = chunks.c
        hours = sa.select(of.begin).where(of.begin >= since - HOUR_S, of.begin < until).distinct()
        begins = {_hour(t) for t in self._tick_times(since, until)}
        with self._faults(), self._engine.connect() as connection:
            begins.update(connection.execute(hours).scalars())
        return sorted(begins)

    def _tick_times(self, since: float, until: float) -> list[float]:
        query = sa.select(ticks.c.t).where(ticks.c.t >= since, ticks.c.t < until)
        with self._faults(), self._engine.connect() as connection:
            return list(connection.execute(query).scalars())

    def _put_together(self, begin: float) -> None:
        """Make an hour's ticks into chunks; what an hour has already, after a clock stepped back, stays."""
        of_hour = (ticks.c.t > begin, ticks.c.t <= begin + HOUR_S)
        by_launch: dict[str, dict[float, Sample]] = defaultdict(dict)
        for one in _unpacked(row["lines"] for row in self._rows(sa.select(ticks).where(*of_hour))):
            by_launch[one.launch_id][one.t] = one
        for row in self._rows(sa.select(chunks).where(chunks.c.begin == begin)):
            late = by_launch.get(row["launch_id"])
            if late is not None and row["step"] == TICK_S:
                by_launch[row["launch_id"]] = {one.t: one for one in unpack(row["lines"])} | late
            elif late is not None:
                del by_launch[row["launch_id"]]
        rows = [_chunk(begin, TICK_S, [group[t] for t in sorted(group)]) for group in by_launch.values()]
        with self._faults(), self._engine.begin() as connection:
            self._put(connection, chunks, ("launch_id", "begin"), rows)
            connection.execute(sa.delete(ticks).where(*of_hour))

    def _coarsen(self, before: float) -> bool:
        """Make chunks of minutes into such of five. Return whether there may be more."""
        of = chunks.c
        old = self._rows(
            sa.select(chunks).where(of.begin < before, of.step < COARSE_S).order_by(of.begin).limit(AT_ONCE)
        )
        rows = [_chunk(row["begin"], COARSE_S, list(coarser(unpack(row["lines"])))) for row in old]
        with self._faults(), self._engine.begin() as connection:
            self._put(connection, chunks, ("launch_id", "begin"), rows)
        return len(old) == AT_ONCE

    def _sum_up(self, before: float) -> bool:
        """Add the oldest chunks to the daily sums, and drop them. Return whether there may be more."""
        of = chunks.c
        old = self._rows(sa.select(chunks).where(of.begin < before).order_by(of.begin).limit(AT_ONCE))
        if not old:
            return False
        new = day_sums(_unpacked(row["lines"] for row in old))
        there = sa.select(days).where(days.c.day >= new[0].day, days.c.day <= new[-1].day)
        known = {(row["server"], row["day"]): DaySums(**row) for row in self._rows(there)}
        whole = [added(known[key], one) if (key := (one.server, one.day)) in known else one for one in new]
        gone = sa.delete(chunks).where(of.launch_id == sa.bindparam("launch"), of.begin == sa.bindparam("at"))
        with self._faults(), self._engine.begin() as connection:
            self._put(connection, days, ("server", "day"), [dict(vars(one)) for one in whole])
            connection.execute(gone, [{"launch": row["launch_id"], "at": row["begin"]} for row in old])
        return len(old) == AT_ONCE

    def _rows(self, query: sa.Select[Any]) -> Sequence[sa.RowMapping]:
        """Read, and let go at once: a transaction that reads first and writes later is one that SQLite may refuse."""
        with self._faults(), self._engine.connect() as connection:
            return connection.execute(query).mappings().all()

    def _put(
        self, connection: sa.Connection, table: sa.Table, keys: tuple[str, ...], rows: list[dict[str, Any]]
    ) -> None:
        if rows:
            statement = self._insert(table)
            others = {name: statement.excluded[name] for name in rows[0] if name not in keys}
            connection.execute(statement.on_conflict_do_update(index_elements=list(keys), set_=others), rows)


def _hour(t: float) -> float:
    """Return the beginning of the hour that a sample belongs to: a tick at the full hour is the last one before."""
    return -(-t // HOUR_S) * HOUR_S - HOUR_S


def _chunk(begin: float, step: float, samples: list[Sample]) -> dict[str, Any]:
    one = samples[0]
    return {"launch_id": one.launch_id, "begin": begin, "step": step, "server": one.server, "lines": pack(samples)}


def _ticks(connection: sa.Connection, since: float, until: float) -> Iterator[Sample]:
    for lines in connection.execute(_ticks_between(since, until)).scalars():
        yield from unpack(lines)


def _ticks_between(since: float, until: float) -> sa.Select[Any]:
    return sa.select(ticks.c.lines).where(ticks.c.t >= since, ticks.c.t < until)


def _unpacked(packed: Iterable[bytes]) -> list[Sample]:
    return [one for lines in packed for one in unpack(lines)]


def _between(samples: Iterable[Sample], since: float, until: float) -> list[Sample]:
    """Return samples by time; one that was read twice, while its hour was put together, counts once."""
    found = {(one.t, one.launch_id): one for one in samples if since <= one.t < until}
    return sorted(found.values(), key=lambda one: (one.t, one.server))
