"""Quantities: CPU in cores, memory in GiB, GPUs by type. Parse, compare and print them in one place.

Guarantees: printing never rounds an amount to one that is larger than it is; parsing accepts only finite, non-negative
numbers; a resource is called the same in requests, quotas and usage: ``cpu``, ``memory_gib``, ``servers``, ``gpu`` (all
types together) and ``gpu:TYPE``.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache

CPU = "cpu"
MEMORY = "memory_gib"
SERVERS = "servers"
GPU = "gpu"
GPU_PREFIX = "gpu:"

ANY_GPU = "any"
"""In a profile's ``gpu_types``: whatever types the installation has."""

GPU_TYPE_PATTERN = r"[a-z0-9]+(?:[-.][a-z0-9]+)*"
RESOURCE_PATTERN = rf"{CPU}|{MEMORY}|{SERVERS}|{GPU}|{GPU_PREFIX}(?!{ANY_GPU}$){GPU_TYPE_PATTERN}"
_GPU_TYPE = re.compile(GPU_TYPE_PATTERN)
_SLICE = re.compile(r"-(?:\d+c\.)?\d+g\.\d+gb\b")
_MEMORY = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*(?:([KMGT])i?B?)?\s*", re.IGNORECASE)
_GIB_PER_UNIT = {"K": 2.0**-20, "M": 2.0**-10, "G": 1.0, "T": 2.0**10}

_MICRO = 1_000_000


def parse_memory_gib(value: str | float) -> float:
    """Return an amount of memory in GiB: ``16``, ``"16 GiB"``, ``"512 MiB"``. A number alone means GiB.

    Raises
    ------
    ValueError
        It is not a finite, non-negative amount.
    """
    if isinstance(value, bool):
        raise ValueError("true and false are not amounts of memory")
    if isinstance(value, int | float):
        if not is_amount(value):
            raise ValueError("an amount of memory is a finite number, 0 or more")
        return float(value)
    match = _MEMORY.fullmatch(value)
    if match is None:
        raise ValueError("an amount of memory looks like 16, 16 GiB or 512 MiB")
    number, unit = match.groups()
    return float(number) * _GIB_PER_UNIT[(unit or "G").upper()]


def is_amount(value: object) -> bool:
    """Whether ``value`` is a finite number, 0 or more, small enough to compute with (and not true or false)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value <= 1e12 if isinstance(value, int) else math.isfinite(value) and 0 <= value <= 1e12


def is_gpu_type(value: object) -> bool:
    """Whether ``value`` is a GPU type's slug, such as ``a100`` or ``rtx-4090``."""
    return isinstance(value, str) and len(value) <= 40 and _GPU_TYPE.fullmatch(value) is not None


def is_resource(name: str) -> bool:
    """Whether ``name`` is a resource that quotas can speak of."""
    if name.startswith(GPU_PREFIX):
        return is_gpu_type(name[len(GPU_PREFIX) :]) and name != GPU_PREFIX + ANY_GPU
    return name in (CPU, MEMORY, SERVERS, GPU)


def to_micro(amount: float) -> int:
    """Return an amount as a whole number of millionths: sums of these are exact, in any order."""
    return round(amount * _MICRO)


def from_micro(micro: int) -> float:
    """Return the amount that `to_micro` was given."""
    return micro / _MICRO


@lru_cache(4096)
def format_number(value: float) -> str:
    """Print a number without a needless fraction; what must be cut off is cut off, never rounded up."""
    if value != value or value in (math.inf, -math.inf):
        return str(value)
    hundredths = math.floor(value * 100 + 1e-6)
    whole, fraction = divmod(abs(hundredths), 100)
    sign = "-" if hundredths < 0 else ""
    return f"{sign}{whole}.{fraction:02d}".rstrip("0").rstrip(".")


def format_gib(gib: float) -> str:
    """Print an amount of memory: ``16 GiB``, ``1.5 GiB``, ``512 MiB``."""
    if 0 < gib < 1:
        return f"{format_number(gib * 1024)} MiB"
    return f"{format_number(gib)} GiB"


def format_bytes(amount: float) -> str:
    """Print an amount of storage, never more than there is: ``1.5 TiB``, ``16 GiB``, ``0 MiB``."""
    unit, size = next(
        ((unit, size) for unit, size in (("TiB", 2**40), ("GiB", 2**30)) if amount >= size), ("MiB", 2**20)
    )
    digits = 10 if amount < 10 * size else 1
    return f"{format_number(math.floor(amount / size * digits) / digits)} {unit}"


def format_cpu(cores: float) -> str:
    """Print a number of cores: ``4 CPU``."""
    return f"{format_number(cores)} CPU"


def format_gpu_type(gpu_type: str | None) -> str:
    """Print a GPU type: ``A100``, a slice of one ``A100 1g.10gb``; any type is ``GPU``."""
    if not gpu_type:
        return "GPU"
    whole, profile = split_slice(gpu_type)
    return f"{whole.upper()} {profile}".rstrip()


def split_slice(gpu_type: str) -> tuple[str, str]:
    """Return the type of the whole GPU, and the profile of a slice (empty for a whole GPU): ``a100``, ``1g.10gb``."""
    found = _SLICE.search(gpu_type)
    return (gpu_type[: found.start()], gpu_type[found.start() + 1 :]) if found else (gpu_type, "")


def format_gpus(count: float, gpu_type: str | None) -> str:
    """Print a number of GPUs: ``2 A100``, or ``2 GPU`` where any type will do."""
    return f"{format_number(count)} {format_gpu_type(gpu_type)}"


def format_amount(resource: str, amount: float) -> str:
    """Print an amount of a resource by its name in quotas: ``2 A100``, ``16 GiB``, ``4 CPU``."""
    if resource == MEMORY:
        return format_gib(amount)
    if resource == CPU:
        return format_cpu(amount)
    if resource == GPU:
        return format_gpus(amount, None)
    if resource.startswith(GPU_PREFIX):
        return format_gpus(amount, resource[len(GPU_PREFIX) :])
    return f"{format_number(amount)} {resource}"


def amounts(cpu: float, memory_gib: float, gpu_type: str | None, gpus: int, servers: int = 1) -> dict[str, float]:
    """Return the vector of resources that one server takes, keyed as in quotas.

    GPUs count twice, once for all types together and once for their own type; a server without GPUs has neither key.
    """
    vector: dict[str, float] = {CPU: cpu, MEMORY: memory_gib, SERVERS: servers}
    if gpus:
        vector[GPU] = gpus
        if gpu_type:
            vector[GPU_PREFIX + gpu_type] = gpus
    return vector
