"""The one writer: group commit, and what happens when the disk does not take it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from typing import Any

import pytest

from mlabhub.errors import MLabError, Unavailable
from mlabhub.ledger import AuditEntry, LedgerUnavailable, MemoryLedger, Record, Reservation
from mlabhub.messages import Message
from mlabhub.service.projection import Projection
from mlabhub.service.writer import Act, Outcome, Writer
from tests.ledger.test_contract import reservation


class SlowLedger(MemoryLedger):
    """A ledger whose commits wait for `gate`, and fail with `fault`."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.fault: Exception | None = None
        self.load_fault: Exception | None = None
        self.check_fault: Exception | None = None
        self.batches: list[int] = []

    def commit(self, records: Iterable[Record]) -> None:
        records = tuple(records)
        self.gate.wait(5)
        if self.fault is not None:
            raise self.fault
        self.batches.append(len(records))
        super().commit(records)

    def check(self) -> None:
        self.gate.wait(5)
        if self.check_fault is not None:
            raise self.check_fault

    def load(self, since: float) -> Any:
        if self.load_fault is not None:
            raise self.load_fault
        return super().load(since)


@pytest.fixture
def ledger() -> SlowLedger:
    return SlowLedger()


@pytest.fixture
async def writer(ledger: SlowLedger) -> AsyncIterator[Writer]:
    one = Writer(ledger, lambda: 1000.0)
    await one.start()
    yield one
    ledger.gate.set()
    await one.stop()


def add(name: str) -> Act[str]:
    """Reserve a server named so, unless it is there."""

    def act(projection: Projection) -> Outcome[str]:
        if projection.of_server("alice", name) is not None:
            raise MLabError(f"{name} is taken")
        return Outcome(name, (one(name),))

    return act


def one(name: str) -> Reservation:
    return reservation(f"L-{name}", server=name, gpus=())


async def test_what_comes_during_a_commit_is_the_next_batch(writer: Writer, ledger: SlowLedger) -> None:
    ledger.gate.clear()
    first = asyncio.create_task(writer.submit(add("a")))
    await asyncio.sleep(0.02)
    others = [asyncio.create_task(writer.submit(add(name))) for name in "bcd"]
    await asyncio.sleep(0.02)
    assert not first.done()
    ledger.gate.set()
    assert await asyncio.gather(first, *others) == ["a", "b", "c", "d"]
    assert ledger.batches == [1, 3]


async def test_nothing_is_answered_before_it_is_durable_refusals_included(writer: Writer, ledger: SlowLedger) -> None:
    ledger.gate.clear()
    tasks = [asyncio.create_task(writer.submit(add("a"))) for _ in range(3)]
    await asyncio.sleep(0.05)
    assert not any(task.done() for task in tasks)
    ledger.fault = LedgerUnavailable("The ledger's disk is full")
    ledger.gate.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    # "a is taken" would have been a lie: what took it never came to the disk.
    assert [str(answer) for answer in answers] == ["The ledger's disk is full"] * 3


async def test_a_failed_batch_leaves_nothing_and_the_writer_goes_on(writer: Writer, ledger: SlowLedger) -> None:
    await writer.submit(add("a"))
    ledger.fault = LedgerUnavailable("The ledger's disk is full")
    answers = await asyncio.gather(*(writer.submit(add(name)) for name in "bc"), return_exceptions=True)
    assert all(isinstance(answer, Unavailable) for answer in answers)
    assert [r.server for r in writer.projection] == ["a"]
    assert str(writer.fault) == "The ledger's disk is full"
    ledger.fault = None
    assert await writer.submit(add("b")) == "b"
    assert writer.fault is None


async def test_a_conflict_on_the_disk_is_a_failure_too(writer: Writer, ledger: SlowLedger) -> None:
    MemoryLedger.commit(ledger, [replace(one("a"), launch_id="L-other")])  # another program wrote it
    with pytest.raises(Unavailable, match="changed by another program"):
        await writer.submit(add("a"))
    with pytest.raises(MLabError, match="a is taken"):
        await writer.submit(add("a"))


async def test_while_the_disk_cannot_be_read_everything_is_refused(writer: Writer, ledger: SlowLedger) -> None:
    ledger.fault = ledger.load_fault = LedgerUnavailable("I/O error")
    for _ in range(2):
        with pytest.raises(LedgerUnavailable, match="I/O error"):
            await writer.submit(add("a"))
    with pytest.raises(LedgerUnavailable, match="I/O error"):
        _ = writer.projection
    ledger.fault = ledger.load_fault = None
    assert await writer.submit(add("a")) == "a"


async def test_a_probe_finds_out_that_the_disk_is_good_again(writer: Writer, ledger: SlowLedger) -> None:
    ledger.fault = LedgerUnavailable("full")
    with pytest.raises(LedgerUnavailable):
        await writer.probe()
    assert writer.fault is not None
    ledger.fault = None
    await writer.probe()
    assert writer.fault is None


async def test_a_lost_ledger_is_noticed_and_read_anew(writer: Writer, ledger: SlowLedger) -> None:
    await writer.check()
    MemoryLedger.commit(ledger, [one("of another")])
    ledger.check_fault = LedgerUnavailable("The connection was lost")
    await writer.check()
    assert str(writer.fault) == "The connection was lost"
    assert [r.server for r in writer.projection] == ["of another"]
    ledger.load_fault = LedgerUnavailable("Another service uses it")
    for _ in range(2):
        with pytest.raises(LedgerUnavailable, match="Another service"):
            await writer.check()
        with pytest.raises(LedgerUnavailable, match="Another service"):
            _ = writer.projection
    ledger.check_fault = ledger.load_fault = None
    await writer.check()
    await writer.probe()
    assert writer.fault is None


async def test_what_was_decided_before_the_ledger_was_lost_is_not_written_after(
    writer: Writer, ledger: SlowLedger
) -> None:
    ledger.gate.clear()
    deciding = asyncio.create_task(writer.submit(add("a")))
    await asyncio.sleep(0.02)
    checking = asyncio.create_task(writer.check())
    await asyncio.sleep(0.02)
    ledger.fault = ledger.check_fault = LedgerUnavailable("The connection was lost")
    ledger.gate.set()
    with pytest.raises(LedgerUnavailable, match="was lost"):
        await deciding
    await checking
    assert ledger.batches == []


async def test_what_is_only_read_is_answered_while_the_ledger_is_ours(writer: Writer, ledger: SlowLedger) -> None:
    ledger.check_fault = LedgerUnavailable("The connection was lost")
    with pytest.raises(LedgerUnavailable, match="was lost"):
        await writer.submit(lambda projection: Outcome(len(projection)))
    ledger.check_fault = None
    assert await writer.submit(lambda projection: Outcome(len(projection))) == 0


async def test_a_mistake_in_an_act_costs_its_batch_and_not_the_service(
    writer: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    def wrong(projection: Projection) -> Outcome[None]:
        raise ZeroDivisionError

    with pytest.raises(MLabError, match="made a mistake"):
        await writer.submit(wrong)
    assert "ZeroDivisionError" in caplog.text
    assert await writer.submit(add("a")) == "a"


async def test_acts_that_only_read_need_no_commit(writer: Writer, ledger: SlowLedger) -> None:
    assert await writer.submit(lambda projection: Outcome(len(projection))) == 0
    assert ledger.batches == []


async def test_who_went_away_reserves_nothing(writer: Writer, ledger: SlowLedger) -> None:
    ledger.gate.clear()
    first = asyncio.create_task(writer.submit(add("a")))
    await asyncio.sleep(0.02)
    gone = asyncio.create_task(writer.submit(add("b")))
    await asyncio.sleep(0.02)
    gone.cancel()
    ledger.gate.set()
    await first
    await asyncio.gather(gone, return_exceptions=True)
    assert await writer.submit(lambda projection: Outcome(len(projection))) == 1


async def test_stopping_finishes_the_batch_in_hand_and_refuses_the_rest(ledger: SlowLedger) -> None:
    writer = Writer(ledger, lambda: 0.0)
    await writer.start()
    ledger.gate.clear()
    first = asyncio.create_task(writer.submit(add("a")))
    await asyncio.sleep(0.02)
    second = asyncio.create_task(writer.submit(add("b")))
    await asyncio.sleep(0.02)
    stopping = asyncio.create_task(writer.stop())
    await asyncio.sleep(0.02)
    ledger.gate.set()
    await stopping
    assert await first == "a"
    with pytest.raises(Unavailable, match="being stopped"):
        await second
    with pytest.raises(Unavailable, match="being stopped"):
        await writer.submit(add("c"))


async def test_a_new_writer_knows_all_that_was_committed(ledger: SlowLedger) -> None:
    for names in ("ab", "cd"):
        writer = Writer(ledger, lambda: 0.0)
        await writer.start()
        for name in names:
            await writer.submit(add(name))
        await writer.stop()
    writer = Writer(ledger, lambda: 0.0)
    await writer.start()
    assert sorted(r.server for r in writer.projection) == list("abcd")
    await writer.submit(lambda _: Outcome(None, (AuditEntry(0.0, "a", "b", Message("c")),)))
    await writer.stop()
