"""The bench of idle tools: what it counts, on processes whose use is known."""

from __future__ import annotations

import subprocess
import sys
import time

import psutil
import pytest

from tests.bench.bench_idle_tools import CASES, MIB, look, watch
from tests.installation import wait_for

HOLD = "import time; held = bytes(range(256)) * (80 * 4096); print('held', flush=True); time.sleep(60)"


def test_a_child_and_its_memory_are_counted() -> None:
    spawn = f"import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {HOLD!r}]); child.wait()"
    parent = subprocess.Popen([sys.executable, "-c", spawn])
    try:
        wait_for(lambda: look(parent.pid).memory > 80 * MIB, 20, "80 MiB in a child")
        assert look(parent.pid).processes == 2
    finally:
        for process in [*psutil.Process(parent.pid).children(), parent]:
            process.kill()
        parent.wait()


@pytest.mark.long
def test_a_busy_core_is_seen_and_a_sleeper_is_not() -> None:
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    idle = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        time.sleep(1)
        figures = watch({"busy": busy.pid, "idle": idle.pid}, 0.05)
    finally:
        for process in (busy, idle):
            process.kill()
            process.wait()
    # On a machine that is busy itself the share of one process is small, but never next to nothing.
    assert figures["busy"]["cpu_percent_of_a_core"] > 5
    assert figures["idle"]["cpu_percent_of_a_core"] < 1
    assert CASES.keys() >= {"nothing", "lab", "vscode", "terminal", "desktop", "tensorboard"}
