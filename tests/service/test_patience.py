"""An engine that hangs: pages, lists and launches do without what it knows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mlabhub.engine.origin import WantedImage
from mlabhub.engine.own import OwnImage
from mlabhub.inventory import SavedLayer
from mlabhub.inventory.images import Missing
from mlabhub.service import patience
from tests.doubles import ScriptedBackend, ScriptedImages
from tests.service.conftest import Running, make_settings, run_service


class HangingImages(ScriptedImages):
    """An engine that takes questions about images and answers none."""

    async def missing(self, wanted: WantedImage) -> Missing | None:
        await asyncio.Event().wait()
        return None

    async def own(self, user: str) -> tuple[OwnImage, ...]:
        await asyncio.Event().wait()
        return ()


class HangingBackend(ScriptedBackend):
    """The same for what is saved."""

    async def saved(self, user: str) -> tuple[SavedLayer, ...]:
        await asyncio.Event().wait()
        return ()


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    monkeypatch.setattr(patience, "PATIENCE_S", 0.1)
    monkeypatch.setattr(patience, "LAUNCH_PATIENCE_S", 0.1)
    async with run_service(make_settings(tmp_path), backend=HangingBackend(images=HangingImages())) as one:
        yield one


async def test_a_hanging_engine_takes_nothing_along(site: Running) -> None:
    began = time.monotonic()
    assert (await site.call("GET", "api/v1/servers")).status_code == 200
    assert (await site.call("GET", "api/v1/images")).status_code == 503
    assert (await site.call("POST", "api/v1/launches", json={"user_options": {}})).status_code == 201
    assert time.monotonic() - began < 3
