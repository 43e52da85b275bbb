"""Types of GPUs: what they are called, how they are recognised, how dear they are.

Guarantees: values; which type a profile opens on follows from its purpose and the costs alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from pydantic import Field

from mlabhub.core.schema import KeyFault, Model, Positive, Text
from mlabhub.core.units import ANY_GPU, format_gpu_type
from mlabhub.messages import N_, Message

Purpose = Literal["development", "training"]


class GpuTypeSpec(Model):
    """A type of GPU as ``profiles.yaml`` describes it."""

    display_name: Text | None = Field(default=None, description="What people see; absent: the slug in upper case.")
    products: tuple[Text, ...] = Field(
        default=(), description="Product names, or parts of them, as nvidia-smi prints them, that are of this type."
    )
    cost: Positive = Field(
        default=1.0,
        description="How dear it is beside the other types: a profile for development opens on the cheapest of its "
        "types, one for training on the dearest.",
    )


def gpu_type_faults(specs: Mapping[str, GpuTypeSpec]) -> Iterator[KeyFault]:
    """Find a type that is called as all of them are, and products that two types claim."""
    if ANY_GPU in specs:
        yield KeyFault(("gpu_types", ANY_GPU), Message(N_("means every type; choose another name")))
    claimed: dict[str, str] = {}
    for slug, spec in specs.items():
        for index, product in enumerate(spec.products):
            usual = " ".join(product.lower().split())
            if usual in claimed:
                message = Message.of(N_("is of {other} already; keep one of them"), other=claimed[usual])
                yield KeyFault(("gpu_types", slug, "products", index), message)
            claimed.setdefault(usual, slug)


def display_name_of(gpu_type: str | None, specs: Mapping[str, GpuTypeSpec]) -> str:
    """Return what people call a type; any type is ``GPU``."""
    spec = specs.get(gpu_type) if gpu_type is not None else None
    return spec.display_name if spec is not None and spec.display_name else format_gpu_type(gpu_type)


def default_gpu_type(types: Sequence[str], purpose: Purpose | None, specs: Mapping[str, GpuTypeSpec]) -> str | None:
    """Return the type to open on: cheapest for development, dearest for training, else (or if equal) the first."""
    if purpose is None or not types:
        return types[0] if types else None
    choose = min if purpose == "development" else max
    return choose(types, key=lambda gpu_type: specs[gpu_type].cost if gpu_type in specs else 1.0)
