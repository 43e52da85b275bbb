"""What several modules about lending have in common."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.service.queue.lab import LENT, Lab, make_catalog


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    """Return a running lab in which nlp has a guarantee, and all others borrow."""
    one = await Lab(tmp_path, make_catalog(LENT)).boot()
    yield one
    await one.halt()
