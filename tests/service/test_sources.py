"""What is kept for a short while: the machines' capacity, and the catalogue."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mlabhub.catalog import load_catalog
from mlabhub.core.admission import Capacity, Gpu, Node
from mlabhub.core.gpu_types import GpuTypeSpec
from mlabhub.inventory import BackendUnreachable
from mlabhub.service.capacity import FRESH_S, OLDEST_S, CapacityCache
from mlabhub.service.catalogue import LOOK_EVERY_S, CatalogSource
from tests.doubles import ScriptedBackend, make_node
from tests.service.conftest import make_settings


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_capacity_is_asked_once_and_refreshed_behind() -> None:
    clock, backend = Clock(), ScriptedBackend()
    cache = CapacityCache(backend.capacity, clock)
    first, again = await asyncio.gather(cache.get(), cache.get())
    assert first is again
    backend.nodes = (make_node("n2"),)
    clock.now = FRESH_S + 1
    assert await _nodes(cache) == ["n2"]


async def test_a_machine_that_takes_long_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlabhub.service.capacity.PATIENCE_S", 0.01)
    clock, backend, answers = Clock(), ScriptedBackend(), asyncio.Event()

    async def ask() -> Capacity:
        await answers.wait()
        return await backend.capacity()

    cache = CapacityCache(ask, clock)
    answers.set()
    await cache.get()
    answers.clear()
    backend.nodes = (make_node("n2"),)
    clock.now = FRESH_S + 1
    assert await _nodes(cache) == ["n1"]
    answers.set()
    assert await _nodes(cache) == ["n2"]


async def test_gpus_have_the_catalogues_types_without_a_restart() -> None:
    gpus = (Gpu("GPU-1", "a100", "n1", "NVIDIA A100-SXM4-80GB"), Gpu("GPU-2", "t4", "n1", "Tesla T4"))
    backend = ScriptedBackend((Node("n1", 8, 64, gpus),))
    types: list[dict[str, GpuTypeSpec]] = [{}]
    cache = CapacityCache(backend.capacity, Clock(), lambda: types[0])
    before = await cache.get()
    assert before.gpu_types == ("a100", "t4")
    assert await cache.get() is before
    types[0] = {"big": GpuTypeSpec(products=("nvidia a100-sxm4-80gb",))}
    after = await cache.get()
    assert after.gpu_types == ("big", "t4")
    assert await cache.get() is after


async def _nodes(cache: CapacityCache) -> list[str]:
    return [node.name for node in (await cache.get()).nodes]


async def test_capacity_that_is_too_old_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    clock, backend = Clock(), ScriptedBackend()
    cache = CapacityCache(backend.capacity, clock)
    await cache.get()
    backend.down = True
    clock.now = FRESH_S + 1
    assert isinstance(await cache.get(), Capacity)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert "could not be asked" in caplog.text
    clock.now = OLDEST_S + 1
    with pytest.raises(BackendUnreachable):
        await cache.get()
    backend.down = False
    assert isinstance(await cache.get(), Capacity)


def test_a_changed_catalogue_is_in_force_within_seconds(tmp_path: Path) -> None:
    folder = make_settings(tmp_path).config_dir
    clock = Clock()
    source = CatalogSource(folder, load_catalog, clock)
    (folder / "quotas.yaml").write_text("users: {default: {gpu: 3}}\n")
    assert source().quotas.users["default"]["gpu"] == 8
    clock.now += LOOK_EVERY_S
    assert source().quotas.users["default"]["gpu"] == 3


def test_a_faulty_catalogue_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = make_settings(tmp_path).config_dir
    clock = Clock()
    source = CatalogSource(folder, load_catalog, clock)
    before = source()
    (folder / "quotas.yaml").write_text("users: {default: {gpu: -3}}\n")
    clock.now += LOOK_EVERY_S
    assert source() is before
    assert source.fault is not None
    assert "quotas.yaml:1" in caplog.text
    (folder / "quotas.yaml").unlink()
    clock.now += LOOK_EVERY_S
    assert source().quotas.users == {}
    assert source.fault is None
