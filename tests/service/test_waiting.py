"""Who is in the queue waits, and soft caps count for the others until they got something."""

from __future__ import annotations

from html import unescape
from typing import Any

import pytest

from mlabhub.core.limits import YOUR_SOFT_CAP
from mlabhub.core.profiles import Catalog
from mlabhub.core.quotas import Quotas
from mlabhub.i18n import get_translator
from mlabhub.messages import Message
from mlabhub.service.desk import TO_WAIT
from tests.service.conftest import Running
from tests.service.simulation import FixedCatalog
from tests.service.test_api import _signed_cookie

LAUNCHES = "api/v1/launches"


@pytest.fixture
def lab(running: Running) -> Running:
    """Return a service with eight A100 and soft caps of two."""
    quotas = Quotas.model_validate({"users": {"default": {"gpu": 2, "soft": True}}})
    running.world.catalog = FixedCatalog(running.world.catalog().model_copy(update={"quotas": quotas}))
    return running


async def launch(lab: Running, who: str, name: str, gpus: int, *, queue: bool = False) -> tuple[int, dict[str, Any]]:
    options = {"profile": "gpu", "gpus": gpus, "gpu_type": "a100"}
    body = {"server_name": name, "user_options": options, "queue": queue}
    answer = await lab.call("POST", LAUNCHES, who, json=body)
    return answer.status_code, answer.json()


async def preview(lab: Running, who: str, gpus: int) -> dict[str, Any]:
    body = {"user_options": {"profile": "gpu", "gpus": gpus, "gpu_type": "a100"}, "every": False}
    told: dict[str, Any] = (await lab.call("POST", f"{LAUNCHES}/preview", who, json=body)).json()
    return told


async def test_a_soft_cap_counts_as_soon_as_others_wait(lab: Running) -> None:
    told = await preview(lab, "alice", 6)
    assert (told["starts_now"], told["state"], told["choices"]) == (True, "now", [])
    words = "Beyond your cap of 2 GPU: counted again as soon as others wait."
    assert [note["message"] for note in told["notes"]] == [words]
    status, answer = await launch(lab, "alice", "big", 6)
    assert (status, answer["notes"]) == (201, [{"code": "beyond_soft_cap", "message": words, "resource": "gpu"}])
    assert (await preview(lab, "bob", 3))["state"] == "later"
    assert (await preview(lab, "alice", 1))["starts_now"]  # nobody launched anything yet: a preview is not a wish
    status, answer = await launch(lab, "bob", "three", 3)
    assert (status, answer["error"]["nearest"]) == (409, {"gpus": 2})
    assert answer["error"]["message"] == "3 A100 wait: 2 are free (n1 2). 2 A100 start now."
    assert (await preview(lab, "alice", 1))["starts_now"]  # who was refused and does not queue is in nobody's way
    status, queued = await launch(lab, "bob", "three", 3, queue=True)
    assert (status, queued["position"]) == (202, 1)
    told = await preview(lab, "alice", 1)
    assert [reason["code"] for reason in told["reasons"]] == ["user_limit"]
    assert "Others wait, so the cap of 2 GPU counts. Stop big (6)" in told["reasons"][0]["message"]
    status, answer = await launch(lab, "alice", "more", 1)
    assert (status, answer["error"]["reasons"][0]["code"]) == (409, "user_limit")
    assert [one.user for one in lab.world.queue.waiting()] == ["bob"]
    assert (await lab.call("POST", f"{LAUNCHES}/{queued['launch_id']}/nearest", "bob")).status_code == 201
    assert lab.world.queue.waiting() == ()  # he took what starts now
    assert (await launch(lab, "alice", "more", 1))[0] == 409  # nothing is free


@pytest.mark.parametrize("language", ["en", "zh_CN"])
async def test_the_launch_page_says_so_before_the_click(lab: Running, language: str) -> None:
    login = _signed_cookie(lab, lab.tokens.cookie_name, "t-alice")
    headers = {"Cookie": login, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    page = await lab.http.get(f"launch?profile=gpu&gpus=6&lang={language}", headers=headers)
    limit = {"limit": 2, "unit": "GPU"}
    assert get_translator(language).say(Message.of(YOUR_SOFT_CAP, limit)) in unescape(page.text)
    less = await lab.http.get(f"launch?profile=gpu&gpus=2&lang={language}", headers=headers)
    assert get_translator(language).say(Message.of(YOUR_SOFT_CAP, limit)) not in unescape(less.text)


async def test_a_spawn_of_the_hubs_own_never_waits(lab: Running) -> None:
    assert (await launch(lab, "alice", "big", 8))[0] == 201
    options = {"profile": "gpu", "gpus": 1}
    keywords: dict[str, Any] = {"user_options": options, "groups": (), "backend": "container", "deadline_s": 60}
    for _ in range(3):
        refused = await lab.spawner.reserve("bob", "x", launch_id=lab.world.make_launch_id(), **keywords)
        assert refused.sentence == "1 GPU waits: none is free. Wait until a server stops. " + TO_WAIT
    assert not lab.projection.queue
    await lab.call("POST", "api/v1/servers/alice/big/stop")
    assert (await lab.spawner.reserve("bob", "x", launch_id=lab.world.make_launch_id(), **keywords)).admitted


async def test_what_never_fits_keeps_nobody_back(lab: Running) -> None:
    """A flood of impossible wishes is no way to make others' caps count."""
    for name in ("a", "b", "c"):
        body = {"server_name": name, "user_options": {"profile": "gpu", "gpus": 4, "gpu_type": "h100"}}
        assert (await lab.call("POST", LAUNCHES, "bob", json=body)).status_code == 409
    assert not lab.projection.queue
    assert (await launch(lab, "alice", "big", 8))[0] == 201


async def test_one_call_forecasts_every_choice(lab: Running) -> None:
    assert (await launch(lab, "bob", "five", 5))[0] == 201
    told = (await lab.call("POST", f"{LAUNCHES}/preview", json={"user_options": {"profile": "gpu", "gpus": 4}})).json()
    assert (told["state"], told["nearest"], told["advice"]) == ("later", {"gpus": 3}, "3 GPU start now.")
    found = {(one["profile"], one["gpu_type"], one["gpus"]): one["state"] for one in told["choices"]}
    assert found == {
        ("cpu", None, 0): "now",
        **{("gpu", kind, gpus): "now" if gpus <= 3 else "later" for kind in (None, "a100") for gpus in range(1, 9)},
        ("vision-only", None, 0): "now",
    }
    assert told["choices_left_out"] == 0
    assert all(bool(one["reasons"]) == (one["state"] != "now") for one in told["choices"])
    beyond = next(one for one in told["choices"] if one["gpus"] == 3)
    assert beyond["notes"][0]["code"] == "beyond_soft_cap"
    assert len(lab.projection) == 1
    assert not lab.projection.queue
    carols = (await lab.call("POST", f"{LAUNCHES}/preview", "carol", json={})).json()
    assert {one["profile"] for one in carols["choices"]} == {"cpu", "gpu"}


async def test_the_choices_are_bounded(lab: Running) -> None:
    catalog = lab.world.catalog()
    gpu = catalog.profiles_by_slug["gpu"]
    many = tuple(gpu.model_copy(update={"slug": f"gpu-{number}"}) for number in range(100))
    lab.world.catalog = FixedCatalog(Catalog(profiles=many, images=catalog.images))
    told = (await lab.call("POST", f"{LAUNCHES}/preview", json={})).json()
    assert (len(told["choices"]), told["choices_left_out"]) == (500, 1100)
