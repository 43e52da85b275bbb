"""Usage for the pages: the real desk, over sums in memory."""

from __future__ import annotations

import time
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any, cast

from mlabhub.core.quotas import Quotas
from mlabhub.core.usage.sums import Key, Sums
from mlabhub.ledger import MemoryLedger, MemoryUsage
from mlabhub.ledger.usage import There
from mlabhub.service.usage.desk import UsageDesk

HOUR_MS = 3_600_000


class PagesUsage:
    """A desk of an installation with eight GPUs; ``store`` is where sums are."""

    def __init__(self) -> None:
        self.store = MemoryUsage(MemoryLedger())
        self.loop: Any = SimpleNamespace(until=None)
        catalog = SimpleNamespace(quotas=Quotas())
        world = SimpleNamespace(usage=self.store, usage_loop=self.loop, clock=time.time, catalog=lambda: catalog)
        self.desk = UsageDesk(cast(Any, world))

    def add(self, days_ago: int, user: str, group: str, used: float, idle: float, unknown: float = 0.0) -> None:
        """Let somebody have held GPUs on a day, in hours; they waited as long as their GPU stood idle."""
        day = (date.today() - timedelta(days=days_ago)).isoformat()
        parts = [round(HOUR_MS * one) for one in (used + idle + unknown, used, idle, idle)]
        until = (self.store.until() or 0.0) + 300.0
        there = {day: There(8 * 24 * HOUR_MS, 24 * HOUR_MS)} if day not in self.store.there(day, day) else {}
        assert self.store.add(self.store.until(), until, {Key(day, user, group, "a100-train"): Sums(*parts)}, there)
        self.loop.until = time.time() + until

    def fill(self, days: int = 30) -> None:
        """Let people hold more from day to day; a stretch of days was not measured, in another nobody was there."""
        for ago in range(days):
            if 18 <= ago < 20:
                continue
            unknown = 20.0 if 8 <= ago < 11 else 0.0
            self.add(ago, "alice", "vision", 10.0 + 2 * (days - ago), 12.0 + ago % 7, unknown)
            self.add(ago, "bob", "nlp", 20.0 + ago % 5, 4.0)
            self.add(ago, "carol", "", 1.0, 22.0 if ago % 3 else 2.0)
