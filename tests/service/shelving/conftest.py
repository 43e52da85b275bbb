"""A lab whose servers can give their GPUs back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mlabhub.core.profiles import Catalog
from mlabhub.ledger import Ledger, Shelved
from mlabhub.service.launcher import Launcher
from mlabhub.service.shelving.desk import ShelvingDesk
from mlabhub.service.views import Person
from tests.service.queue.lab import IMAGE, PROFILE, Lab

ALICE, BOB, ADMIN = Person("alice", groups=("vision",)), Person("bob", groups=("vision",)), Person("admin", admin=True)
GPU_ONLY = {**PROFILE, "slug": "train", "display_name": "Train", "gpus": {"min": 1, "max": 8, "default": 1}}
CPU = {**PROFILE, "slug": "cpu", "display_name": "CPU", "gpus": 0, "gpu_types": [], "choose_gpu": False}


def make_catalog(*profiles: dict[str, Any], quotas: dict[str, Any] | None = None) -> Catalog:
    """Return a catalogue with these profiles."""
    return Catalog.model_validate({"profiles": profiles or [PROFILE], "images": [IMAGE], "quotas": quotas or {}})


class ShelvingLab(Lab):
    """A lab with the launcher and the desk."""

    def __init__(self, folder: Path, catalog: Catalog | None = None, memory: Ledger | None = None):
        super().__init__(folder, catalog or make_catalog(), memory=memory)
        self.hub.add_user("admin", admin=True)

    async def boot(self) -> ShelvingLab:
        """Start the service."""
        await super().boot()
        self.launcher = Launcher(self.world, self.reconciler.settle, self.reconciler.wake)
        self.shelving = ShelvingDesk(self.world, self.launcher)
        return self

    async def pass_time(self, seconds: float = 0.0) -> None:
        """Let time pass; everybody looks, and what follows is done."""
        await self.look(seconds)
        for _ in range(3):
            await self.shelving.care.tend()
            await self.look()

    def shelved(self, user: str = "alice", server: str = "") -> Shelved | None:
        """Return what the ledger says of a server that gave its GPUs back."""
        return self.projection.shelved.get((user, server))

    def state(self, user: str = "alice") -> str | None:  # type: ignore[override]
        """Return how far it is."""
        known = self.shelved(user)
        return None if known is None else known.state

    def gpus(self, user: str = "alice", server: str = "") -> int | None:
        """Return how many GPUs a server holds; None if it does not run."""
        one = self.projection.of_server(user, server)
        return None if one is None else len(one.gpus)


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[ShelvingLab]:
    """Return a running lab: four GPUs, of which alice has two."""
    one = await ShelvingLab(tmp_path).boot()
    yield one
    await one.halt()
