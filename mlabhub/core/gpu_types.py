"""Types of GPUs: what they are called, how they are recognised, how dear they are.

Guarantees: values; which type a profile opens on follows from its purpose and the costs alone; a type that the
catalogue gives to a product wins over the one that is made from the product's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from operator import is_not
from typing import Literal

from pydantic import Field

from mlabhub.core.capacity import Capacity, Gpu, Node
from mlabhub.core.schema import KeyFault, Model, Positive, Text
from mlabhub.core.units import ANY_GPU, format_gpu_type, split_slice
from mlabhub.messages import N_, Message

MOST_LETTERS = 40
Purpose = Literal["development", "training"]


class GpuTypeSpec(Model):
    """A type of GPU as ``profiles.yaml`` describes it."""

    display_name: Text | None = Field(default=None, description="What people see; absent: the slug in upper case.")
    products: tuple[Text, ...] = Field(
        default=(),
        description="Product names as nvidia-smi prints them, or some of their words in the same order, that are of "
        "this type. The whole name wins, then the most words; upper and lower case are the same.",
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
                message = Message.of(N_("already belongs to {other}; keep one of them"), other=claimed[usual])
                yield KeyFault(("gpu_types", slug, "products", index), message)
            claimed.setdefault(usual, slug)


def display_name_of(gpu_type: str | None, specs: Mapping[str, GpuTypeSpec]) -> str:
    """Return what people call a type, or a slice of it; any type is ``GPU``."""
    whole, profile = split_slice(gpu_type or "")
    for slug, rest in ((gpu_type, ""), (whole, profile)):
        spec = specs.get(slug or "")
        if spec is not None and spec.display_name:
            return f"{spec.display_name} {rest}".rstrip()
    return format_gpu_type(gpu_type)


def default_gpu_type(types: Sequence[str], purpose: Purpose | None, specs: Mapping[str, GpuTypeSpec]) -> str | None:
    """Return the type to open on: cheapest for development, dearest for training, else (or if equal) the first."""
    if purpose is None or not types:
        return types[0] if types else None
    choose = min if purpose == "development" else max
    return choose(types, key=lambda gpu_type: specs[gpu_type].cost if gpu_type in specs else 1.0)


def type_of_product(product: str, specs: Mapping[str, GpuTypeSpec]) -> str | None:
    """Return the type that the catalogue gives to a product; None if it gives none."""
    words = _words(product)
    best, found = 0, None
    for slug, spec in specs.items():
        for listed in map(_words, spec.products):
            score = len(words) + 1 if listed == words else len(listed) if _is_within(listed, words) else 0
            if score > best:
                best, found = score, slug
    return found


Typed = tuple[Capacity, Capacity]
"""Machines before and after they had the catalogue's types."""


def with_types(capacity: Capacity, specs: Mapping[str, GpuTypeSpec], before: Typed | None = None) -> Capacity:
    """Return the same machines with the catalogue's types; a slice has its GPU's type and its profile.

    ``before`` are machines that had the same types given to them: those that have not changed since stay the same.
    """
    known = {id(old): new for old, new in zip(before[0].nodes, before[1].nodes, strict=True)} if before else {}
    types: dict[tuple[str, str], str | None] = {}
    nodes = tuple(known.get(id(node)) or _typed_node(node, specs, types) for node in capacity.nodes)
    return Capacity(nodes) if any(map(is_not, nodes, capacity.nodes)) else capacity


def _typed_node(node: Node, specs: Mapping[str, GpuTypeSpec], types: dict[tuple[str, str], str | None]) -> Node:
    """Return a node with its types; ``types`` remembers what was found for a name and profile."""
    renamed: dict[str, str] = {}
    gpus = []
    for gpu in node.gpus:
        key = (gpu.name, gpu.mig)
        if key not in types:
            types[key] = _type_of(gpu, specs)
        found = None if gpu.simulated else types[key]
        if found is not None and found != gpu.type:
            renamed[gpu.type] = found
            gpu = replace(gpu, type=found)
        gpus.append(gpu)
    if not renamed:
        return node
    takers = tuple(replace(taker, gpus=_renamed(taker.gpus, renamed)) for taker in node.takers)
    return replace(node, gpus=tuple(gpus), gpus_taken=_renamed(node.gpus_taken, renamed), takers=takers)


def _renamed(counts: Mapping[str, int], renamed: Mapping[str, str]) -> dict[str, int]:
    new: dict[str, int] = {}
    for gpu_type, count in counts.items():
        slug = renamed.get(gpu_type, gpu_type)
        new[slug] = new.get(slug, 0) + count
    return new


def _type_of(gpu: Gpu, specs: Mapping[str, GpuTypeSpec]) -> str | None:
    exact = {" ".join(_words(product)): slug for slug, spec in specs.items() for product in spec.products}
    own = exact.get(" ".join(_words(gpu.name)))
    if own is not None or not gpu.mig:
        return own or type_of_product(gpu.name, specs)
    whole = type_of_product(gpu.name.removesuffix(gpu.mig).removesuffix("MIG "), specs)
    return None if whole is None else slice_type(whole, gpu.mig)


def slice_type(whole_type: str, profile: str) -> str:
    """Return the type of a slice: that of its GPU, and its profile: ``a100-1g.10gb``."""
    cleaned = re.sub(r"[^a-z0-9]*(?:[^a-z0-9.]|\.[^a-z0-9])[^a-z0-9]*", "-", profile.lower()).strip("-.")
    return f"{whole_type}-{cleaned or 'slice'}"[:MOST_LETTERS].strip("-.")


def _words(product: str) -> tuple[str, ...]:
    return tuple(word for word in re.split(r"[\s\-_/]+", product.lower()) if word)


def _is_within(some: Sequence[str], words: Sequence[str]) -> bool:
    """Return whether some words are among others, in the same order."""
    rest = iter(words)
    return bool(some) and all(word in rest for word in some)
