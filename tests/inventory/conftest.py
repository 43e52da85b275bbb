"""What tests of this folder share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.podman import api, ground
from tests.inventory.standin import Standin, compile_library

__all__ = ["api", "ground", "machine", "nvml_library"]


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the compiled library."""
    return compile_library(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def machine(nvml_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Standin:
    """A machine without GPUs, to be written."""
    standin = Standin(nvml_library, tmp_path / "machine.txt")
    standin.use(monkeypatch)
    return standin
