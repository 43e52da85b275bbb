"""Real GPUs through NVML's own interface, served by a small library that stands for NVIDIA's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).with_name("nvml_standin.c")
ASK = """
import dataclasses, json
from mlabhub.errors import MLabError
from mlabhub.inventory.nvml import read_gpus
try:
    print(json.dumps([dataclasses.asdict(gpu) for gpu in read_gpus("n1", "0123abcd")]))
except MLabError as error:
    print(json.dumps(str(error)))
"""
A100 = {
    "uuid": "GPU-11111111-aaaa",
    "type": "a100",
    "node": "n1",
    "name": "NVIDIA A100-SXM4-80GB",
    "memory_gib": 80.0,
    "simulated": False,
    "healthy": True,
    "cdi": "nvidia.com/gpu=GPU-11111111-aaaa",
}
T4 = {
    **A100,
    "uuid": "GPU-22222222-bbbb",
    "type": "t4",
    "name": "Tesla T4",
    "memory_gib": 15.0,
    "cdi": "nvidia.com/gpu=GPU-22222222-bbbb",
}
LOST = {**T4, "type": "gpu", "name": "GPU", "memory_gib": None, "healthy": False}
SENTENCE = "This machine's NVIDIA driver does not work (Unknown Error). Look at `nvidia-smi`; a restart may help."


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the compiled library."""
    folder = tmp_path_factory.mktemp("nvml")
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler, "a C compiler is needed: apt-get install gcc libc6-dev"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", folder / "libnvidia-ml.so.1", SOURCE], check=True)
    return folder


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("", [A100, T4]),
        ("no driver", []),
        ("broken", SENTENCE),
        ("count fails", SENTENCE),
        ("one is lost", [A100, LOST]),
    ],
    ids=["two GPUs", "no driver", "driver broken", "count fails", "one is lost"],
)
def test_what_the_driver_tells(library: Path, fault: str, expected: Any) -> None:
    environment = {**os.environ, "LD_LIBRARY_PATH": str(library), "NVML_STANDIN": fault}
    told = subprocess.run([sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(told.stdout) == expected
