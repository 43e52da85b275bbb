"""What the tests of idle servers have in common."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mlabhub.ledger import MemoryLedger
from tests.service.idle.lab import IdleLab


@pytest.fixture(params=["memory", "sqlite"])
async def lab(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[IdleLab]:
    """Return a running lab on each kind of ledger: half an hour of idleness, then a quarter of grace."""
    memory = MemoryLedger() if request.param == "memory" else None
    one = await IdleLab(tmp_path, memory=memory).boot()
    yield one
    await one.halt()
