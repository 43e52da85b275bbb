"""Quantities: parsing, printing, the vector of resources."""

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlabhub.core.units import (
    amounts,
    format_amount,
    format_bytes,
    format_cpu,
    format_gib,
    format_gpu_type,
    format_gpus,
    format_number,
    from_micro,
    is_amount,
    is_gpu_type,
    is_resource,
    parse_memory_gib,
    split_slice,
    to_micro,
)


@pytest.mark.parametrize(
    ("text", "gib"),
    [(16, 16.0), (0.5, 0.5), ("16", 16.0), ("16 GiB", 16.0), ("512 MiB", 0.5), ("1t", 1024.0), (" 2 Gi ", 2.0)],
)
def test_parse_memory(text, gib):
    assert parse_memory_gib(text) == gib


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "1e9", "16 GB/s", "16 PiB", "١", "9" * 400, "1 GiB\n2", math.nan, math.inf, -1, True, 1e300]
)
def test_parse_memory_refuses(text):
    with pytest.raises(ValueError, match="memory"):
        parse_memory_gib(text)


@given(st.text())
def test_parse_memory_is_total(text):
    with suppress(ValueError):
        assert parse_memory_gib(text) >= 0


@pytest.mark.parametrize(
    ("value", "printed"),
    [(4, "4"), (4.0, "4"), (1.5, "1.5"), (0.1 + 0.2, "0.3"), (59.999, "59.99"), (0, "0"), (1e12, "1000000000000")],
)
def test_format_number(value, printed):
    assert format_number(value) == printed


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_format_number_survives(value):
    assert format_number(value) == str(value)


@given(st.floats(min_value=0, max_value=1e9))
def test_format_number_never_rounds_up(value):
    assert float(format_number(value)) <= value + 1e-6


def test_format_amounts():
    assert format_gib(16) == "16 GiB"
    given = (0, 2**20 - 1, 2**30, 1.55 * 2**40, 99.9 * 2**30)
    assert [format_bytes(one) for one in given] == ["0 MiB", "0.9 MiB", "1 GiB", "1.5 TiB", "99 GiB"]
    assert format_gib(0.5) == "512 MiB"
    assert format_cpu(0.5) == "0.5 CPU"
    assert format_gpus(2, "a100") == "2 A100"
    assert format_gpus(1, None) == "1 GPU"
    resources = ["gpu", "gpu:t4", "cpu", "memory_gib", "servers"]
    assert [format_amount(resource, 2) for resource in resources] == ["2 GPU", "2 T4", "2 CPU", "2 GiB", "2 servers"]


@pytest.mark.parametrize("name", ["cpu", "memory_gib", "servers", "gpu", "gpu:a100", "gpu:rtx-4090", "gpu:1g.10gb"])
def test_resources(name):
    assert is_resource(name)


@pytest.mark.parametrize("name", ["", "gpus", "gpu:", "gpu:A100", "gpu:any", "gpu:a b", "gpu:a100\n", "gpu:-a", "CPU"])
def test_not_resources(name):
    assert not is_resource(name)


@pytest.mark.parametrize("value", [None, 1, "", "A100", "а100", "a100\n", "a" * 41, ["a100"]])
def test_not_gpu_types(value):
    assert not is_gpu_type(value)


@pytest.mark.parametrize("value", [True, "1", None, -1, math.nan, math.inf, 10**400, 1e300, [1]])
def test_not_amounts(value):
    assert not is_amount(value)


def test_amounts_count_a_gpu_in_total_and_by_type():
    assert amounts(4, 16, "a100", 2) == {"cpu": 4, "memory_gib": 16, "servers": 1, "gpu": 2, "gpu:a100": 2}
    assert amounts(4, 16, None, 2) == {"cpu": 4, "memory_gib": 16, "servers": 1, "gpu": 2}
    assert amounts(4, 16, None, 0) == {"cpu": 4, "memory_gib": 16, "servers": 1}


@given(st.lists(st.floats(min_value=0, max_value=1e6).map(lambda value: round(value, 3))))
def test_sums_of_millionths_are_exact_in_any_order(values):
    total = sum(map(to_micro, values))
    assert total == sum(map(to_micro, reversed(values)))
    assert all(from_micro(to_micro(value)) == value for value in values)


@pytest.mark.parametrize(
    ("gpu_type", "shown", "parts"),
    [
        ("a100", "A100", ("a100", "")),
        ("rtx-4090", "RTX-4090", ("rtx-4090", "")),
        ("a100-1g.10gb", "A100 1g.10gb", ("a100", "1g.10gb")),
        ("h100-1c.3g.40gb", "H100 1c.3g.40gb", ("h100", "1c.3g.40gb")),
        ("a100-1g.10gb-me", "A100 1g.10gb-me", ("a100", "1g.10gb-me")),
    ],
)
def test_types_of_slices(gpu_type: str, shown: str, parts: tuple[str, str]):
    assert format_gpu_type(gpu_type) == shown
    assert split_slice(gpu_type) == parts
