"""A ledger as a large site has it after months: what pages and reports are measured with.

    python -m tests.bench.made_ledger STATE/settings.json [--users 10000] [--servers 3000] [--nodes 400] [--days 90]

Guarantees: the same arguments make the same ledger; no two launches hold one GPU at once, and each person has a server
of a name once at a time, so that whatever reckons with it meets a history that can have happened. The machines are
those of `admission_service.make_backend`; `made_service` runs the real service over it, with people's tokens.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from mlabhub.core.quota_changes import QuotaChange
from mlabhub.core.readings import TICK_S, Sample
from mlabhub.core.sample_history import COARSE_FOR_S, DAY_S, DaySums, added
from mlabhub.core.usage.sums import Fold, Held, Key, Sums, Waited, days_between
from mlabhub.ledger import (
    AuditEntry,
    IdleWarning,
    Keeping,
    KnownId,
    QueueEntry,
    Record,
    Reservation,
    SqlLedger,
    SqlUsage,
    WouldStop,
    open_sqlite,
)
from mlabhub.ledger.sample_tables import HOUR_S, chunks, pack, ticks
from mlabhub.ledger.sample_tables import days as day_table
from mlabhub.ledger.usage import There
from mlabhub.messages import Message
from mlabhub.service.decisions import admitted_words
from mlabhub.service.queue.acts import WAITS
from mlabhub.service.usage.loop import EACH_S
from mlabhub.settings import Settings, load_settings

AT_ONCE = 20_000
LANES = (1, 1, 2, 4)
"""How a machine's GPUs are shared: so many by launches of so many GPUs each, one launch after the other."""
RESERVE = 20
"""One machine of so many is free now, though not always."""
WAITING = 200
WAITED = 0.2
"""Of launches with GPUs, so many waited in the queue."""
MEAN_RUN_S = 16 * 3600.0
MEAN_GAP_S = 4 * 3600.0
LATELY_S = 900.0
"""What runs has done so for a quarter of an hour at least; what is over, ended before twice that."""
RELEASED = "the hub's spawner says that it ended"


@dataclass(frozen=True)
class Made:
    """What was made; ``running`` are the launches of now, ``launches`` is how many there were in all."""

    now: float
    users: int
    groups: int
    launches: int
    running: tuple[Reservation, ...]


def make_ledger(
    settings: Settings,
    *,
    users: int = 10_000,
    servers: int = 3_000,
    nodes: int = 400,
    gpus: int = 8,
    days: int = 90,
    groups: int = 100,
    sample_hours: int = 24,
    now: float | None = None,
    seed: int = 9,
) -> Made:
    """Fill the SQLite ledger of an installation: people, launches, queue, quotas, audit, idleness, samples.

    User ``userN`` is in the group ``group(N mod groups)``. ``servers`` run at ``now`` (the present if absent), and as
    many have run, one after the other, for ``days`` days. Samples of each minute are there for ``sample_hours``, and
    daily sums of what is older than those are kept. Usage is added up until now.
    """
    past = _Past(time.time() if now is None else now, users, nodes, gpus, days, groups, random.Random(seed))
    ledger = open_sqlite(settings.ledger_file)
    try:
        _fast(ledger)
        ledger.commit(past.numbers())
        running: list[Reservation] = []
        launches, older = 0, _Days(past.now - COARSE_FOR_S)
        used = _Used(past.now - days * DAY_S, past.now, nodes * gpus)
        for batch in _batches(past.launches(servers)):
            ledger.commit(past.audited(batch))
            running += [one for one in batch if one.active]
            launches += len(batch)
            older.add(batch)
            used.add(batch)
        for records in _batches(past.further(running)):
            ledger.commit(records)
        older.keep(ledger)
        used.keep(ledger)
        _keep_samples(ledger, past.now, running, sample_hours)
    finally:
        ledger.close()
    return Made(past.now, users, groups, launches, tuple(running))


def group_of(user: str, groups: int) -> str:
    """Return the group of a made user."""
    return f"group{int(user.removeprefix('user')) % groups}"


@dataclass(frozen=True)
class _Lane:
    """Where one launch runs after the other; ``goes_on``: one of them runs now."""

    number: int
    node: str
    gpus: tuple[str, ...]
    goes_on: bool


@dataclass
class _Past:
    now: float
    users: int
    nodes: int
    gpus: int
    days: int
    groups: int
    random: random.Random
    made: int = 0

    def numbers(self) -> Iterator[KnownId]:
        """Yield the numbers of people and groups."""
        yield from (KnownId("user", f"user{number}", 100_000 + number) for number in range(self.users))
        yield from (KnownId("group", f"group{number}", 500_000 + number) for number in range(self.groups))

    def lanes(self, servers: int) -> Iterator[_Lane]:
        """Yield as many lanes that go on as there are servers: those of all machines first, then such without GPUs."""
        going = number = 0
        for node in range(self.nodes):
            first = 0
            for size in LANES:
                if first + size > self.gpus or going >= servers:
                    break
                held = tuple(f"GPU-n{node:03}-a100-{one}" for one in range(first, first + size))
                goes_on = node % RESERVE != RESERVE - 1
                yield _Lane(number, f"n{node:03}", held, goes_on)
                first, number, going = first + size, number + 1, going + goes_on
        for without in range(servers - going):
            yield _Lane(number + without, f"n{without % self.nodes:03}", (), goes_on=True)

    def launches(self, servers: int) -> Iterator[Reservation]:
        """Yield all launches, lane after lane."""
        for lane in self.lanes(servers):
            t = self.now - self.days * DAY_S + self.random.random() * MEAN_RUN_S
            while t < self.now - LATELY_S:
                ended = t + 600.0 + self.random.expovariate(1 / MEAN_RUN_S)
                if lane.goes_on and ended > self.now - 2 * LATELY_S:
                    break
                user = f"user{self.random.randrange(self.users)}"
                yield self.launch(lane, user, f"past{lane.number}", t, min(ended, self.now - 2 * LATELY_S))
                t = ended + 60.0 + self.random.expovariate(1 / MEAN_GAP_S)
            if lane.goes_on:
                user, server = f"user{lane.number % self.users}", f"s{lane.number // self.users}"
                yield self.launch(lane, user, server, min(t, self.now - LATELY_S), None)

    def launch(self, lane: _Lane, user: str, server: str, held: float, ended: float | None) -> Reservation:
        """Return one launch: asked for half a minute before it was held, or hours before if it waited."""
        self.made += 1
        waited = bool(lane.gpus) and self.random.random() < WAITED
        return Reservation(
            launch_id=f"01MADE{self.made:020}",
            user=user,
            server=server,
            state="held" if ended is None else "released",
            created=held - 30.0,
            changed=ended or held,
            deadline=held + 300.0,
            actor=user,
            group=group_of(user, self.groups),
            profile="gpu" if lane.gpus else "cpu",
            image="base",
            gpu_type="a100" if lane.gpus else None,
            gpus=lane.gpus,
            node=lane.node,
            cpu=float(4 * len(lane.gpus) or 1),
            memory_gib=float(32 * len(lane.gpus) or 4),
            options={"profile": "gpu", "gpus": len(lane.gpus)} if lane.gpus else {"profile": "cpu"},
            redeemed=held - 25.0,
            held=held,
            ready=held + 10.0,
            released=ended,
            since=held - self.random.expovariate(1 / 7200.0) - 60.0 if waited else None,
        )

    def audited(self, batch: Iterable[Reservation]) -> Iterator[Record]:
        """Yield launches, what is in the audit about them, and their entries in the queue."""
        for one in batch:
            yield one
            about = {"user": one.user, "server": one.server, "launch_id": one.launch_id}
            yield AuditEntry(one.created, one.actor, "admit", admitted_words(one), **about)
            if one.released is not None:
                yield AuditEntry(one.released, "service", "release", Message(RELEASED), **about)
            if one.since is not None:
                entry = _entry(one)
                yield from (entry, AuditEntry(entry.since, entry.actor, "queue", _waits(entry), **about))

    def further(self, running: list[Reservation]) -> Iterator[Record]:
        """Yield who waits now, quotas that were changed, and what idleness was about."""
        yield from map(self.waiting, range(WAITING if running else 0))
        for number in range(2 * self.days):
            yield self.quota_change(number)
        for number, one in enumerate(running):
            if number % 30 == 0:
                yield IdleWarning(one.launch_id, self.now - 60.0, self.now - 55.0, "home", changed=self.now - 55.0)
            if number % 50 == 1:
                yield Keeping(one.launch_id, self.now - 90.0, self.now + 7200.0, one.user, "a long run")
            if number % 10 == 2 and one.gpus:
                at = self.now - self.days * DAY_S * self.random.random()
                reason = Message("idle for 90 min")
                yield WouldStop(one.launch_id, at, one.user, one.server, len(one.gpus), reason, again=at + 3600.0)

    def waiting(self, number: int) -> QueueEntry:
        """Return a launch that waits now."""
        since = self.now - 60.0 * (number + 1)
        user = f"user{self.users - 1 - number % self.users}"
        return QueueEntry(
            launch_id=f"01MADEWAITS{number:015}",
            user=user,
            server=f"waits{number}",
            state="waiting",
            since=since,
            created=since,
            changed=since,
            actor=user,
            group=group_of(user, self.groups),
            profile="gpu",
            image="base",
            gpu_type="a100",
            gpus=self.gpus,
            cpu=8.0,
            memory_gib=64.0,
            options={"profile": "gpu", "gpu_type": "a100", "gpus": self.gpus},
        )

    def quota_change(self, number: int) -> QuotaChange:
        """Return a change of a group's limit, which is over but for the last ones."""
        at = self.now - self.days * DAY_S + 0.5 * DAY_S * number
        group = f"group{number % self.groups}"
        end = at + 3 * DAY_S
        return QuotaChange(
            f"01MADEQUOTA{number:015}", at, "admin", "a deadline", "limit", group, "gpu", 4000.0, start=at, end=end
        )


def _entry(one: Reservation) -> QueueEntry:
    """Return the entry in the queue of a launch that waited, and was told when it would start."""
    assert one.since is not None
    return QueueEntry(
        launch_id=one.launch_id,
        user=one.user,
        server=one.server,
        state="claimed",
        since=one.since,
        created=one.since,
        changed=one.created,
        actor=one.actor,
        group=one.group,
        profile=one.profile,
        image=one.image,
        gpu_type=one.gpu_type,
        gpus=len(one.gpus),
        cpu=one.cpu,
        memory_gib=one.memory_gib,
        options=one.options,
        told_earliest=one.since + 600.0,
        told_latest=one.since + 7200.0,
        started=one.created,
    )


def _waits(entry: QueueEntry) -> Message:
    return Message.of(
        WAITS,
        profile=entry.profile,
        cpu=entry.cpu,
        memory_gib=entry.memory_gib,
        gpus=f"{entry.gpus} a100",
        payer=entry.group,
    )


def _batches(records: Iterator[Record]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    for one in records:
        batch.append(one)
        if len(batch) == AT_ONCE:
            yield batch
            batch = []
    yield batch


def _fast(ledger: SqlLedger) -> None:
    """Wait for no disk: what is lost is made again."""

    def prepare(connection: sa.engine.interfaces.DBAPIConnection, _entry: object) -> None:
        connection.cursor().execute("PRAGMA synchronous=OFF")

    sa.event.listen(ledger._engine, "connect", prepare)
    ledger._engine.dispose()


# -- samples


def _is_busy(number: int, t: float) -> bool:
    """A third of the servers is at work, each in its turn."""
    return (t // 7200 + number) % 3 == 0


def _sample(number: int, one: Reservation, t: float) -> Sample:
    """Return a minute of a server; of every fiftieth nothing is known."""
    count, busy = len(one.gpus), _is_busy(number, t)
    util = (None if number % 50 == 49 else 80.0 if busy else 0.0,) * count
    more = {"last_activity": t - 30.0, "input_age": 30.0 if busy else 4000.0, "kernels_busy": int(busy)}
    name = f"{one.user}/{one.server}"
    return Sample(t, name, one.launch_id, count, util, (2e9,) * count, 0.5 if busy else 0.02, more=more)


def _keep_samples(ledger: SqlLedger, now: float, running: list[Reservation], hours: int) -> None:
    """Keep whole hours of what runs as chunks, and the minutes of this hour as they come."""
    this_hour = now // HOUR_S * HOUR_S
    with ledger._engine.begin() as connection:
        for begin in (this_hour - HOUR_S * back for back in range(hours, 0, -1)):
            minutes = [begin + TICK_S * minute for minute in range(1, 61)]
            rows = [
                {
                    "launch_id": one.launch_id,
                    "begin": begin,
                    "step": TICK_S,
                    "server": f"{one.user}/{one.server}",
                    "lines": pack(_sample(number, one, t) for t in minutes),
                }
                for number, one in enumerate(running)
                if one.held is not None and one.held < begin + HOUR_S
            ]
            if rows:
                connection.execute(sa.insert(chunks), rows)
        for minute in range(1, int((now - this_hour) // TICK_S) + 1):
            t = this_hour + TICK_S * minute
            there = ((number, one) for number, one in enumerate(running) if one.held is not None and one.held < t)
            lines = pack(_sample(number, one, t) for number, one in there)
            connection.execute(sa.insert(ticks), {"t": t, "lines": lines})


class _Days:
    """Gathers the daily sums of what ran before samples were dropped."""

    def __init__(self, before: float):
        self._before = before // DAY_S * DAY_S
        self._sums: dict[tuple[str, float], DaySums] = {}

    def add(self, batch: Iterable[Reservation]) -> None:
        """Take launches in: half of the time they were at work, and for a tenth it is not known."""
        for one in batch:
            day, held = (one.held or 0.0) // DAY_S * DAY_S, one.held or 0.0
            while day < min(self._before, one.released or self._before):
                self._add(one, day, min(day + DAY_S, one.released or self._before) - max(day, held))
                day += DAY_S

    def _add(self, one: Reservation, day: float, seconds: float) -> None:
        server, gpu_s = f"{one.user}/{one.server}", seconds * len(one.gpus)
        part = DaySums(server, day, gpu_s, 0.9 * gpu_s, 0.5 * gpu_s, 0.2 * seconds, 0.9 * seconds)
        key = (server, day)
        self._sums[key] = added(self._sums[key], part) if key in self._sums else part

    def keep(self, ledger: SqlLedger) -> None:
        """Write them."""
        if self._sums:
            with ledger._engine.begin() as connection:
                connection.execute(sa.insert(day_table), [vars(one) for one in self._sums.values()])


class _Used:
    """Gathers the GPU time of each day: half of it used, four tenths wasted, of the rest nobody knows."""

    def __init__(self, since: float, until: float, gpus: int):
        self._since, self._until = since // EACH_S * EACH_S, until // EACH_S * EACH_S
        self._gpus = gpus
        self._sums: dict[Key, Sums] = {}

    def add(self, batch: Iterable[Reservation]) -> None:
        """Take launches in, and what of them waited."""
        fold = Fold(self._since, self._until)
        of_gpus = [one for one in batch if one.gpus]
        about = [(one.user, one.group, one.profile, len(one.gpus)) for one in of_gpus]
        fold.hold(Held(one.launch_id, *who, one.created, one.released) for one, who in zip(of_gpus, about, strict=True))
        waits = ((one.since, who, one.created) for one, who in zip(of_gpus, about, strict=True))
        fold.wait(Waited(*who, since, end) for since, who, end in waits if since is not None)
        for key, one in fold.sums.items():
            self._sums[key] = self._sums.get(key, Sums()).plus(measured(one))

    def keep(self, ledger: SqlLedger) -> None:
        """Write them."""
        lengths = {day.name: day.end - day.begin for day in days_between(self._since, self._until)}
        there = {day: There(self._gpus * length, length) for day, length in lengths.items()}
        SqlUsage(ledger).add(None, self._until, self._sums, there)


def measured(one: Sums) -> Sums:
    """Return held sums as if half had been used, and of a tenth nobody knew."""
    return one._replace(used=one.held // 2, idle=one.held * 4 // 10)


def main() -> None:
    """Make one, and say what it has."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", type=Path)
    for name, default in (("users", 10_000), ("servers", 3_000), ("nodes", 400), ("gpus", 8), ("days", 90)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = vars(parser.parse_args())
    begun = time.perf_counter()
    made = make_ledger(load_settings(arguments.pop("settings")), **arguments)
    print(json.dumps({"launches": made.launches, "running": len(made.running), "s": time.perf_counter() - begun}))


if __name__ == "__main__":
    main()
