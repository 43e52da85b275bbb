"""What a server goes on as without its GPUs."""

from __future__ import annotations

from typing import Any

import pytest

from mlabhub.core.profiles import Catalog
from mlabhub.core.shelving import Was, WithoutGpus, without_gpus
from mlabhub.messages import Message

BASE: dict[str, Any] = {
    "display_name": "Train",
    "images": ["base", "torch"],
    "cpu": {"min": 2, "max": 32, "default": 4, "step": 2},
    "memory_gib": {"min": 1, "max": 256, "default": 8},
    "gpus": {"min": 1, "max": 4, "default": 1},
    "gpu_types": ["a100", "t4"],
}
TRAIN = {**BASE, "slug": "train", "options": {"licence": {"display_name": "L", "variable": "L", "choices": [1, 2]}}}
FLEXIBLE = {**BASE, "slug": "flexible", "display_name": "Flexible", "gpus": {"min": 0, "max": 4, "default": 1}}
NO_GPU = {key: value for key, value in BASE.items() if key not in ("gpus", "gpu_types")}
SMALL = {**NO_GPU, "slug": "small", "display_name": "Small", "cpu": [1, 2, 4], "memory_gib": 2}
LARGE = {**NO_GPU, "slug": "large", "display_name": "Large", "cpu": {"min": 1, "max": 64, "default": 1}}
OPTIONS = {"profile": "train", "image": "torch", "gpus": 2, "gpu_type": "a100", "group": "vision", "gpu_ids": None}


def make_catalog(*profiles: dict[str, Any]) -> Catalog:
    images = [
        {"slug": slug, "display_name": slug, "reference": f"localhost/mlabhub/{slug}:latest"}
        for slug in ("base", "torch")
    ]
    return Catalog.model_validate({"profiles": profiles, "images": images})


def choose(*profiles: dict[str, Any], groups: tuple[str, ...] = ("vision",), **changes: Any) -> WithoutGpus | Message:
    options = {**OPTIONS, **changes}
    was = Was(options, options["profile"], options["image"], 10.0, 40.0)
    return without_gpus(make_catalog(*profiles), "alice", groups, was)


def test_its_own_profile_comes_first() -> None:
    chosen = choose(LARGE, FLEXIBLE, profile="flexible")
    assert isinstance(chosen, WithoutGpus)
    assert chosen.options == {
        "profile": "flexible",
        "image": "torch",
        "group": "vision",
        "gpus": 0,
        "cpu": 10.0,
        "memory_gib": 40.0,
    }
    assert str(chosen.said) == "It goes on without GPUs in its profile, Flexible."


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        pytest.param((SMALL, LARGE), "large", id="the nearest in size"),
        pytest.param((LARGE, {**LARGE, "slug": "same"}), "large", id="the first of the catalogue"),
        pytest.param(({**LARGE, "groups": ["nlp"]}, SMALL), "small", id="one that is open to the person"),
        pytest.param(({**LARGE, "images": ["base"]}, SMALL), "small", id="one with the image"),
        pytest.param(({**LARGE, "egress": "open"}, SMALL), "small", id="one with the same network"),
        pytest.param(({**LARGE, "gpus": 1, "gpu_types": ["t4"]}, SMALL), "small", id="one without GPUs"),
    ],
)
def test_of_others_the_nearest(others: tuple[dict[str, Any], ...], expected: str) -> None:
    chosen = choose(TRAIN, *others)
    assert isinstance(chosen, WithoutGpus)
    assert chosen.options["profile"] == expected


def test_what_is_smaller_or_left_out_is_said() -> None:
    chosen = choose(TRAIN, SMALL, options={"licence": 2})
    assert isinstance(chosen, WithoutGpus)
    assert (chosen.options["cpu"], chosen.options["memory_gib"], chosen.options["options"]) == (4, 2, {})
    said = str(chosen.said)
    assert "in the profile Small: Train has no servers without GPUs" in said
    assert "It has 4 CPU and 2 GiB there." in said
    assert "Not kept, as that profile does not have it: licence" in said


def test_what_keeps_the_options_wins() -> None:
    keeps = {**SMALL, "slug": "keeps", "options": TRAIN["options"]}
    chosen = choose(TRAIN, LARGE, keeps, options={"licence": 2})
    assert isinstance(chosen, WithoutGpus)
    assert (chosen.options["profile"], chosen.options["options"]) == ("keeps", {"licence": 2})


@pytest.mark.parametrize(
    "profiles",
    [
        pytest.param((TRAIN,), id="there is none"),
        pytest.param((TRAIN, {**LARGE, "images": ["base"]}), id="none has the image"),
        pytest.param((TRAIN, {**LARGE, "groups": ["nlp"]}), id="none is open to the person"),
    ],
)
def test_it_may_be_that_nothing_takes_it(profiles: tuple[dict[str, Any], ...]) -> None:
    chosen = choose(*profiles)
    assert isinstance(chosen, Message)
    assert "torch" in str(chosen)


def test_mounts_are_kept_or_there_is_nothing() -> None:
    mounts = [{"share": "home", "target": "/mnt/x"}]
    assert isinstance(choose(TRAIN, LARGE, mounts=mounts), Message)


def test_a_profile_that_is_gone_by_now() -> None:
    chosen = choose(LARGE)
    assert isinstance(chosen, WithoutGpus)
    assert "train has no servers without GPUs" in str(chosen.said)
