"""A machine with NVIDIA GPUs as a test wants it: its library is `nvml_standin.c`, driven by a text file.

A test takes the fixture ``machine`` and writes what there is; `whole` and `slice_of` make the lines of a healthy GPU.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("nvml_standin.c")
GIB = 2**30


def compile_library(folder: Path) -> Path:
    """Compile the library into a folder and return that."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler, "a C compiler is needed: apt-get install gcc libc6-dev"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", folder / "libnvidia-ml.so.1", SOURCE], check=True)
    return folder


@dataclass
class Standin:
    """One machine; `write` changes it at run time."""

    library: Path
    file: Path

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let programs that are started from now on see this machine."""
        above = os.environ.get("LD_LIBRARY_PATH", "")
        monkeypatch.setenv("LD_LIBRARY_PATH", f"{self.library}:{above}" if above else str(self.library))
        monkeypatch.setenv("NVML_STANDIN", str(self.file))

    def write(self, *parts: dict[str, object]) -> None:
        """Set the machine; a count of GPUs is made from what is there unless it is given."""
        lines = {"driver": "570.86.15", "cuda": 12080, **{key: value for part in parts for key, value in part.items()}}
        gpus = {key.split(".")[0] for key in lines if key.startswith("gpu")}
        lines.setdefault("count", len(gpus))
        new = self.file.with_suffix(".new")
        new.write_text("".join(f"{key} {value}\n" for key, value in lines.items()))
        new.replace(self.file)


def whole(index: int, name: str = "NVIDIA A100-SXM4-80GB", gib: float = 80, **more: object) -> dict[str, object]:
    """Return the lines of a healthy GPU that nobody uses, with others added or changed (None: left out)."""
    lines: dict[str, object] = {
        "uuid": f"GPU-{index:08d}",
        "name": name,
        "memory": f"{int(gib * GIB)} 0",
        "mig": "0 0",
        "compute": "",
        "graphics": "",
        "ecc_volatile": 0,
        "ecc_aggregate": 0,
        "remapped": "0 0 0 0",
        "retired_pending": 0,
        "recovery": 0,
    }
    lines.update({key.replace("__", "."): value for key, value in more.items()})
    return {f"gpu{index}.{key}": value for key, value in lines.items() if value is not None}


def slice_of(index: int, number: int, profile: str = "1g.10gb", **more: object) -> dict[str, object]:
    """Return the lines of a slice; its GPU needs ``mig="1 1"``."""
    lines: dict[str, object] = {
        "uuid": f"MIG-{index}-{number}",
        "name": f"NVIDIA A100-SXM4-80GB MIG {profile}",
        "memory": f"{10 * GIB} 0",
        "compute": "",
        "attributes": "1 1 9728",
    }
    lines.update({key.replace("__", "."): value for key, value in more.items()})
    return {f"gpu{index}.mig{number}.{key}": value for key, value in lines.items() if value is not None}


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the compiled library."""
    return compile_library(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def machine(nvml_library: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Standin:
    """A machine without GPUs, to be written."""
    standin = Standin(nvml_library, tmp_path_factory.mktemp("machine") / "machine.txt")
    standin.use(monkeypatch)
    return standin
