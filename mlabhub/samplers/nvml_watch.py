"""Ask NVIDIA's library how GPUs are used, once for each line of standard input. Run as a program, by `samplers.nvml`.

A line in is a list of UUIDs, a line out what is told of each. A program of its own, because a driver may hang and the
library may crash; it lives on between questions, because starting the library costs more than asking, and because the
driver's buffer then tells of all the time in between. It imports nothing of ours, so it starts quickly.

Guarantees: nothing is judged here. A value that the library refuses is absent, with its error's number in ``errors``.
It ends when nobody asks any more, and after an answer in which no GPU could be read: the next one begins afresh.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pynvml as untyped

pynvml: Any = untyped
Facts = dict[str, Any]
BLANK = 2**64 - 1

_VALUES = {0: "dVal", 1: "uiVal", 2: "ulVal", 3: "ullVal"}
"""Where a buffered value is, by its type."""


class Watch:
    """Remembers up to when the driver's buffers were read, by GPU."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], int] = {}

    def answer(self, uuids: Sequence[str]) -> dict[str, Facts]:
        """Return what is told of each GPU."""
        return {uuid: self._read(uuid) for uuid in uuids}

    def _read(self, uuid: str) -> Facts:
        facts: Facts = {"errors": {}, "words": {}}
        try:
            handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        except pynvml.NVMLError as error:
            return {"errors": {"handle": error.value}, "words": {"handle": str(error)}}
        questions: dict[str, Callable[[], Any]] = {
            "mig": lambda: pynvml.nvmlDeviceGetMigMode(handle)[0],
            "utilisation": lambda: pynvml.nvmlDeviceGetUtilizationRates(handle).gpu,
            "buffered": lambda: self._buffered(uuid, handle),
            "memory": lambda: _memory(handle),
            "compute": lambda: _processes(handle, "Compute"),
            "graphics": lambda: _processes(handle, "Graphics"),
            "process_use": lambda: self._process_use(uuid, handle),
        }
        for name, question in questions.items():
            try:
                facts[name] = question()
            except pynvml.NVMLError as error:
                facts["errors"][name] = error.value
                facts["words"][name] = str(error)
        return facts

    def _buffered(self, uuid: str, handle: Any) -> float | None:
        """Return the highest use since the last question; None for the first, whose buffer is of before the server."""
        since = self._seen.get((uuid, "gpu"), 0)
        kind, told = pynvml.nvmlDeviceGetSamples(handle, pynvml.NVML_GPU_UTILIZATION_SAMPLES, since)
        new = self._new((uuid, "gpu"), told)
        values = [getattr(one.sampleValue, _VALUES[kind]) for one in new] if kind in _VALUES else []
        return max(values, default=None)

    def _process_use(self, uuid: str, handle: Any) -> list[list[int]] | None:
        """Return process ids with the highest use of each since the last question; None for the first."""
        since = self._seen.get((uuid, "processes"), 0)
        told = pynvml.nvmlDeviceGetProcessUtilization(handle, since)
        if not since:
            self._new((uuid, "processes"), told)
            return None
        new = self._new((uuid, "processes"), told)
        return [[one.pid, max(one.smUtil, one.encUtil, one.decUtil)] for one in new]

    def _new(self, buffer: tuple[str, str], told: Sequence[Any]) -> list[Any]:
        """Return what is newer than what was seen of a buffer, and remember it; nothing the first time."""
        since = self._seen.get(buffer, 0)
        self._seen[buffer] = max((one.timeStamp for one in told), default=since)
        return [one for one in told if one.timeStamp > since] if since else []


def _memory(handle: Any) -> int:
    """Return used bytes; the newer question leaves out what the driver itself takes."""
    try:
        told = pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2)
    except pynvml.NVMLError as error:
        if error.value not in (pynvml.NVML_ERROR_FUNCTION_NOT_FOUND, pynvml.NVML_ERROR_NOT_SUPPORTED):
            raise
        told = pynvml.nvmlDeviceGetMemoryInfo(handle)
    return int(told.used)


def _processes(handle: Any, kind: str) -> list[list[int | None]]:
    """Return process ids with the bytes that each uses, null where that is not told."""
    try:
        listed = getattr(pynvml, f"nvmlDeviceGet{kind}RunningProcesses_v3")(handle)
    except pynvml.NVMLError_FunctionNotFound:
        listed = getattr(pynvml, f"nvmlDeviceGet{kind}RunningProcesses_v2")(handle)
    return [[one.pid, None if one.usedGpuMemory in (None, BLANK) else one.usedGpuMemory] for one in listed]


def main() -> None:
    """Answer until nobody asks any more."""
    watch: Watch | None = None
    for asked in sys.stdin:
        try:
            if watch is None:
                pynvml.nvmlInit()
                watch = Watch()
        except pynvml.NVMLError as error:
            print(json.dumps({"error": error.value, "text": str(error)}), flush=True)
            return
        gpus = watch.answer(json.loads(asked))
        print(json.dumps({"gpus": gpus}), flush=True)
        if all("handle" in facts["errors"] for facts in gpus.values()):
            return


if __name__ == "__main__":
    main()
