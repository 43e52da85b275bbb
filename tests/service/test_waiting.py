"""Who is refused for want of room waits, and soft caps count for the others until they got something."""

from __future__ import annotations

import random
from html import unescape
from typing import Any

import pytest

from mlabhub.core.limits import YOUR_SOFT_CAP
from mlabhub.core.profiles import Catalog
from mlabhub.core.quotas import Quotas
from mlabhub.core.waiting import Waiting
from mlabhub.i18n import get_translator
from mlabhub.messages import Message
from mlabhub.service.desk import TO_WAIT
from mlabhub.service.waitlist import MOST_WAITING, WAIT_S, Waitlist
from tests.core.examples import make_request
from tests.service.conftest import Running
from tests.service.simulation import FixedCatalog
from tests.service.test_api import _signed_cookie

LAUNCHES = "api/v1/launches"


def waits(user: str, at: float, gpus: int = 1) -> Waiting:
    return Waiting(make_request(user=user, gpus=gpus), at, frozenset({"gpu"}))


def names(waitlist: Waitlist, now: float) -> list[str]:
    return [one.user for one in waitlist.at(now)]


def test_one_entry_for_each_person_and_kind() -> None:
    waitlist = Waitlist()
    for at in range(500):
        waitlist.note(waits("bob", float(at), gpus=at % 8 + 1))
    waitlist.note(waits("bob", 500.0, gpus=0))
    waitlist.note(waits("carol", 501.0))
    assert names(waitlist, 502.0) == ["bob", "bob", "carol"]
    first, cpu, _ = waitlist.at(502.0)
    assert (first.since, first.request.gpus, cpu.request.gpus) == (0.0, 499 % 8 + 1, 0)


def test_it_ends_by_itself_and_by_a_server() -> None:
    waitlist = Waitlist()
    waitlist.note(waits("bob", 0.0))
    waitlist.note(waits("carol", 10.0))
    waitlist.served(make_request(user="carol", gpus=0))
    assert names(waitlist, WAIT_S - 0.1) == ["bob", "carol"]
    waitlist.served(make_request(user="carol", gpus=2, gpu_type="t4"))
    assert names(waitlist, WAIT_S - 0.1) == ["bob"]
    assert names(waitlist, WAIT_S) == []
    waitlist.note(waits("bob", WAIT_S + 5))
    assert waitlist.at(WAIT_S + 6)[0].since == WAIT_S + 5


def test_a_clock_that_steps_back_leaves_nobody_waiting_for_ever() -> None:
    waitlist = Waitlist()
    waitlist.note(waits("bob", 1e9))
    assert names(waitlist, 0.0) == []


def test_it_is_bounded() -> None:
    waitlist, dice = Waitlist(), random.Random(4)
    for at in range(3 * MOST_WAITING):
        waitlist.note(waits(f"u{dice.randrange(10**9)}", float(at) / 1e4))
    assert len(waitlist.at(1.0)) == MOST_WAITING
    assert waitlist.at(1.0)[-1].since == (3 * MOST_WAITING - 1) / 1e4


@pytest.fixture
def lab(running: Running) -> Running:
    """Return a service with eight A100 and soft caps of two."""
    quotas = Quotas.model_validate({"users": {"default": {"gpu": 2, "soft": True}}})
    running.world.catalog = FixedCatalog(running.world.catalog().model_copy(update={"quotas": quotas}))
    return running


async def launch(lab: Running, who: str, name: str, gpus: int) -> tuple[int, dict[str, Any]]:
    options = {"profile": "gpu", "gpus": gpus, "gpu_type": "a100"}
    body = {"server_name": name, "user_options": options, "queue": False}
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
    told = await preview(lab, "alice", 1)
    assert [reason["code"] for reason in told["reasons"]] == ["user_limit"]
    assert "Others wait, so the cap of 2 GPU counts. Stop big (6)" in told["reasons"][0]["message"]
    status, answer = await launch(lab, "alice", "more", 1)
    assert (status, answer["error"]["reasons"][0]["code"]) == (409, "user_limit")
    assert [one.user for one in lab.world.waitlist.at(lab.world.clock())] == [
        "bob"
    ]  # who is at their cap is not waiting
    assert (await launch(lab, "bob", "two", 2))[0] == 201  # he takes what starts now
    assert (await launch(lab, "alice", "more", 1))[0] == 409  # nothing is free
    assert lab.world.waitlist.at(lab.world.clock())[0].user == "alice"


@pytest.mark.parametrize("language", ["en", "zh_CN"])
async def test_the_launch_page_says_so_before_the_click(lab: Running, language: str) -> None:
    login = _signed_cookie(lab, lab.tokens.cookie_name, "t-alice")
    headers = {"Cookie": login, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    page = await lab.http.get(f"launch?profile=gpu&gpus=6&lang={language}", headers=headers)
    limit = {"limit": 2, "unit": "GPU"}
    assert get_translator(language).say(Message.of(YOUR_SOFT_CAP, limit)) in unescape(page.text)
    less = await lab.http.get(f"launch?profile=gpu&gpus=2&lang={language}", headers=headers)
    assert get_translator(language).say(Message.of(YOUR_SOFT_CAP, limit)) not in unescape(less.text)


async def test_a_spawners_refusal_counts_too(lab: Running) -> None:
    assert (await launch(lab, "alice", "big", 8))[0] == 201
    options = {"profile": "gpu", "gpus": 1}
    keywords: dict[str, Any] = {"user_options": options, "groups": (), "backend": "container", "deadline_s": 60}
    for _ in range(3):
        refused = await lab.spawner.reserve("bob", "x", launch_id=lab.world.make_launch_id(), **keywords)
        assert refused.sentence == "1 GPU waits: none is free. Wait until a server stops. " + TO_WAIT
    assert [one.user for one in lab.world.waitlist.at(lab.world.clock())] == ["bob"]
    await lab.call("POST", "api/v1/servers/alice/big/stop")
    assert (await lab.spawner.reserve("bob", "x", launch_id=lab.world.make_launch_id(), **keywords)).admitted
    assert lab.world.waitlist.at(lab.world.clock()) == ()


async def test_what_never_fits_keeps_nobody_back(lab: Running) -> None:
    """A flood of impossible wishes is no way to make others' caps count."""
    for name in ("a", "b", "c"):
        body = {"server_name": name, "user_options": {"profile": "gpu", "gpus": 4, "gpu_type": "h100"}}
        assert (await lab.call("POST", LAUNCHES, "bob", json=body)).status_code == 409
    assert lab.world.waitlist.at(lab.world.clock()) == ()
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
    assert lab.world.waitlist.at(lab.world.clock()) == ()
    carols = (await lab.call("POST", f"{LAUNCHES}/preview", "carol", json={})).json()
    assert {one["profile"] for one in carols["choices"]} == {"cpu", "gpu"}


async def test_the_choices_are_bounded(lab: Running) -> None:
    catalog = lab.world.catalog()
    gpu = catalog.profiles_by_slug["gpu"]
    many = tuple(gpu.model_copy(update={"slug": f"gpu-{number}"}) for number in range(100))
    lab.world.catalog = FixedCatalog(Catalog(profiles=many, images=catalog.images))
    told = (await lab.call("POST", f"{LAUNCHES}/preview", json={})).json()
    assert (len(told["choices"]), told["choices_left_out"]) == (500, 1100)
