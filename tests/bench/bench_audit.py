"""How long a page of the audit takes among 10^6 entries, and how long an export: the ledger itself, without a network.

    python -m tests.bench.bench_audit [--entries N] [--ledger postgresql://...]

Entries are of 90 days, 10,000 people and 30 acts; what is printed is the middle and the worst of some searches in
milliseconds. The worst case is a text that is nowhere: it reads the whole window.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from mlabhub.ledger import AuditEntry, AuditFilter, Ledger, open_postgresql, open_sqlite, parse_address
from mlabhub.messages import Message
from mlabhub.service.audit_desk import AT_ONCE
from mlabhub.service.audit_export import FORMATS
from mlabhub.service.audit_query import ACTS

DAY_S = 86400.0
DAYS = 90
PEOPLE = 10_000
ROWS = 50
BATCH = 5000
TEMPLATE = "{profile} admitted on {node}: {cpu} CPU, {memory_gib} GiB, {gpus}; {payer} pays"


def entries(count: int) -> Iterator[AuditEntry]:
    """Yield entries, oldest first."""
    acts = list(ACTS)
    for n in range(count):
        words = Message.of(TEMPLATE, profile="gpu", node=f"n{n % 400}", cpu=8, memory_gib=64, gpus="2 A100", payer="g")
        user = f"user{n * 7919 % PEOPLE}"
        actor = user if n % 3 else "queue"
        yield AuditEntry(n * DAYS * DAY_S / count, actor, acts[n % len(acts)], words, user, f"s{n % 5}", f"01{n:024}")


def fill(ledger: Ledger, count: int) -> None:
    """Write them in batches."""
    batch: list[AuditEntry] = []
    for entry in entries(count):
        batch.append(entry)
        if len(batch) == BATCH:
            ledger.commit(batch)
            batch = []
    ledger.commit(batch)


SEARCHES = {
    "newest": AuditFilter(),
    "of a person": AuditFilter(user="user42"),
    "of a person, an act": AuditFilter(user="user42", act="admit"),
    "by an actor": AuditFilter(actor="queue"),
    "an act, a server": AuditFilter(act="stop", server="s3"),
    "a day in the middle": AuditFilter(since=40 * DAY_S, until=41 * DAY_S),
    "a text that is often": AuditFilter(text="n17"),
    "a text that is nowhere": AuditFilter(text="nobody says this"),
    "text and day": AuditFilter(text="n17:", since=40 * DAY_S, until=41 * DAY_S),
}


def measure(ledger: Ledger, wanted: AuditFilter, times: int) -> list[float]:
    """Return how long each of some searches took, in milliseconds."""
    took = []
    for _ in range(times):
        begun = time.perf_counter()
        ledger.search_audit(wanted, limit=ROWS)
        took.append(1000 * (time.perf_counter() - begun))
    return took


def export(ledger: Ledger) -> tuple[int, float]:
    """Return how many entries a whole export has, and how many seconds it takes."""
    begun, count, before = time.perf_counter(), 0, None
    while True:
        page = ledger.search_audit(AuditFilter(), limit=AT_ONCE, before=before)
        FORMATS["csv"].text(page.entries, str)
        count += len(page.entries)
        if page.next is None:
            return count, time.perf_counter() - begun
        before = page.next


def main() -> None:
    """Make the entries, and measure."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--entries", type=int, default=1_000_000)
    asked.add_argument("--times", type=int, default=20)
    asked.add_argument("--ledger", default="")
    given = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        opened = (
            open_postgresql(parse_address(given.ledger), "bench")
            if given.ledger
            else open_sqlite(Path(folder) / "ledger.sqlite")
        )
        with closing(opened) as ledger:
            begun = time.perf_counter()
            fill(ledger, given.entries)
            print(f"{given.entries} entries written in {time.perf_counter() - begun:.0f} s")
            for name, wanted in SEARCHES.items():
                took = measure(ledger, wanted, given.times)
                print(f"{name:24} middle {statistics.median(took):7.1f} ms, worst {max(took):7.1f} ms")
            count, seconds = export(ledger)
            print(f"export of {count} entries: {seconds:.0f} s")


if __name__ == "__main__":
    main()
