"""What several looks at a server say together: one report.

Guarantees: what could not be seen is not in a report, never zero; between two reports the most that was seen counts, so
that work of a few seconds is not missed because nobody looked in that moment.
"""

from __future__ import annotations

import time
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

from mlabhub_agent.processes import Process, Seen, cpu_between
from mlabhub_proxies.person import ages, note
from mlabhub_proxies.surroundings import SETTING
from mlabhub_proxies.vscode import ACTIVE, TOOL

Report = dict[str, Any]


class Looking:
    """Remembers what was seen. ``settings`` are those of the server's web application."""

    def __init__(self, settings: MutableMapping[str, Any], monotonic: Callable[[], float] = time.monotonic):
        self._settings = settings
        self._monotonic = monotonic
        self._busy_since: dict[str, float] = {}
        self._most_kernels: int | None = None
        self._most_terminals: int | None = None
        self._touched: dict[object, float] = {}
        self._before: tuple[float, dict[tuple[int, int], Process]] | None = None
        self._now: tuple[float, dict[tuple[int, int], Process]] | None = None

    def take(self, seen: Seen) -> None:
        """Add a look."""
        self._look_at_kernels()
        self._most_terminals = max(self._most_terminals or 0, seen.terminals_busy)
        self._now = self._monotonic(), dict(seen.processes)
        if self._before is None:
            self._before = self._now
        for terminal, at in seen.touched.items():
            self._note_new(terminal, at, "terminal")
        if (active := self._vscode_active()) is not None:
            self._note_new(TOOL.slug, active, TOOL.slug)

    def report(self) -> Report:
        """Return what was seen since the last report; absent is what nobody knows."""
        report: Report = {}
        inputs = ages(self._settings)
        if inputs:
            report["inputs"] = {tool: round(age, 1) for tool, age in inputs.items()}
            report["input_age"] = min(report["inputs"].values())
        if self._most_kernels is not None:
            report["kernels_busy"] = self._most_kernels
        if self._busy_since:
            report["kernels_busy_age"] = round(self._monotonic() - min(self._busy_since.values()), 1)
        if self._most_terminals is not None:
            report["terminals_busy"] = self._most_terminals
        cores = self._cores()
        if cores is not None:
            report["cpu_cores"] = cores
        self._most_kernels = self._most_terminals = None
        self._before = self._now
        return report

    def _look_at_kernels(self) -> None:
        kernels = self._settings.get("kernel_manager")
        if kernels is None:
            return
        now = self._monotonic()
        busy = [one for one in kernels.list_kernel_ids() if _is_busy(kernels, one)]
        self._busy_since = {one: self._busy_since.get(one, now) for one in busy}
        self._most_kernels = max(self._most_kernels or 0, len(busy))

    def _note_new(self, what: object, at: float, tool: str) -> None:
        """Note a person if something has another time than at the last look: which, by whatever clock, is no matter."""
        if self._touched.get(what) != at:
            self._touched[what] = at
            note(self._settings, tool)

    def _vscode_active(self) -> float | None:
        """Return when our extension last touched its file; None if it never has, or is not there."""
        surroundings = self._settings.get(SETTING)
        running = surroundings.running.get(TOOL.slug) if surroundings is not None else None
        if running is None or running.folder is None:
            return None
        try:
            return Path(running.folder, ACTIVE).stat().st_mtime
        except OSError:
            return None

    def _cores(self) -> float | None:
        if self._before is None or self._now is None or self._now[0] <= self._before[0]:
            return None
        return round(cpu_between(self._before[1], self._now[1]) / (self._now[0] - self._before[0]), 3)


def _is_busy(kernels: Any, kernel_id: str) -> bool:
    try:
        return getattr(kernels.get_kernel(kernel_id), "execution_state", None) == "busy"
    except KeyError:
        return False  # It has ended just now.
