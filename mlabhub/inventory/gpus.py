"""From what NVIDIA's library tells to GPUs as the hub sees them: type, slices, health, and who uses them.

Guarantees: a GPU is called free only if it is known to be: its list of processes was read and names nobody outside of
the hub, or, where a board has no such list, its memory is all but empty. A GPU that was there and is not told of any
more stays listed, as not healthy.

Two rules make this livable. What a display takes (processes that only draw, together below `LIGHT_GIB` or a tenth of
the memory) is named and blocks nothing. Where processes cannot be listed at all (WSL, some virtual GPUs), memory in use
below the same bound counts as free.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mlabhub.core.capacity import Gpu, GpuProcess
from mlabhub.core.gpu_types import slice_type
from mlabhub.core.units import ANY_GPU
from mlabhub.engine.cdi import cdi_name
from mlabhub.inventory.health import CANNOT_TELL, Health, assess
from mlabhub.inventory.tenants import Tenants, name_of
from mlabhub.messages import N_, Message

GIB = 2**30
LONGEST_TYPE = 24
"""So that the type of a slice, with its profile, is not too long either."""
LIGHT_GIB = 1.0
LIGHT_PART = 0.1
NAMELESS = "GPU-unknown-"
GONE = N_(
    "The driver no longer lists it: it has fallen off the bus, or was taken out. Restart the machine, or "
    "mlabhub if that was meant."
)
NO_UUID = N_("The driver does not tell its UUID, so it cannot be handed out.")
_VENDOR_WORDS = {"nvidia", "tesla", "geforce", "quadro", "graphics", "gpu"}
_VARIANT = re.compile(r"(sxm\d?|pcie|hbm\w*|nvl|\d+gb|\d+g)", re.IGNORECASE)
_SLICE_NAME = re.compile(r"\bMIG\s+(\S+)\s*$")

Processes = tuple[GpuProcess, ...]


def gpu_type_of(product: str) -> str:
    """Return the slug of a product: ``NVIDIA A100-SXM4-80GB`` is ``a100``, ``NVIDIA GeForce RTX 4090`` ``rtx-4090``."""
    words = [word for word in re.split(r"[\s\-_/]+", product) if word]
    kept = [word for word in words if word.lower() not in _VENDOR_WORDS and not _VARIANT.fullmatch(word)]
    slug = re.sub(r"[^a-z0-9]+", "-", "-".join(kept or words).lower())[:LONGEST_TYPE].strip("-")
    return slug if slug not in ("", ANY_GPU) else "gpu"


def make_gpus(facts: Iterable[Mapping[str, Any]], node: str, instance: str, tenants: Tenants) -> tuple[Gpu, ...]:
    """Return the GPUs of a node; the slices of a divided one follow it."""
    return tuple(gpu for one in facts for gpu in _make(one, node, instance, tenants))


def _make(facts: Mapping[str, Any], node: str, instance: str, tenants: Tenants) -> Iterator[Gpu]:
    health = assess(facts)
    if not facts.get("uuid"):
        health = Health(False, health.words or (Message(NO_UUID),))
    index: int = facts["index"]
    uuid = str(facts.get("uuid") or f"{NAMELESS}{index}")
    product = str(facts.get("name") or "GPU")
    divided = facts.get("mig", [0])[0] == 1
    whole = Gpu(
        uuid=uuid,
        type=gpu_type_of(product),
        node=node,
        name=product,
        memory_gib=_memory_gib(facts),
        used_gib=_used_gib(facts),
        utilisation=None if divided else facts.get("utilisation"),
        healthy=health.healthy,
        cdi=cdi_name(uuid, instance),
        index=index,
        health=health.words,
        divided=divided,
    )
    if divided:
        yield whole
        for one in facts.get("slices", ()):
            if one.get("uuid"):
                yield _slice(one, whole, instance, tenants, health)
        return
    busy, processes = judge(facts, uuid, tenants)
    yield replace(whole, busy=busy, processes=processes)


def _slice(facts: Mapping[str, Any], whole: Gpu, instance: str, tenants: Tenants, of_whole: Health) -> Gpu:
    """Return a slice. It is as healthy as its GPU, and besides it must be readable itself."""
    uuid, profile = str(facts["uuid"]), profile_of(facts)
    own = assess({"errors": facts.get("errors", {})})
    busy, processes = judge(facts, uuid, tenants)
    return replace(
        whole,
        uuid=uuid,
        type=slice_type(whole.type, profile),
        name=f"{whole.name} MIG {profile}",
        memory_gib=_memory_gib(facts),
        used_gib=_used_gib(facts),
        utilisation=None,
        healthy=of_whole.healthy and own.healthy,
        health=(*of_whole.words, *own.words),
        cdi=cdi_name(uuid, instance),
        busy=busy,
        processes=processes,
        divided=False,
        mig=profile,
        parent=whole.uuid,
    )


def profile_of(facts: Mapping[str, Any]) -> str:
    """Return a slice's profile (``1g.10gb``), by its name, or else by what it has."""
    named = _SLICE_NAME.search(str(facts.get("name", "")))
    if named:
        return named[1].lower()
    gpu_slices, compute_slices, megabytes = facts.get("attributes", (0, 0, 0))
    if not gpu_slices:
        return "slice"
    compute = f"{compute_slices}c." if compute_slices not in (0, gpu_slices) else ""
    return f"{compute}{gpu_slices}g.{-(-megabytes // 1024)}gb"


def judge(facts: Mapping[str, Any], uuid: str, tenants: Tenants) -> tuple[bool | None, Processes]:
    """Return whether something outside of the hub uses a GPU (None: it cannot be told), and which processes do."""
    errors: Mapping[str, int] = facts.get("errors", {})
    if errors.get("compute") in CANNOT_TELL:
        return _by_memory(facts, uuid, tenants), ()
    if "compute" not in facts or ("graphics" not in facts and errors.get("graphics") not in CANNOT_TELL):
        return None, ()
    compute = _foreign(facts["compute"], uuid, tenants)
    computing = {process.pid for process in compute}
    drawing = tuple(
        process for process in _foreign(facts.get("graphics", ()), uuid, tenants) if process.pid not in computing
    )
    light = _is_light(drawing, facts)
    drawing = tuple(replace(process, blocks=light is not True) for process in drawing)
    if not compute and light is True:
        return False, drawing
    busy: bool | None = True
    if not tenants.known or (not compute and light is None):
        busy = None
    return busy, (*compute, *drawing)


def _foreign(listed: Iterable[Sequence[int | None]], uuid: str, tenants: Tenants) -> Processes:
    """Return the processes that no server accounts for."""
    return tuple(
        GpuProcess(pid, name_of(pid), None if used is None else round(used / GIB, 2), launch_id=tenants.launch_of(pid))
        for pid, used in listed
        if pid is not None and not tenants.accounts_for(pid, uuid)
    )


def _is_light(drawing: Processes, facts: Mapping[str, Any]) -> bool | None:
    """Return whether processes that only draw take next to nothing; None if that cannot be told."""
    if not drawing:
        return True
    each = [process.memory_gib for process in drawing]
    used = None if None in each else sum(amount for amount in each if amount is not None)
    return _below_bound(facts, used)


def _below_bound(facts: Mapping[str, Any], used_gib: float | None) -> bool | None:
    total, used = facts.get("memory", (None, None))
    if total is None:
        return None
    taken = used / GIB if used_gib is None else used_gib
    return bool(taken < max(LIGHT_GIB, LIGHT_PART * total / GIB))


def _by_memory(facts: Mapping[str, Any], uuid: str, tenants: Tenants) -> bool | None:
    """Judge a GPU without a list of processes. What is in use while a server holds it is put down to that server."""
    if not tenants.known:
        return None
    if uuid in tenants.held:
        return False
    free = _below_bound(facts, None)
    return None if free is None else not free


def _memory_gib(facts: Mapping[str, Any]) -> float | None:
    memory = facts.get("memory")
    return None if memory is None else round(memory[0] / GIB, 1)


def _used_gib(facts: Mapping[str, Any]) -> float | None:
    memory = facts.get("memory")
    return None if memory is None else round(memory[1] / GIB, 1)


def _unknown(gpu: Gpu, **more: Any) -> Gpu:
    """Return a GPU of which nothing of now is known."""
    return replace(gpu, busy=None, processes=(), utilisation=None, used_gib=None, **more)


def with_missing(known: Iterable[Gpu], now: Sequence[Gpu], held: Collection[str]) -> tuple[Gpu, ...]:
    """Return the GPUs of now, and those of before that are not told of any more; of slices only those that are held.

    One that cannot even tell its UUID now is the one which was at its place before.
    """
    there = {gpu.uuid for gpu in now}
    named = [gpu for gpu in known if gpu.uuid not in there and not gpu.uuid.startswith(NAMELESS)]
    missing = [gpu for gpu in named if not gpu.parent or gpu.uuid in held]
    places = {gpu.index for gpu in missing if not gpu.parent}
    kept = [gpu for gpu in now if not (gpu.uuid.startswith(NAMELESS) and gpu.index in places)]
    gone = [_unknown(gpu, healthy=False, health=(Message(GONE),), divided=False) for gpu in missing]
    ordered = sorted((*kept, *gone), key=lambda gpu: (gpu.index is None, gpu.index or 0, gpu.parent != ""))
    return tuple(ordered)


def unread(known: Iterable[Gpu]) -> tuple[Gpu, ...]:
    """Return what was known before, while nothing can be read: whether it is free, nobody knows."""
    return tuple(_unknown(gpu) for gpu in known)
