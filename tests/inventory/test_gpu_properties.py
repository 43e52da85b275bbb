"""Whatever a driver tells or refuses to tell, a GPU is handed out only if it is known to be well and free."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mlabhub.core.capacity import Gpu
from mlabhub.core.gpu_types import slice_type
from mlabhub.core.units import ANY_GPU, is_gpu_type
from mlabhub.inventory.gpus import LIGHT_GIB, LIGHT_PART, gpu_type_of, make_gpus, unread, with_missing
from mlabhub.inventory.health import CANNOT_TELL
from mlabhub.inventory.tenants import Tenants

GIB = 2**30
ERRORS = st.integers(1, 30) | st.just(999)
NOBODY = 2**31 - 1
"""A process id that no machine gives out."""

processes = st.lists(st.tuples(st.just(NOBODY), st.none() | st.integers(0, 90 * GIB)).map(list), max_size=3)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "uuid": st.just("GPU-0"),
    "name": st.sampled_from(["NVIDIA A100-SXM4-80GB", "", "\x00"]),
    "memory": st.integers(0, 80 * GIB).map(lambda used: [80 * GIB, used]),
    "compute": processes,
    "graphics": processes,
    "mig": st.sampled_from([[0, 0], [0, 1], [1, 1]]),
    "ecc_volatile": st.integers(0, 2),
    "ecc_aggregate": st.integers(0, 2),
    "remapped": st.lists(st.integers(0, 1), min_size=4, max_size=4),
    "retired_pending": st.integers(0, 1),
    "recovery": st.integers(0, 9),
}


@st.composite
def facts(draw: st.DrawFn, index: int = 0) -> dict[str, Any]:
    """Answers and errors of one GPU, in any mixture."""
    found: dict[str, Any] = {"index": index, "errors": {}, "slices": []}
    for name, values in VALUES.items():
        if draw(st.integers(0, 4)):
            found[name] = draw(values)
        else:
            found["errors"][name] = draw(ERRORS)
    if found.get("mig") == [1, 1]:
        found["slices"] = [
            {"index": 0, "uuid": f"MIG-{index}", "compute": draw(processes), "graphics": [], "errors": {}}
        ]
    return found


@given(st.text(), st.text())
def test_every_type_is_one_that_quotas_and_profiles_can_name(product: str, profile: str) -> None:
    whole = gpu_type_of(product)
    assert is_gpu_type(whole)
    assert whole != ANY_GPU
    assert is_gpu_type(slice_type(whole, profile))


@given(facts(), st.booleans(), st.booleans())
def test_what_is_handed_out_is_known_to_be_well_and_free(told: dict[str, Any], known: bool, held: bool) -> None:
    holder = {"c" * 64: frozenset({"GPU-0", "MIG-0"})} if held else {}
    for gpu in make_gpus([told], "n1", "0123abcd", Tenants(holder, known=known)):
        if not gpu.usable:
            continue
        errors = told["errors"]
        assert "uuid" in told
        assert all(number in CANNOT_TELL for name, number in errors.items() if name != "ecc_aggregate")
        assert not told.get("ecc_volatile")
        assert not told.get("recovery")
        assert not any(told.get("remapped", [0] * 4)[2:])
        own = told["slices"][0] if gpu.parent else told
        assert not own.get("compute")
        if "compute" not in own:
            light = max(LIGHT_GIB, LIGHT_PART * 80) * GIB
            assert known
            assert held or own["memory"][1] < light


@given(st.lists(st.sets(st.integers(0, 5)), min_size=1, max_size=5), st.sets(st.integers(0, 5)))
def test_nothing_that_was_seen_is_forgotten(readings: list[set[int]], held: set[int]) -> None:
    known: tuple[Gpu, ...] = ()
    for reading in readings:
        now = [Gpu(f"GPU-{index}", "a100", "n1", "A100", index=index) for index in sorted(reading)]
        known = with_missing(known, now, {f"GPU-{index}" for index in held})
        assert {gpu.index for gpu in known if gpu.usable} == reading
        assert len({gpu.uuid for gpu in known}) == len(known)
    assert {gpu.index for gpu in known} == set().union(*readings)
    assert not any(gpu.usable for gpu in unread(known))
