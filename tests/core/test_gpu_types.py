"""Types of GPUs: which product is of which, and what a slice is called."""

from __future__ import annotations

import pytest

from mlabhub.core.capacity import Capacity, Gpu, Node
from mlabhub.core.gpu_types import GpuTypeSpec, display_name_of, type_of_product, with_types

SPECS = {
    "a100": GpuTypeSpec(display_name="A100 80 GB", products=("NVIDIA A100-SXM4-80GB", "A100 PCIe")),
    "small": GpuTypeSpec(products=("A100", "Tesla T4")),
    "dear": GpuTypeSpec(cost=10.0),
}


@pytest.mark.parametrize(
    ("product", "expected"),
    [
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("nvidia  a100 sxm4 80gb", "a100"),
        ("NVIDIA A100 80GB PCIe", "a100"),
        ("NVIDIA A100-SXM4-40GB", "small"),
        ("NVIDIA A1000", None),
        ("Tesla T4", "small"),
        ("Tesla T40", None),
        ("", None),
    ],
)
def test_products(product: str, expected: str | None) -> None:
    assert type_of_product(product, SPECS) == expected


def test_the_catalogues_types_win_over_names() -> None:
    whole = Gpu("GPU-1", "a100", "n1", "NVIDIA A100-SXM4-40GB", divided=True)
    gpus = (
        whole,
        Gpu("MIG-1", "a100-1g.5gb", "n1", "NVIDIA A100-SXM4-40GB MIG 1g.5gb", mig="1g.5gb", parent="GPU-1"),
        Gpu("GPU-2", "t4", "n1", "Tesla T4"),
        Gpu("GPU-3", "t4", "n1", "Tesla T4 (simulated)", simulated=True),
        Gpu("GPU-4", "v100", "n1", "Tesla V100"),
    )
    typed = with_types(Capacity((Node("n1", 8, 64, gpus),)), SPECS)
    assert [gpu.type for gpu in typed.gpus.values()] == ["small", "small-1g.5gb", "small", "t4", "v100"]
    assert with_types(typed, {}) is typed


def test_a_slice_may_be_a_type_of_its_own() -> None:
    slices = (Gpu("MIG-1", "a100-1g.5gb", "n1", "NVIDIA A100 MIG 1g.5gb", mig="1g.5gb", parent="GPU-1"),)
    specs = {**SPECS, "teaching": GpuTypeSpec(products=("NVIDIA A100 MIG 1g.5gb",))}
    assert with_types(Capacity((Node("n1", 8, 64, slices),)), specs).gpu_types == ("teaching",)


@pytest.mark.parametrize(
    ("gpu_type", "shown"),
    [
        ("a100", "A100 80 GB"),
        ("a100-1g.10gb", "A100 80 GB 1g.10gb"),
        ("dear", "DEAR"),
        ("t4-1g.10gb", "T4 1g.10gb"),
        (None, "GPU"),
    ],
)
def test_names(gpu_type: str | None, shown: str) -> None:
    assert display_name_of(gpu_type, SPECS) == shown
