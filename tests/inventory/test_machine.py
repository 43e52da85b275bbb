"""What this machine has, never more than its cgroups allow."""

from __future__ import annotations

import math
import os
import socket
from pathlib import Path

import psutil
import pytest

from mlabhub.inventory import Inventory
from mlabhub.inventory.machine import Limits, read_limits
from mlabhub.inventory.tenants import Tenants
from tests.engine.podman import make_settings

GIB = 2**30


def write(root: Path, files: dict[str, str]) -> None:
    """Write files below a folder."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        pytest.param("0::/\n", {}, Limits(), id="none"),
        pytest.param(
            "0::/a/b\n",
            {"a/cpu.max": "400000 100000\n", "a/b/cpu.max": "max 100000\n", "a/memory.max": f"{8 * GIB}\n"},
            Limits(4.0, 8 * GIB),
            id="unified, set above",
        ),
        pytest.param(
            "0::/a\n", {"a/cpu.max": "max 100000\n", "a/memory.max": "max\n"}, Limits(), id="unified, unlimited"
        ),
        pytest.param(
            "4:memory:/x\n1:cpu,cpuacct:/x\n",
            {
                "memory/x/memory.limit_in_bytes": str(2 * GIB),
                "memory/memory.limit_in_bytes": "9223372036854771712",
                "cpu,cpuacct/x/cpu.cfs_quota_us": "150000",
                "cpu,cpuacct/x/cpu.cfs_period_us": "100000",
            },
            Limits(1.5, 2 * GIB),
            id="by controller",
        ),
        pytest.param(
            "1:cpu:/\n",
            {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"},
            Limits(),
            id="by controller, unlimited",
        ),
        pytest.param("0::/../../outside\n", {"memory.max": "1024"}, Limits(memory_bytes=1024), id="outside"),
        pytest.param("0::/a\n", {"a/memory.max": "rubbish", "a/cpu.max": ""}, Limits(), id="not a number"),
    ],
)
def test_limits(tmp_path: Path, membership: str, files: dict[str, str], expected: Limits) -> None:
    root = tmp_path / "cgroup"
    root.mkdir()
    write(root, files)
    (tmp_path / "membership").write_text(membership)
    assert read_limits(root, tmp_path / "membership") == expected


def test_no_cgroups_are_no_limits(tmp_path: Path) -> None:
    assert read_limits(tmp_path, tmp_path / "nowhere") == Limits(math.inf, math.inf)


def test_this_machine(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, "0123abcd").model_copy(update={"simulate_gpus": "2xA100,1xT4"})
    [node] = Inventory(settings).read(None, Tenants()).nodes
    assert node.name == socket.gethostname()
    assert 0 < node.cpu <= (os.cpu_count() or 1)
    assert 0 < node.memory_gib <= psutil.virtual_memory().total / GIB
    assert [gpu.uuid for gpu in node.gpus] == ["GPU-sim-a100-0", "GPU-sim-a100-1", "GPU-sim-t4-0"]
