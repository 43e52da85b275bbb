"""What is kept for a short while: the machines' capacity, and the catalogue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from mlabhub.catalog import load_catalog
from mlabhub.core.admission import Capacity, Gpu, Node
from mlabhub.core.gpu_types import GpuTypeSpec
from mlabhub.core.profiles import Catalog
from mlabhub.errors import InvalidConfiguration
from mlabhub.inventory import BackendUnreachable
from mlabhub.service.capacity import FRESH_S, OLDEST_S, CapacityCache
from mlabhub.service.catalogue import SETTLED_AFTER_S, CatalogSource, fault_lines
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


class Source:
    """A catalogue's source whose clock is set, and its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = make_settings(folder).config_dir
        self.clock = Clock()
        self.loads = 0
        self.source = CatalogSource(self.folder, self._load, self.clock)
        self.while_reading: Callable[[], object] = lambda: None

    def _load(self, folder: Path) -> Catalog:
        self.loads += 1
        catalog = load_catalog(folder)
        if self.loads > 1:
            self.while_reading()
        return catalog

    def write(self, users: str) -> None:
        (self.folder / "quotas.yaml").write_text(f"users: {{default: {users}}}\n")

    def look(self, after: float = SETTLED_AFTER_S) -> float | None:
        """Look, wait, look again; return how many GPUs the catalogue in force lets one have."""
        self.source.look()
        self.clock.now += after
        self.source.look()
        return self.source().quotas.user_limit("anyone").get("gpu")


def test_a_changed_catalogue_is_in_force_within_seconds(tmp_path: Path) -> None:
    one = Source(tmp_path)
    one.write("{gpu: 3}")
    assert one.source().quotas.user_limit("anyone")["gpu"] == 8
    assert one.look() == 3
    one.look()
    assert one.loads == 2


def test_an_edit_of_two_files_is_read_when_both_are_written(tmp_path: Path) -> None:
    """The first file names an image that only the second one has."""
    one = Source(tmp_path)
    profiles = (one.folder / "profiles.yaml").read_text()
    (one.folder / "profiles.yaml").write_text(profiles.replace("images: [base]", "images: [torch]"))
    one.look(SETTLED_AFTER_S / 2)
    (one.folder / "images.yaml").write_text("images: {torch: {display_name: T, reference: localhost/t}}\n")
    one.look(SETTLED_AFTER_S / 2)
    assert (one.source.fault, one.loads) == (None, 1)
    one.look()
    assert one.source.fault is None
    assert list(one.source().images_by_slug) == ["torch"]


def test_what_changes_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    one = Source(tmp_path)
    one.while_reading = lambda: one.write("{gpu: 4}") if one.loads == 2 else None
    one.write("{gpu: 3}")
    assert one.look() == 8
    assert one.look() == 4


def test_a_folder_that_never_rests_is_not_read(tmp_path: Path) -> None:
    one = Source(tmp_path)
    for gpus in range(1, 8):
        one.write(f"{{gpu: {gpus}}}")
        assert one.look(SETTLED_AFTER_S / 2) == 8
    assert one.look() == 7


def test_a_faulty_catalogue_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = Source(tmp_path)
    before = one.source()
    one.write("{gpu: -3}")
    one.look()
    assert one.source() is before
    (line,) = fault_lines(one.source.fault)
    assert str(line).endswith("quotas.yaml:1: users.default.gpu: must be 0 or more; it is -3")
    assert "quotas.yaml:1" in caplog.text
    (one.folder / "quotas.yaml").unlink()
    assert one.look() is None
    assert one.source.fault is None


def test_what_is_no_fault_of_the_files_is_told_too() -> None:
    assert [str(line) for line in fault_lines(InvalidConfiguration("The roots overlap."))] == ["The roots overlap."]
    assert fault_lines(None) == ()
