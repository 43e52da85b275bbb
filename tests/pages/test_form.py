"""What a form's fields say as launch options, and what the form shows."""

from __future__ import annotations

import pytest

from mlabhub.core.choices import ListVariable, NumberVariable
from mlabhub.core.options import NumberOption
from mlabhub.core.resolve import resolve
from mlabhub.errors import MLabError
from mlabhub.i18n import get_translator
from mlabhub.service.pages.choices import kept_arguments, read_options
from mlabhub.service.pages.form import make_fields, number_field, option_field
from mlabhub.service.views import Person
from tests.pages.launcher import CATALOG, HOSTILE, MemoryLauncher

EN = get_translator("en")


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        pytest.param({}, {}, id="nothing: the profile's defaults"),
        pytest.param({"profile": "gpu", "cpu": "", "memory_gib": " "}, {"profile": "gpu"}, id="empty fields"),
        pytest.param({"cpu": "4", "memory_gib": "2.5"}, {"cpu": 4, "memory_gib": 2.5}, id="numbers"),
        pytest.param({"gpus": "2", "gpu_type": "a100"}, {"gpus": 2, "gpu_type": "a100"}, id="GPUs"),
        pytest.param({"gpu_type": "any"}, {}, id="any type is no type"),
        pytest.param({"option-shm_gib": "8"}, {"options": {"shm_gib": 8}}, id="a further option"),
        pytest.param({"cpu": "lots"}, {"cpu": "lots"}, id="no number stays text for the gate"),
        pytest.param({"cpu": "NaN", "gpus": "1e999"}, {"cpu": "NaN", "gpus": "1e999"}, id="not finite stays text"),
        pytest.param({"cmd": "sh", "environment": "X=1", "launch_id": "01J"}, {}, id="other fields are not options"),
        pytest.param({"image": "x" * 5000}, {"image": "x" * 1000}, id="endless text is cut"),
    ],
)
def test_what_fields_say(arguments: dict[str, str], options: dict[str, object]) -> None:
    assert read_options(arguments) == options


@pytest.mark.parametrize("text", ["-1", "NaN", "1e309", "true", "0x10", "１６", HOSTILE, "4; rm"])
def test_what_is_no_number_is_refused_by_the_gate(text: str) -> None:
    with pytest.raises(MLabError):
        resolve(CATALOG, "alice", [], read_options({"profile": "cpu", "memory_gib": text, "cpu": "999"}))


async def test_the_first_form_is_one_that_the_gate_admits() -> None:
    view = await MemoryLauncher({"alice": ("vision",)}).catalog_for(Person("alice"))
    for profile in view.profiles:
        fields = make_fields(profile, view, {}, EN)
        sent = {field.name: field.value for field in fields.values() if field.kind != "fixed"}
        assert resolve(CATALOG, "alice", ["vision"], read_options({"profile": profile.slug, **sent}))


def test_what_an_option_does_stands_below_its_field() -> None:
    number = {
        "display_name": "Workers",
        "description": "Processes that load data.",
        "variable": "W",
        "min": 0,
        "max": 64,
    }
    said = option_field("workers", NumberVariable.model_validate(number), {}, EN)
    assert (said.label, said.help) == ("Workers", "Processes that load data. 0 to 64")
    few = option_field("workers", NumberVariable.model_validate({**number, "max": 2}), {}, EN)
    assert (few.kind, few.help) == ("buttons", "Processes that load data.")
    listed = {
        "display_name": "P",
        "description": "What scripts read.",
        "variable": "P",
        "choices": {"a": "A", "b": "B"},
    }
    assert option_field("p", ListVariable.model_validate(listed), {}, EN).help == "What scripts read."


async def test_fields_of_a_gpu_profile() -> None:
    view = await MemoryLauncher({"bob": ("vision", "nlp")}).catalog_for(Person("bob"))
    fields = make_fields(CATALOG.profiles_by_slug["gpu"], view, {"gpus": "4", "group": "nlp", "cpu": "16"}, EN)
    assert {name: field.kind for name, field in fields.items()} == {
        "gpus": "buttons",
        "gpu_type": "buttons",
        "cpu": "buttons",
        "memory_gib": "number",
        "shm_gib": "number",
        "group": "select",
    }
    chosen = {name: [one.value for one in field.choices if one.selected] for name, field in fields.items()}
    assert chosen["gpus"] == ["4"]
    assert chosen["cpu"] == ["16"]
    assert chosen["group"] == ["nlp"]
    assert [one.label for one in fields["gpu_type"].choices] == ["any", "A100 80 GB", "T4"]
    assert fields["memory_gib"].help == "8 to 128 GiB"


@pytest.mark.parametrize(
    ("option", "kind", "values"),
    [
        pytest.param(NumberOption.model_validate(4), "fixed", [], id="fixed"),
        pytest.param(NumberOption.model_validate([1, 2]), "buttons", ["1", "2"], id="a list"),
        pytest.param(
            NumberOption.model_validate({"min": 0.5, "max": 2, "step": 0.5}),
            "buttons",
            ["0.5", "1", "1.5", "2"],
            id="few",
        ),
        pytest.param(NumberOption.model_validate({"min": 1, "max": 64}), "number", [], id="many"),
        pytest.param(NumberOption.model_validate({"min": 0, "max": 9, "step": 0.125}), "number", [], id="a fine step"),
    ],
)
def test_a_number_is_shown_as_what_it_is(option: NumberOption, kind: str, values: list[str]) -> None:
    field = number_field("cpu", option, "", EN)
    assert (field.kind, [choice.value for choice in field.choices]) == (kind, values)
    assert option.accepts(float(field.value))


@pytest.mark.parametrize(
    ("gpus", "help"),
    [
        pytest.param({"min": 1, "max": 4}, "No machine has more than 4.", id="a range that the machine ends"),
        pytest.param({"min": 1, "max": 2}, "", id="a range that ends before"),
        pytest.param([1, 4], "", id="a list: each number says it by itself"),
    ],
)
async def test_where_the_machine_ends_the_choice(gpus: object, help: str) -> None:
    view = await MemoryLauncher({"bob": ("vision",)}).catalog_for(Person("bob"))
    option = NumberOption.model_validate(gpus)
    profile = CATALOG.profiles_by_slug["gpu"].model_copy(update={"gpus": option})
    assert make_fields(profile, view, {}, EN)["gpus"].help == help


def test_a_fine_step_is_not_rounded() -> None:
    option = NumberOption.model_validate({"min": 0, "max": 9, "step": 0.125})
    assert number_field("cpu", option, "", EN).step == "0.125"


def test_an_address_keeps_choices_only() -> None:
    arguments = {"profile": "gpu", "key": "k", "_xsrf": "x", "name": HOSTILE * 100, "cpu": "", "option-shm_gib": "8"}
    kept = kept_arguments(arguments)
    assert kept.keys() == {"profile", "name", "option-shm_gib"}
    assert len(kept["name"]) == 1000
