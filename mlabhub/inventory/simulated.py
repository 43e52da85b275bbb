"""GPUs that are not there: ``--simulate-gpus 4xA100,4xT4``, to try and to test all else without one."""

from __future__ import annotations

import re
from dataclasses import replace

from mlabhub.core.capacity import Gpu
from mlabhub.engine.cdi import SIMULATED_PREFIX, cdi_name, write_simulated_spec
from mlabhub.errors import InvalidConfiguration
from mlabhub.messages import N_, Message
from mlabhub.settings import Settings

MOST = 256
_GROUP = re.compile(r"\s*(\d{1,3})\s*[xX*]\s*([A-Za-z][A-Za-z0-9-]{0,19})\s*")
_MEMORY_GIB = {"a100": 80.0, "h100": 80.0, "h200": 141.0, "l4": 24.0, "t4": 16.0, "v100": 32.0, "a10": 24.0}


def parse_simulated(text: str) -> dict[str, int]:
    """Return how many GPUs of which type are to be simulated. Raises `InvalidConfiguration`."""
    counts: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _GROUP.fullmatch(part)
        if match is None or int(match[1]) == 0:
            raise InvalidConfiguration(
                Message.of(
                    N_("--simulate-gpus cannot be {part}: give number and type, such as 4xA100, or 4xA100,4xT4."),
                    part=repr(part[:40]),
                )
            )
        gpu_type = match[2].lower()
        counts[gpu_type] = counts.get(gpu_type, 0) + int(match[1])
    if sum(counts.values()) > MOST:
        raise InvalidConfiguration(
            Message.of(
                N_("--simulate-gpus asks for {count} GPUs; at most {most} can be simulated."),
                count=sum(counts.values()),
                most=MOST,
            )
        )
    return counts


def make_simulated(text: str, node: str, instance: str) -> tuple[Gpu, ...]:
    """Return the simulated GPUs of a node."""
    gpus = (
        make_gpu(gpu_type, number, node, instance)
        for gpu_type, count in parse_simulated(text).items()
        for number in range(count)
    )
    return tuple(replace(gpu, index=index) for index, gpu in enumerate(gpus))


def make_gpu(gpu_type: str, number: int, node: str, instance: str) -> Gpu:
    """Return one simulated GPU."""
    uuid = f"{SIMULATED_PREFIX}{gpu_type}-{number}"
    return Gpu(
        uuid=uuid,
        type=gpu_type,
        node=node,
        name=f"{gpu_type.upper()} (simulated)",
        memory_gib=_MEMORY_GIB.get(gpu_type),
        simulated=True,
        cdi=cdi_name(uuid, instance),
    )


def prepare_simulated(settings: Settings) -> None:
    """Tell the container engine of the simulated GPUs, or take back what an earlier start told it. Raises OSError."""
    gpus = make_simulated(settings.simulate_gpus, "", settings.instance)
    write_simulated_spec(settings.instance, [gpu.uuid for gpu in gpus])
