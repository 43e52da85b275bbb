"""The NVIDIA GPUs of this machine, by NVML.

Guarantees: no driver means no GPUs; a driver that fails is an error with a sentence, never "no GPUs"; one GPU that
fails is listed as not healthy, if its UUID can still be read.
"""

from __future__ import annotations

import re
from typing import Any

import pynvml as untyped

from mlabhub.core.capacity import Gpu
from mlabhub.engine.cdi import cdi_name
from mlabhub.errors import Unavailable
from mlabhub.messages import N_, Message

GIB = 2**30
pynvml: Any = untyped
_VENDOR_WORDS = {"nvidia", "tesla", "geforce", "quadro", "graphics", "gpu"}
_VARIANT = re.compile(r"(sxm\d?|pcie|hbm\w*|nvl|\d+gb|\d+g)", re.IGNORECASE)


class NvmlFailed(Unavailable):
    """There is a driver, and it does not work."""

    code = "nvml_failed"


def gpu_type_of(product: str) -> str:
    """Return the slug of a product: ``NVIDIA A100-SXM4-80GB`` is ``a100``, ``NVIDIA GeForce RTX 4090`` ``rtx-4090``."""
    words = [word for word in re.split(r"[\s\-_/]+", product) if word]
    kept = [word for word in words if word.lower() not in _VENDOR_WORDS and not _VARIANT.fullmatch(word)]
    slug = re.sub(r"[^a-z0-9]+", "-", "-".join(kept or words).lower()).strip("-")
    return slug or "gpu"


def read_gpus(node: str, instance: str) -> tuple[Gpu, ...]:
    """Return this machine's GPUs. Raises `NvmlFailed`. Blocks."""
    try:
        pynvml.nvmlInit()
    except (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded):
        return ()
    except pynvml.NVMLError as error:
        raise _failed(error) from error
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return tuple(_read(handle, node, instance) for handle in handles)
    except pynvml.NVMLError as error:
        raise _failed(error) from error
    finally:
        pynvml.nvmlShutdown()


def _read(handle: Any, node: str, instance: str) -> Gpu:
    uuid = str(pynvml.nvmlDeviceGetUUID(handle))
    try:
        name = str(pynvml.nvmlDeviceGetName(handle))
        memory = float(pynvml.nvmlDeviceGetMemoryInfo(handle).total) / GIB
    except pynvml.NVMLError:
        return Gpu(uuid=uuid, type="gpu", node=node, name="GPU", healthy=False, cdi=cdi_name(uuid, instance))
    return Gpu(
        uuid=uuid,
        type=gpu_type_of(name),
        node=node,
        name=name,
        memory_gib=round(memory, 1),
        cdi=cdi_name(uuid, instance),
    )


def _failed(error: Exception) -> NvmlFailed:
    return NvmlFailed(
        Message.of(
            N_("This machine's NVIDIA driver does not work ({reason}). Look at `nvidia-smi`; a restart may help."),
            reason=str(error),
        )
    )
