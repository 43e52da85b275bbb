"""How busy simulated GPUs are made out to be: what ``simulated-use.json`` in the state folder says. For trials.

Guarantees: only simulated GPUs read it. What the file does not say is not known; without it nothing is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mlabhub.core.readings import Reading, Value, Watched, known
from mlabhub.messages import N_, Message
from mlabhub.samplers.nvml import LONGEST_SPAN_S, MOMENT_S

FILE = "simulated-use.json"

SIMULATED = N_("{gpu} is simulated, and {file} does not say how busy it is.")
NOT_JSON = N_("{file}, which says how busy simulated GPUs are, cannot be read ({reason}).")


class SimulatedUse:
    """Reads the file anew for each round: an object with numbers of percent, or ``{"percent": …, "memory_used": …}``.

    Its keys are a server (``alice/``), a GPU's UUID, or ``*`` for all others; the first of these that there is counts.
    """

    def __init__(self, file: Path):
        self._file = file
        self._before: dict[str, float] = {}

    def sample(self, watched: Iterable[Watched], now: float) -> tuple[Reading, ...]:
        """Return a reading of every server that holds GPUs."""
        holders = tuple(one for one in watched if one.gpus)
        told = self._read()
        before, self._before = self._before, {one.launch_id: now for one in holders}
        found = []
        for one in holders:
            earlier = before.get(one.launch_id, now)
            span = now - earlier if 0 < now - earlier <= LONGEST_SPAN_S else MOMENT_S
            found.append(self._reading(one, told, now, span))
        return tuple(found)

    def _read(self) -> Mapping[str, Any] | Message:
        try:
            told = json.loads(self._file.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            return Message.of(NOT_JSON, file=str(self._file), reason=str(error))
        if isinstance(told, dict):
            return told
        return Message.of(NOT_JSON, file=str(self._file), reason=type(told).__name__)

    def _reading(self, one: Watched, told: Mapping[str, Any] | Message, now: float, span: float) -> Reading:
        if isinstance(told, Message):
            nothing = (None,) * len(one.gpus)
            return Reading(one.server, one.launch_id, now, nothing, nothing, span_s=span, reasons=(told,))
        uses = [_use(told, one.server, gpu) for gpu in one.gpus]
        silent = [gpu for gpu, (percent, _) in zip(one.gpus, uses, strict=True) if percent is None]
        return Reading(
            one.server,
            one.launch_id,
            now,
            tuple(percent for percent, _ in uses),
            tuple(memory for _, memory in uses),
            span_s=span,
            reasons=tuple(Message.of(SIMULATED, gpu=gpu, file=str(self._file)) for gpu in silent),
        )


def _use(told: Mapping[str, Any], server: str, gpu: str) -> tuple[Value, Value]:
    """Return percent and bytes; what is said to be busy to some percent without bytes takes none."""
    one = next((told[key] for key in (server, gpu, "*") if key in told), None)
    if not isinstance(one, dict):
        one = {"percent": one}
    percent = known(one.get("percent"), 100)
    return percent, None if percent is None else known(one.get("memory_used", 0))
