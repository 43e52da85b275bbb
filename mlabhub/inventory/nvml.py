"""What NVIDIA's library tells, asked by a program of its own, with patience.

Guarantees: an answer comes within `PATIENCE_S`, whatever driver and library do; no driver means no GPUs, but a driver
that fails, hangs or crashes is a sentence (`Facts.fault`), never "no GPUs". While a program that asked earlier cannot
be ended, for it hangs in the driver, no other one is started.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from mlabhub.engine import driver
from mlabhub.messages import Message

PATIENCE_S = 30.0
"""Without NVIDIA's persistence daemon a driver wakes its GPUs for each question, one after the other."""

READER = Path(__file__).with_name("nvml_reader.py")


@dataclass(frozen=True)
class Facts:
    """What was told: raw values by GPU, or why there are none. ``cuda`` is the newest CUDA that the driver knows."""

    gpus: tuple[dict[str, Any], ...] = ()
    driver: str = ""
    cuda: str = ""
    has_driver: bool = True
    fault: Message | None = None


@dataclass
class NvmlReader:
    """Asks; one question at a time."""

    patience_s: float = PATIENCE_S
    _stuck: subprocess.Popen[str] | None = None
    _lock: Lock = field(default_factory=Lock)

    def read(self) -> Facts:
        """Return what the library tells now. Blocks, for at most twice the patience."""
        hangs = Facts(fault=Message.of(driver.HANGS, seconds=self.patience_s))
        if not self._lock.acquire(timeout=self.patience_s):
            return hangs
        try:
            if self._stuck is not None and self._stuck.poll() is None:
                return hangs
            self._stuck = None
            return self._ask() or hangs
        finally:
            self._lock.release()

    def _ask(self) -> Facts | None:
        """Return the answer, None if none came in time. A program that cannot be ended is not waited for."""
        asking = subprocess.Popen(
            [sys.executable, "-I", str(READER)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        try:
            told, complaint = asking.communicate(timeout=self.patience_s)
        except subprocess.TimeoutExpired:
            asking.kill()
            for pipe in (asking.stdout, asking.stderr):
                if pipe is not None:
                    pipe.close()
            self._stuck = asking
            return None
        return understand(told, complaint, asking.returncode)


def understand(told: str, complaint: str, status: int) -> Facts:
    """Return the facts in what the program printed."""
    try:
        raw = json.loads(told) if status == 0 else None
    except ValueError:
        raw = None
    if not isinstance(raw, dict):
        return Facts(fault=driver.crashed(complaint, status))
    error = raw.get("error")
    if driver.is_absent(error):
        return Facts(has_driver=False)
    if error is not None:
        return Facts(fault=driver.fault_of(error, str(raw.get("text", error))))
    cuda = raw.get("cuda")
    return Facts(
        gpus=tuple(raw["gpus"]),
        driver=str(raw.get("driver", "")),
        cuda=f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else "",
    )
