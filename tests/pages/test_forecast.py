"""The line below the choices."""

from __future__ import annotations

from typing import Any

import pytest

from mlabhub.i18n import get_translator
from mlabhub.service.pages.forecast import make_forecast
from mlabhub.service.views import Person
from tests.pages.launcher import HOSTILE, MemoryLauncher

EN = get_translator("en")


async def preview_of(options: dict[str, Any], group: str = "vision") -> Any:
    launcher = MemoryLauncher({"alice": (group,), "bob": (group,)})
    wish = {"profile": "gpu", "gpus": 4, "gpu_type": "a100"}
    await launcher.launch(Person("bob"), user="bob", server_name="b", display_name="b", user_options=wish)
    return (await launcher.previews(Person("alice"), "alice", [options], nearest=1))[0]


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
    ("options", "text", "take"),
    [
        pytest.param({"profile": "gpu", "gpus": 1}, None, None, id="starts now: nothing else is offered"),
        pytest.param({"profile": "gpu", "gpus": 8}, "Start with 2 GPU now", "gpus=2", id="fewer"),
        pytest.param(
            {"profile": "gpu", "gpus": 2, "gpu_type": "a100"}, "Start with 2 T4 now", "gpu_type=t4", id="another type"
        ),
        pytest.param({"profile": "gpu", "gpus": 3}, None, None, id="no choice at all"),
    ],
)
async def test_what_is_offered_instead(options: dict[str, Any], text: str | None, take: str | None) -> None:
    offer = make_forecast(await preview_of(options), EN, simulated=False).offer
    assert (offer and offer.text, offer and offer.take) == (text, take)


@pytest.mark.parametrize(
    ("gpu_type", "text", "take"),
    [
        pytest.param("a100", "Start with 1 T4 now", "gpus=1&gpu_type=t4", id="and so are all others"),
        pytest.param(None, "Start with any 1 GPU now", "gpus=1", id="and others are free"),
    ],
)
async def test_what_is_offered_for_a_named_gpu_that_is_held(gpu_type: str | None, text: str, take: str) -> None:
    options = {"profile": "gpu", "gpu_type": gpu_type, "gpus": 1}
    named, unpinned = await preview_of({**options, "gpu_ids": ["GPU-sim-a100-0"]}), await preview_of(options)
    forecast = make_forecast(named, EN, simulated=False, unpinned=unpinned)
    assert forecast.kind == "busy"
    assert forecast.offer is not None
    assert (forecast.offer.text, forecast.offer.take) == (text, take)
