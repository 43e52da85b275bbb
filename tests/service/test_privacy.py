"""One setting, obeyed everywhere: no answer of the API and no page names whom its reader may not see.

People's and servers' names are markers that occur nowhere else. Every call of the API that only reads is asked, by the
table of routes, so that a new one is looked at without a word here.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from mlabhub.core.profiles import Catalog
from mlabhub.core.quotas import Quotas
from mlabhub.service.calls import STREAM
from mlabhub.service.routes import ROUTES
from tests.service.conftest import Running
from tests.service.simulation import FixedCatalog
from tests.service.test_api import _signed_cookie

LAUNCHES = "api/v1/launches"
HELD = {"zqalice": ("vision", 1), "zqbob": ("vision", 2), "zqcarol": ("nlp", 3), "zqdave": ("nlp", 1)}
GROUPS = {user: (group,) for user, (group, _) in HELD.items()} | {"zqroot": ()}
SEEN = {
    "open": {viewer: set(HELD) for viewer in GROUPS},
    "group": {
        "zqalice": {"zqalice", "zqbob"},
        "zqbob": {"zqalice", "zqbob"},
        "zqcarol": {"zqcarol", "zqdave"},
        "zqdave": {"zqcarol", "zqdave"},
        "zqroot": set(HELD),
    },
    "self": {viewer: {viewer} for viewer in HELD} | {"zqroot": set(HELD)},
}
LIMITS = {
    "groups": {"vision": {"limit": {"gpu:a100": 4}}, "nlp": {"limit": {"servers": 2}}},
    "users": {"default": {"gpu": 4, "soft": True}},
}
ASKED: dict[str, dict[str, Any]] = {
    "too many for the group": {"profile": "gpu", "gpus": 2},
    "more than is free": {"profile": "gpu", "gpus": 4},
    "never": {"profile": "gpu", "gpus": 8},
    "held by others": {"profile": "gpu", "gpus": 7, "gpu_ids": [f"GPU-n1-a100-{number}" for number in range(7)]},
    "one server too many": {"profile": "cpu"},
    "wrong": {"profile": "nope"},
}


def set_privacy(running: Running, privacy: str) -> None:
    """Change the setting."""
    catalog = running.world.catalog()
    profiles = tuple(one.model_copy(update={"choose_gpu": one.slug == "gpu"}) for one in catalog.profiles)
    quotas = Quotas.model_validate({**LIMITS, "privacy": privacy})
    running.world.catalog = FixedCatalog(Catalog(profiles=profiles, images=catalog.images, quotas=quotas))


@pytest.fixture
async def lab(running: Running) -> Running:
    """Return a service where four people of two groups hold something."""
    for user, groups in GROUPS.items():
        running.hub.add_user(user, *groups, admin=user == "zqroot")
        scopes = ("start:servers", "delete:servers") if user == "zqroot" else ()
        running.tokens.vouch(f"t-{user}", user, *groups, admin=user == "zqroot", scopes=scopes)
    set_privacy(running, "group")
    for user, (_, gpus) in HELD.items():
        body = {"server_name": user, "display_name": f"{user}_x", "user_options": {"profile": "gpu", "gpus": gpus}}
        answer = await running.call("POST", LAUNCHES, user, json=body)
        assert answer.status_code == 201, answer.text
    return running


async def everything(running: Running, viewer: str) -> list[httpx.Response]:
    """Return the answer to whatever somebody can ask."""
    answers = []
    for route in ROUTES:
        if "{" in route.path or all(call.method != "get" for call in route.calls):
            continue
        if route.calls[0].answer is STREAM:
            answers.append(await first_event(running, route.path, viewer))
        else:
            answers.append(await running.call("GET", route.path, viewer))
    for user in HELD:
        one = running.of_server(user, user)
        assert one is not None
        if user != viewer:
            answers.append(await running.call("GET", f"{LAUNCHES}/{one.launch_id}", viewer))
    for options in ASKED.values():
        body = {"user_options": options}
        answers.append(await running.call("POST", f"{LAUNCHES}/preview", viewer, json=body))
    answers += await refusals(running, viewer)
    answers += await pages(running, viewer)
    return answers


async def first_event(running: Running, path: str, viewer: str) -> httpx.Response:
    """Return what a stream begins with, as an answer that is over."""
    headers = {"Authorization": f"token t-{viewer}"}
    async with running.http.stream("GET", path, headers=headers) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                return httpx.Response(answer.status_code, text=line, request=answer.request)
    raise AssertionError("it ended")


async def refusals(running: Running, viewer: str) -> list[httpx.Response]:
    """Return how launches are refused, each also as it is kept under its key."""
    answers = []
    for number, options in enumerate(ASKED.values()):
        body = {"server_name": "more", "user_options": options}
        privacy = running.world.catalog().quotas.privacy
        for _ in range(2):
            key = {"Idempotency-Key": f"{viewer}-{privacy}-{number}"}
            answers.append(await running.call("POST", LAUNCHES, viewer, json=body, headers=key))
        if answers[-1].status_code == 202:
            await running.call("DELETE", f"{LAUNCHES}/{answers[-1].json()['launch_id']}", viewer)
        if answers[-1].status_code == 201:
            await running.call("POST", f"api/v1/servers/{viewer}/more/stop", viewer)
        else:
            assert answers[-2].text == answers[-1].text
    return answers


async def pages(running: Running, viewer: str) -> list[httpx.Response]:
    """Return every page, in both languages."""
    login = _signed_cookie(running, running.tokens.cookie_name, f"t-{viewer}")
    sent = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "same-origin"}
    one = running.of_server("zqbob", "zqbob")
    assert one is not None
    own = "" if viewer == "zqbob" else f"starting/{one.launch_id}"
    answers = []
    for language in ("en", "zh_CN"):
        for path in ("", "launch", "launch?profile=gpu&gpus=8", "launch?profile=gpu&gpus=4", own, "nope"):
            address = f"{path}{'&' if '?' in path else '?'}lang={language}"
            answers.append(await running.http.get(address, headers={"Cookie": login, **sent}))
        xsrf = answers[0].cookies["_xsrf"]
        headers = {"Cookie": f"{login}; _xsrf={xsrf}; mlabhub-language={language}", **sent}
        for options in ASKED.values():
            form = {name: str(value) for name, value in options.items() if name != "gpu_ids"}
            form |= {"_xsrf": xsrf, "name": "more"}
            answers.append(await running.http.post("launch/preview", data=form, headers=headers))
    return answers


@pytest.mark.parametrize("privacy", SEEN)
async def test_no_answer_names_whom_its_reader_may_not_see(lab: Running, privacy: str) -> None:
    set_privacy(lab, privacy)
    for user in HELD:
        body = {"server_name": f"{user}-waits", "user_options": {"profile": "gpu", "gpus": 4}}
        assert (await lab.call("POST", LAUNCHES, user, json=body)).status_code == 202
    for viewer, seen in SEEN[privacy].items():
        answers = await everything(lab, viewer)
        assert sum(answer.status_code == 200 for answer in answers) > 20
        for name in {*HELD, "zqroot"} - {viewer}:
            named = [answer for answer in answers if name in answer.text]
            if name in seen:
                assert named, f"{viewer} sees nothing of {name}"
            else:
                assert not named, f"{viewer} sees {name}: {named[0].request.url} {named[0].text}"


async def test_the_audit_has_all_names_and_is_for_administrators(lab: Running) -> None:
    set_privacy(lab, "self")
    body = {"server_name": "more", "user_options": ASKED["too many for the group"], "queue": False}
    refused = (await lab.call("POST", LAUNCHES, "zqalice", json=body)).json()["error"]
    assert "vision holds 3 of 4 A100: zqalice 1, others 2." in refused["message"]
    assert (await lab.call("GET", "api/v1/audit", "zqalice")).status_code == 403
    entries = (await lab.call("GET", "api/v1/audit", "zqroot")).json()["entries"]
    assert "vision holds 3 of 4 A100: zqalice 1, zqbob 2." in entries[0]["message"]


async def test_an_administrators_answer_is_not_for_a_lesser_token_of_theirs(lab: Running) -> None:
    """The token inside an administrator's own server can be read by whatever runs there."""
    lab.tokens.vouch("t-inside", "zqroot", admin=True, scopes=("start:servers!user=zqroot",))
    set_privacy(lab, "self")
    body = {"user_options": {**ASKED["held by others"]}, "queue": False}
    key = {"Idempotency-Key": "k"}
    full = await lab.call("POST", LAUNCHES, "zqroot", json=body, headers=key)
    assert "zqbob" in full.text
    lesser = await lab.call("POST", LAUNCHES, "inside", json=body, headers=key)
    assert lesser.status_code == 422
    fresh = await lab.call("POST", LAUNCHES, "inside", json=body)
    assert fresh.status_code == 409
    assert "zqbob" not in lesser.text + fresh.text


async def test_a_spawner_is_told_what_its_user_may_know(lab: Running) -> None:
    """The hub shows the sentence to the user, whoever pressed the button."""
    for privacy, words in (("self", "zqalice 1, others 2"), ("open", "zqalice 1, zqbob 2")):
        set_privacy(lab, privacy)
        admission = await lab.spawner.reserve(
            "zqalice",
            "other",
            launch_id=lab.world.make_launch_id(),
            user_options=ASKED["too many for the group"],
            groups=("vision",),
            backend="container",
            deadline_s=60,
        )
        assert words in admission.sentence
        assert "1 GPU starts now." in admission.sentence


async def test_measures_carry_nobodys_name(lab: Running) -> None:
    await refusals(lab, "zqalice")
    measures = (await lab.call("GET", "metrics", "zqroot")).text
    assert "mlabhub_decisions_total" in measures
    assert "zq" not in measures
