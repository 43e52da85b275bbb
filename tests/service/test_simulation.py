"""Histories from seeds: a failure names its seed, and `Simulation(catalog, seed)` lives through it again."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlabhub.catalog import load_catalog
from mlabhub.core.profiles import Catalog
from tests.service.conftest import make_settings
from tests.service.simulation import Simulation


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return load_catalog(make_settings(tmp_path).config_dir)


async def test_short_histories(catalog: Catalog) -> None:
    for seed in range(150):
        await Simulation(catalog, seed).run(40)


@pytest.mark.long
async def test_long_histories(catalog: Catalog) -> None:
    for seed in range(1000, 1200):
        await Simulation(catalog, seed).run(250)
