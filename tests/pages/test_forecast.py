"""The line below the choices."""

from __future__ import annotations

from typing import Any

import pytest

from mlabhub.i18n import get_translator
from mlabhub.service.pages.forecast import make_forecast, nearest
from mlabhub.service.views import Person
from tests.pages.launcher import CATALOG, HOSTILE, MemoryLauncher

EN = get_translator("en")
GPU = CATALOG.profiles_by_slug["gpu"]


async def preview_of(options: dict[str, Any], group: str = "vision") -> Any:
    launcher = MemoryLauncher({"alice": (group,), "bob": (group,)})
    wish = {"profile": "gpu", "gpus": 4, "gpu_type": "a100"}
    await launcher.launch(Person("bob"), user="bob", server_name="b", display_name="b", user_options=wish)
    return (await launcher.previews(Person("alice"), "alice", [options]))[0]


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        pytest.param({"profile": "cpu"}, "now", "", id="starts now"),
        pytest.param({"profile": "gpu", "gpus": 1}, "now", "", id="two are left to the group"),
        pytest.param({"profile": "gpu", "gpus": 4}, "busy", "vision holds 4 of 6 GPU: bob 4", id="the group's limit"),
        pytest.param({"profile": "gpu", "gpus": 8}, "never", "limit", id="more than the limit itself"),
        pytest.param({"profile": "gpu", "gpus": 3}, "wrong", "3", id="not among the choices"),
        pytest.param({"profile": HOSTILE}, "wrong", "profile", id="no such profile"),
    ],
)
async def test_every_answer_has_words(options: dict[str, Any], kind: str, words: str) -> None:
    forecast = make_forecast(await preview_of(options), EN, simulated=True)
    assert forecast.kind == kind
    assert words in " ".join(forecast.reasons)
    assert bool(forecast.reasons) == (kind != "now")
    assert forecast.headline
    assert forecast.icon


async def test_simulated_gpus_are_marked() -> None:
    preview = await preview_of({"profile": "gpu", "gpus": 1, "gpu_type": "t4"})
    assert make_forecast(preview, EN, simulated=True).size == "8 CPU · 32 GiB · 1 T4 (simulated)"
    assert make_forecast(preview, EN, simulated=False).size == "8 CPU · 32 GiB · 1 T4"


@pytest.mark.parametrize(
    ("options", "choices"),
    [
        pytest.param({"profile": "gpu", "gpus": 1}, [], id="starts now: nothing else to try"),
        pytest.param({"profile": "gpu", "gpus": 8}, [{"gpus": 4}, {"gpus": 2}, {"gpus": 1}], id="fewer, most first"),
        pytest.param(
            {"profile": "gpu", "gpus": 2, "gpu_type": "a100"}, [{"gpus": 1}, {"gpu_type": "t4"}], id="then other types"
        ),
        pytest.param({"profile": "gpu", "gpus": 3}, [], id="no choice at all"),
    ],
)
async def test_what_is_tried_instead(options: dict[str, Any], choices: list[dict[str, Any]]) -> None:
    assert nearest(await preview_of(options), GPU, ("a100", "t4")) == choices
