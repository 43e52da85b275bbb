"""Ask NVIDIA's library once and print all that it tells as one JSON document. Run as a program, by `inventory.nvml`.

A program of its own, because a driver may hang, the library may crash, and after an update of the driver a library that
is loaded already fits no more: none of that may touch the service. It imports nothing of ours, so it starts quickly.

Guarantees: nothing is judged here. A value that the library refuses is absent, with its error's number in ``errors``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import pynvml as untyped

pynvml: Any = untyped
Facts = dict[str, Any]


def read() -> Facts:
    """Return what the library tells of driver and GPUs, or ``{"error": number, "text": words}``."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return {"error": error.value, "text": str(error)}
    try:
        facts = _ask({"driver": pynvml.nvmlSystemGetDriverVersion, "cuda": pynvml.nvmlSystemGetCudaDriverVersion_v2})
        return {**facts, "gpus": [_read_gpu(index) for index in range(pynvml.nvmlDeviceGetCount())]}
    except pynvml.NVMLError as error:
        return {"error": error.value, "text": str(error)}
    finally:
        pynvml.nvmlShutdown()


def _ask(questions: dict[str, Callable[[], Any]]) -> Facts:
    facts: Facts = {"errors": {}}
    for name, question in questions.items():
        try:
            facts[name] = question()
        except pynvml.NVMLError as error:
            facts["errors"][name] = error.value
    return facts


def _read_gpu(index: int) -> Facts:
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    except pynvml.NVMLError as error:
        return {"index": index, "errors": {"handle": error.value}}
    uncorrected = pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED
    facts = _ask(
        {
            **_common(handle),
            "mig": lambda: pynvml.nvmlDeviceGetMigMode(handle),
            "ecc_volatile": lambda: pynvml.nvmlDeviceGetTotalEccErrors(handle, uncorrected, pynvml.NVML_VOLATILE_ECC),
            "ecc_aggregate": lambda: pynvml.nvmlDeviceGetTotalEccErrors(handle, uncorrected, pynvml.NVML_AGGREGATE_ECC),
            "remapped": lambda: pynvml.nvmlDeviceGetRemappedRows(handle),
            "retired_pending": lambda: pynvml.nvmlDeviceGetRetiredPagesPendingStatus(handle),
            "recovery": lambda: _recovery(handle),
            "utilisation": lambda: pynvml.nvmlDeviceGetUtilizationRates(handle).gpu,
            "persistence": lambda: pynvml.nvmlDeviceGetPersistenceMode(handle),
        }
    )
    slices = _read_slices(handle) if facts.get("mig", [0])[0] == 1 else []
    return {"index": index, **facts, "slices": slices}


def _common(handle: Any) -> dict[str, Callable[[], Any]]:
    """Return what is asked of whole GPUs and of slices alike."""
    return {
        "uuid": lambda: pynvml.nvmlDeviceGetUUID(handle),
        "name": lambda: pynvml.nvmlDeviceGetName(handle),
        "memory": lambda: _memory(handle),
        "compute": lambda: _processes(handle, "Compute"),
        "graphics": lambda: _processes(handle, "Graphics"),
    }


def _read_slices(handle: Any) -> list[Facts]:
    try:
        most = pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)
    except pynvml.NVMLError:
        return []
    found = []
    for number in range(most):
        try:
            mig = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number)
        except pynvml.NVMLError:
            continue  # There are as many places as the GPU could have slices.
        found.append({"index": number, **_ask({**_common(mig), "attributes": _attributes(mig)})})
    return found


def _attributes(mig: Any) -> Callable[[], list[int]]:
    def ask() -> list[int]:
        told = pynvml.nvmlDeviceGetAttributes_v2(mig)
        return [told.gpuInstanceSliceCount, told.computeInstanceSliceCount, told.memorySizeMB]

    return ask


def _memory(handle: Any) -> list[int]:
    """Return total and used bytes; the newer question leaves what the driver itself takes out of what is used."""
    try:
        told = pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2)
    except pynvml.NVMLError as error:
        if error.value not in (pynvml.NVML_ERROR_FUNCTION_NOT_FOUND, pynvml.NVML_ERROR_NOT_SUPPORTED):
            raise
        told = pynvml.nvmlDeviceGetMemoryInfo(handle)
    return [told.total, told.used]


def _processes(handle: Any, kind: str) -> list[list[int | None]]:
    """Return process ids with the bytes that each uses, null where that is not told."""
    try:
        listed = getattr(pynvml, f"nvmlDeviceGet{kind}RunningProcesses_v3")(handle)
    except pynvml.NVMLError_FunctionNotFound:
        listed = getattr(pynvml, f"nvmlDeviceGet{kind}RunningProcesses_v2")(handle)
    return [[process.pid, process.usedGpuMemory] for process in listed]


def _recovery(handle: Any) -> int:
    """Return what the driver wants done with the GPU; 0 is nothing."""
    [value] = pynvml.nvmlDeviceGetFieldValues(handle, [pynvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION])
    if value.nvmlReturn != pynvml.NVML_SUCCESS:
        raise pynvml.NVMLError(value.nvmlReturn)
    return int(value.value.uiVal)


if __name__ == "__main__":
    json.dump(read(), sys.stdout)
