"""What the form opens on: the catalogue's default for the person's groups, in profile, image and GPU type."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlabhub.core.capacity import Capacity
from mlabhub.core.privacy import Viewer
from mlabhub.core.profiles import Catalog
from mlabhub.core.resolve import resolve
from mlabhub.i18n import get_translator
from mlabhub.ledger import Contents
from mlabhub.service.listing import catalog_view
from mlabhub.service.pages.choices import read_options
from mlabhub.service.pages.form import make_fields
from mlabhub.service.pages.look import choose_profile
from mlabhub.service.pages.pickers import image_field
from mlabhub.service.projection import Projection
from mlabhub.service.views import CatalogView, Person
from tests.doubles import make_node

SMALL = {"cpu": {"min": 1, "max": 4}, "memory_gib": {"min": 1, "max": 4}}
GPU = {**SMALL, "gpus": [1, 2], "gpu_types": ["t4", "a100"]}
LAB = Catalog.model_validate(
    {
        "images": [
            {"slug": "old", "display_name": "Old", "reference": "old", "retired": {}},
            {"slug": "secret", "display_name": "Secret", "reference": "secret", "hidden": True},
            {"slug": "base", "display_name": "Base", "reference": "base"},
            {"slug": "torch", "display_name": "Torch", "reference": "torch"},
        ],
        "profiles": [
            {"slug": "train", "display_name": "Train", "images": ["old", "secret", "base", "torch"], **GPU}
            | {"purpose": "training"},
            {"slug": "dev", "display_name": "Dev", "images": ["base"], **GPU, "purpose": "development"},
            {"slug": "cpu", "display_name": "CPU", "images": ["old", "torch", "base"], **SMALL},
        ],
        "gpu_types": {"a100": {"cost": 10, "display_name": "A100 80 GB"}, "t4": {"cost": 1}},
        "group_defaults": {"vision": {"profile": "train", "image": "torch"}},
    }
)
CAPACITY = Capacity((make_node("n1", 2, "a100"), make_node("n2", 2, "t4")))


def view_for(groups: tuple[str, ...], capacity: Capacity = CAPACITY) -> CatalogView:
    viewer = Viewer("alice", frozenset(groups))
    nothing = Projection(Contents((), {}, (), ()))
    return catalog_view(Person("alice", groups=groups), groups, LAB, capacity, nothing, viewer)


@pytest.mark.parametrize(
    ("groups", "capacity", "profile", "image"),
    [
        ((), CAPACITY, "cpu", "torch"),
        (("vision",), CAPACITY, "train", "torch"),
        (("x", "vision"), CAPACITY, "train", "torch"),
        (("vision",), Capacity((make_node("n1", 0),)), "cpu", "torch"),
    ],
    ids=["nobody's group", "by group", "by the second group", "no GPU there"],
)
def test_the_form_is_what_a_launch_without_choices_takes(
    groups: tuple[str, ...], capacity: Capacity, profile: str, image: str
) -> None:
    view = view_for(groups, capacity)
    chosen = choose_profile(view, "")
    assert chosen is not None
    fields = make_fields(chosen, view, {}, get_translator("en"))
    assert (chosen.slug, image_field(chosen, view, {}, get_translator("en")).value) == (profile, image)
    sent = {field.name: field.value for field in fields.values()} | {"profile": chosen.slug, "image": image}
    plain = resolve(LAB, "alice", groups, {}, present=capacity.gpu_types)
    assert resolve(LAB, "alice", groups, read_options(sent), present=capacity.gpu_types) == plain


@pytest.mark.parametrize(("slug", "value"), [("train", "a100"), ("dev", "t4")])
def test_the_gpu_type_by_purpose_under_its_name(slug: str, value: str) -> None:
    view = view_for(())
    profile = choose_profile(view, slug)
    assert profile is not None
    field = make_fields(profile, view, {}, get_translator("en"))["gpu_type"]
    assert field.value == value
    assert [choice.label for choice in field.choices] == ["T4", "A100 80 GB"]


def test_hidden_and_retired_images_are_not_offered() -> None:
    view = view_for(())
    profile = choose_profile(view, "train")
    assert profile is not None
    field = image_field(profile, view, {}, get_translator("en"))
    assert [option.value for _, options in field.groups for option in options] == ["base", "torch"]


def test_a_server_that_is_started_again_keeps_its_retired_image() -> None:
    view = replace(view_for(()), kept_images={"mine": LAB.images_by_slug["old"]})
    profile = choose_profile(view, "cpu")
    assert profile is not None
    arguments = {"server": "mine", "image": "old"}
    field = image_field(profile, view, arguments, get_translator("en"))
    assert [(option.value, option.label) for option in dict(field.groups)["Only for this server"]] == [
        ("old", "Old (retired)")
    ]
    field = image_field(profile, view, {**arguments, "server": "other"}, get_translator("en"))
    assert [option.label for option in dict(field.groups)["Not offered"]] == ["old"]
