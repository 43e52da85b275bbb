"""The queue over HTTP: what a launch that waits is answered, who sees it, and what its person does with it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from mlabhub.core.quotas import Quotas
from mlabhub.service import queue_desk
from mlabhub.service.news import NewsItem
from mlabhub.service.queue import acts
from tests.doubles import make_node
from tests.service.conftest import Running
from tests.service.simulation import FixedCatalog
from tests.service.test_api import BAD_BODIES, error_of

LAUNCHES = "api/v1/launches"


async def launch(running: Running, who: str, name: str, gpus: int, **more: Any) -> tuple[int, dict[str, Any]]:
    """Ask for GPUs; return the status and the answer."""
    headers = more.pop("headers", {})
    options = {"profile": "gpu", "gpus": gpus, **more.pop("options", {})}
    body = {"server_name": name, "display_name": f"{name}_x", "user_options": options, **more}
    answer = await running.call("POST", LAUNCHES, who, json=body, headers=headers)
    return answer.status_code, answer.json()


async def status(running: Running, launch_id: str, who: str = "bob") -> dict[str, Any]:
    answer = await running.call("GET", f"{LAUNCHES}/{launch_id}", who)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def queue(running: Running, who: str = "bob") -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = (await running.call("GET", "api/v1/queue", who)).json()["entries"]
    return entries


@pytest.fixture
async def full(running: Running) -> Running:
    """Return a service without limits where alice has six of eight A100."""
    set_quotas(running, {})
    assert (await launch(running, "alice", "first", 6))[0] == 201
    return running


def set_quotas(running: Running, quotas: dict[str, Any]) -> None:
    catalog = running.world.catalog().model_copy(update={"quotas": Quotas.model_validate(quotas)})
    running.world.catalog = FixedCatalog(catalog)


async def test_a_launch_waits_and_starts_by_itself(full: Running) -> None:
    code, told = await launch(full, "bob", "train", 4)
    assert (code, told["state"], told["position"]) == (202, "queued", 1)
    assert told["url"].endswith(f"/starting/{told['launch_id']}")
    assert (told["reasons"][0]["code"], told["nearest"]) == ("no_room", {"gpus": 2})
    assert set(told["wait"]) == {"earliest", "latest", "say"}
    now = await status(full, told["launch_id"])
    assert (now["state"], now["position"], now["options"]) == ("queued", 1, {"profile": "gpu", "gpus": 4})
    assert now["reasons"][0]["message"] == told["reasons"][0]["message"]
    assert (now["nearest"], now["display_name"]) == ({"gpus": 2}, "train_x")
    assert full.of_server("bob", "train") is None
    await full.call("POST", "api/v1/servers/alice/first/release")
    await full.world.queue.round_now()
    one = full.of_server("bob", "train")
    assert one is not None
    assert one.launch_id == told["launch_id"]
    assert (await status(full, told["launch_id"]))["state"] == "ready"
    assert await queue(full) == []


async def test_what_never_fits_or_may_not_wait_is_refused(full: Running) -> None:
    code, told = await launch(full, "bob", "a", 4, queue=False)
    assert (code, told["error"]["nearest"]) == (409, {"gpus": 2})
    set_quotas(full, {"users": {"default": {"gpu": 2}}})
    code, told = await launch(full, "bob", "b", 4)
    assert (code, told["error"]["reasons"][0]["code"]) == (409, "user_never")
    assert await queue(full) == []


async def test_the_same_key_gets_the_same_answer_also_after_it_started(full: Running) -> None:
    key = {"Idempotency-Key": "k"}
    answers = await asyncio.gather(*(launch(full, "bob", "x", 4, headers=key) for _ in range(5)))
    first = await launch(full, "bob", "x", 4, headers=key)
    assert {code for code, _ in answers} == {202}
    assert all(answer == first for answer in answers)
    assert len(await queue(full)) == 1
    assert (await launch(full, "bob", "x", 4, headers=key, queue=False))[0] == 422
    await full.call("POST", "api/v1/servers/alice/first/stop")
    await full.world.queue.round_now()
    assert (await status(full, first[1]["launch_id"]))["state"] == "ready"
    assert await launch(full, "bob", "x", 4, headers=key) == first


async def test_one_server_waits_once(full: Running) -> None:
    assert (await launch(full, "bob", "x", 4))[0] == 202
    code, told = await launch(full, "bob", "x", 3)
    assert (code, told["error"]["reasons"][0]["code"]) == (409, "name_in_use")


async def test_one_leaves_the_queue_and_only_ones_own(full: Running) -> None:
    _, told = await launch(full, "bob", "x", 4)
    address = f"{LAUNCHES}/{told['launch_id']}"
    for method, path, body in (
        ("GET", "", None),
        ("GET", "/events", None),
        ("DELETE", "", None),
        ("PUT", "", {"user_options": {"profile": "cpu"}}),
        ("POST", "/nearest", None),
    ):
        error_of(await full.call(method, address + path, "carol", json=body), 404)
    error_of(await full.call("POST", f"api/v1/queue/{told['launch_id']}/move", json={}), 403)
    assert (await status(full, told["launch_id"]))["state"] == "queued"
    left = await full.call("DELETE", address, "bob")
    assert (left.status_code, left.json()["state"], left.json()["failure"]) == (
        200,
        "left",
        "bob took it out of the queue",
    )
    assert (await full.call("DELETE", address, "bob")).json() == left.json()
    assert await queue(full) == []
    assert (await launch(full, "bob", "x", 4))[0] == 202


async def test_whoever_is_taken_out_by_an_administrator_is_told(full: Running) -> None:
    told: list[NewsItem] = []
    full.world.news = SimpleNamespace(tell=told.append)
    for name, actor in (("x", "bob"), ("y", "admin")):
        _, entry = await launch(full, "bob", name, 4)
        told.clear()
        assert (await full.call("DELETE", f"{LAUNCHES}/{entry['launch_id']}", actor)).status_code == 200
    (one,) = told
    assert (one.kind, one.user, one.server) == ("refused", "bob", "y")
    assert "admin " not in str(one.title) + str(one.personal())
    assert str(one.body).endswith("is no longer in the queue. An administrator took it out.")


async def test_a_request_changes_and_starts_if_that_can(full: Running) -> None:
    _, told = await launch(full, "bob", "x", 4)
    _, other = await launch(full, "carol", "y", 5)
    address = f"{LAUNCHES}/{told['launch_id']}"
    less = await full.call("PUT", address, "bob", json={"user_options": {"profile": "gpu", "gpus": 3}})
    assert (less.status_code, less.json()["position"]) == (202, 1)
    more = await full.call("PUT", address, "bob", json={"user_options": {"profile": "gpu", "gpus": 8}})
    assert more.status_code == 202
    await full.world.queue.round_now()
    assert [entry["launch_id"] for entry in await queue(full)] == [other["launch_id"], told["launch_id"]]
    error_of(await full.call("PUT", address, "bob", json={"user_options": {"profile": "nope"}}), 422)
    error_of(await full.call("PUT", address, "bob", json={"user_options": {"launch_id": "x"}}), 422)
    full.backend.nodes = (*full.backend.nodes, make_node("n2", gpus=1, gpu_type="t4"))
    await full.world.capacity.look()
    never = await full.call(
        "PUT", address, "bob", json={"user_options": {"profile": "gpu", "gpu_type": "t4", "gpus": 8}}
    )
    assert "No machine has 8 T4" in error_of(never, 409)["message"]
    assert (await status(full, told["launch_id"]))["options"]["gpus"] == 8
    starts = await full.call("PUT", address, "bob", json={"user_options": {"profile": "cpu"}})
    assert (starts.status_code, starts.json()["state"]) == (201, "starting")
    await full.world.queue.hands.finish()
    assert (await status(full, told["launch_id"]))["state"] == "ready"


async def test_a_change_to_what_never_fits_changes_nothing(full: Running) -> None:
    set_quotas(full, {"users": {"bob": {"gpu": 4}}})
    _, told = await launch(full, "bob", "x", 4)
    wanted = {"user_options": {"profile": "gpu", "gpus": 8}}
    answer = await full.call("PUT", f"{LAUNCHES}/{told['launch_id']}", "bob", json=wanted)
    assert error_of(answer, 409)["reasons"][0]["code"] == "user_never"
    now = await status(full, told["launch_id"])
    assert (now["state"], now["options"]["gpus"]) == ("queued", 4)


async def test_one_may_change_to_what_a_planned_quota_will_permit(running: Running) -> None:
    """What a launch may wait for, one that waits may be changed to."""
    week = {"group": "vision", "limit": {"gpu:a100": "+4"}, "reason": "deadline", "from": running.world.clock() + 3600}
    made = await running.call("POST", "api/v1/quotas/changes", "admin", json=week)
    assert made.status_code == 201, made.text
    a100 = {"gpu_type": "a100"}
    code, new = await launch(running, "alice", "big", 8, options=a100)
    assert code == 202, new
    assert (await launch(running, "alice", "one", 4, options=a100))[0] == 201
    code, told = await launch(running, "alice", "more", 3, options=a100)
    assert code == 202, told
    wanted = {"user_options": {"profile": "gpu", "gpus": 8, **a100}}
    answer = await running.call("PUT", f"{LAUNCHES}/{told['launch_id']}", "alice", json=wanted)
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")


async def test_who_borrows_is_told_for_how_long_by_the_profile_also_beside_others_who_wait(full: Running) -> None:
    quotas = {"groups": {"nlp": {"guaranteed": {"gpu": 4}}}, "notice_seconds": 600}
    set_quotas(full, quotas)
    code, told = await launch(full, "bob", "plain", 1)
    assert (code, [note["code"] for note in told["notes"]]) == (201, ["borrowed"])
    assert "10 min" in told["notes"][0]["message"]
    set_profile(full, notice_seconds=120)
    assert "2 min" in (await launch(full, "bob", "short", 1))[1]["notes"][0]["message"]
    assert (await full.call("POST", "api/v1/servers/bob/short/stop", "bob")).status_code == 202
    set_profile(full, reclaimable=False)
    assert (await launch(full, "bob", "kept", 1))[1]["notes"] == []
    set_profile(full, notice_seconds=120)
    await full.call("POST", "api/v1/servers/bob/kept/stop", "bob")
    assert (await launch(full, "alice", "waits", 8))[0] == 202
    await full.call("POST", "api/v1/servers/bob/plain/stop", "bob")  # a round decides on what comes next
    code, told = await launch(full, "bob", "turn", 1)
    assert (code, "2 min" in told["notes"][0]["message"]) == (201, True)


def set_profile(running: Running, **changes: Any) -> None:
    """Change the profile with GPUs."""
    catalog = running.world.catalog()
    profiles = tuple(
        one.model_copy(update={"notice_seconds": None, "reclaimable": True, **changes}) if one.slug == "gpu" else one
        for one in catalog.profiles
    )
    running.world.catalog = FixedCatalog(catalog.model_copy(update={"profiles": profiles}))


async def test_who_left_meanwhile_is_not_started(full: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody leaves in one tab while another one takes the nearest, or changes the request."""
    _, told = await launch(full, "bob", "x", 4)
    address = f"{LAUNCHES}/{told['launch_id']}"
    look_up = full.world.accounts.look_up

    async def leave_first(*arguments: Any) -> Any:
        await full.call("DELETE", address, "bob")
        return await look_up(*arguments)

    monkeypatch.setattr(full.world.accounts, "look_up", leave_first)
    error_of(await full.call("POST", f"{address}/nearest", "bob"), 404)
    assert (await status(full, told["launch_id"]))["state"] == "left"
    assert full.of_server("bob", "x") is None
    assert await queue(full) == []


async def test_what_was_taken_back_waits_again_and_says_so(full: Running) -> None:
    set_quotas(full, {"groups": {"nlp": {"guaranteed": {"gpu": 4}}}, "notice_seconds": 0})
    one = full.of_server("alice", "first")
    assert one is not None
    assert (await status(full, one.launch_id, "alice"))["state"] == "ready"
    _, told = await launch(full, "carol", "mine", 4)
    for _ in range(4):
        await full.world.queue.round_now()
    assert (await status(full, told["launch_id"], "carol"))["state"] == "ready"
    over = await status(full, one.launch_id, "alice")
    (entry,) = await queue(full, "alice")
    assert (over["state"], over["again"], entry["reclaims"]) == ("ended", entry["launch_id"], 1)
    events = (await full.call("GET", "metrics", "admin")).text
    assert 'mlabhub_notices_total{event="done"} 1.0' in events


async def test_until_when_a_turn_has_to_be_used_is_told(full: Running) -> None:
    _, told = await launch(full, "bob", "x", 4)
    await full.call("POST", "api/v1/servers/alice/first/stop")
    for _ in range(2):
        await full.world.queue.round_now()
        await status(full, told["launch_id"])
    claim_by = (await status(full, told["launch_id"]))["claim_by"]
    assert claim_by == pytest.approx(full.world.clock() + 60 * full.world.catalog().quotas.claim_minutes, abs=30)


async def test_the_nearest_starts_in_its_place(full: Running) -> None:
    _, told = await launch(full, "bob", "x", 4)
    address = f"{LAUNCHES}/{told['launch_id']}/nearest"
    answer = await full.call("POST", address, "bob")
    assert (answer.status_code, answer.json()["launch_id"]) == (201, told["launch_id"])
    await full.world.queue.hands.finish()
    one = full.of_server("bob", "x")
    assert one is not None
    assert len(one.gpus) == 2
    error_of(await full.call("POST", address, "bob"), 404)
    _, late = await launch(full, "carol", "y", 4)
    error = error_of(await full.call("POST", f"{LAUNCHES}/{late['launch_id']}/nearest", "carol"), 409)
    assert "It goes on waiting." in error["message"]
    assert (await status(full, late["launch_id"], "carol"))["state"] == "queued"


async def test_leaving_and_changing_at_once_both_get_an_answer(full: Running) -> None:
    for number in range(5):
        _, told = await launch(full, "bob", f"x{number}", 4)
        address = f"{LAUNCHES}/{told['launch_id']}"
        gone, changed, again = await asyncio.gather(
            full.call("DELETE", address, "bob"),
            full.call("PUT", address, "bob", json={"user_options": {"profile": "gpu", "gpus": 3}}),
            full.call("DELETE", address, "bob"),
        )
        assert (gone.status_code, again.status_code) == (200, 200)
        assert changed.status_code in (202, 404)
        assert (await status(full, told["launch_id"]))["state"] == "left"


async def test_an_administrator_orders_one_persons_entries(full: Running) -> None:
    ids = [(await launch(full, "bob", f"x{number}", 4))[1]["launch_id"] for number in range(3)]
    other = (await launch(full, "carol", "y", 4))[1]["launch_id"]

    async def move(launch_id: str, before: str | None) -> Any:
        return await full.call("POST", f"api/v1/queue/{launch_id}/move", "admin", json={"before": before})

    assert (await move(ids[2], None)).status_code == 200
    await full.world.queue.round_now()
    own = [entry["launch_id"] for entry in await queue(full) if entry["own"]]
    assert own == [ids[2], ids[0], ids[1]]
    assert (await move(ids[1], ids[0])).status_code == 200
    await full.world.queue.round_now()
    assert [entry["launch_id"] for entry in await queue(full) if entry["own"]] == [ids[2], ids[1], ids[0]]
    error_of(await move(other, ids[0]), 409)
    error_of(await move("01" + "A" * 24, None), 404)
    audit = (await full.call("GET", "api/v1/audit", "admin")).json()["entries"]
    assert [entry["actor"] for entry in audit if entry["act"] == "move"] == ["admin", "admin"]


async def test_of_others_one_sees_group_and_size_and_nothing_chosen(full: Running) -> None:
    set_quotas(full, {"privacy": "group"})
    await launch(full, "bob", "secret", 4, options={"cpu": 3})
    (own,) = await queue(full, "bob")
    assert (own["own"], own["may_act"], own["options"]["cpu"], own["user"]) == (True, True, 3, "bob")
    (colleague,) = await queue(full, "alice")
    assert (colleague["user"], colleague["server_name"], colleague["options"]) == ("bob", "secret", None)
    (stranger,) = await queue(full, "carol")
    assert (stranger["user"], stranger["group"], stranger["gpus"]) == ("somebody of another group", "vision", 4)
    hidden = {key: stranger[key] for key in ("server_name", "display_name", "profile", "options", "nearest", "advice")}
    assert not any(hidden.values())
    assert (stranger["own"], stranger["may_act"]) == (False, False)
    (admins,) = await queue(full, "admin")
    assert (admins["user"], admins["may_act"], admins["options"]["cpu"]) == ("bob", True, 3)


async def test_one_person_cannot_fill_the_queue(full: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acts, "MOST_OF_PERSON", 3)
    for number in range(3):
        assert (await launch(full, "bob", f"x{number}", 4))[0] == 202
    code, told = await launch(full, "bob", "more", 4)
    assert (code, told["error"]["code"]) == (409, "queue_full")
    assert "3 launches of bob wait already" in told["error"]["message"]
    assert (await launch(full, "carol", "y", 4))[0] == 202


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
async def test_bodies_that_cannot_be_right(running: Running, body: bytes) -> None:
    for method, path in (("PUT", f"{LAUNCHES}/X"), ("POST", "api/v1/queue/X/move")):
        error_of(await running.call(method, path, "admin", content=body), 400, 422)


async def test_ids_that_cannot_be_right(running: Running) -> None:
    for launch_id in ("X", "01" + "A" * 24, "%00", "%2e%2e", "a" * 5000, "%F0%9F%92%A9"):
        error_of(await running.call("GET", f"{LAUNCHES}/{launch_id}"), 404)
        error_of(await running.call("DELETE", f"{LAUNCHES}/{launch_id}"), 404)
        error_of(await running.call("POST", f"{LAUNCHES}/{launch_id}/nearest"), 404)
        error_of(await running.call("POST", f"api/v1/queue/{launch_id}/move", "admin", json={}), 404)


async def test_a_preview_says_whether_one_waits_and_borrows(full: Running) -> None:
    set_quotas(full, {"groups": {"nlp": {"guaranteed": {"gpu": 4}}}})
    told = (await full.call("POST", f"{LAUNCHES}/preview", "bob", json={"user_options": {"profile": "gpu"}})).json()
    assert (told["state"], told["borrows"], told["notes"][0]["code"]) == ("now", True, "borrowed")
    choices = {(one["profile"], one["gpus"]): one for one in told["choices"] if one["gpu_type"] is None}
    assert [choices["gpu", gpus]["state"] for gpus in (1, 2, 3, 8)] == ["now", "now", "later", "later"]
    assert choices["gpu", 1]["borrows"]
    own = (await full.call("POST", f"{LAUNCHES}/preview", "carol", json={"user_options": {"profile": "gpu"}})).json()
    assert (own["state"], own["borrows"], own["notes"]) == ("now", False, [])


async def test_nobody_has_to_give_back_what_nobody_asked_for(full: Running) -> None:
    assert (await full.call("GET", "api/v1/notices", "alice")).json() == {"notices": []}
    error_of(await full.call("GET", "api/v1/notices?user=alice", "bob"), 403)
    assert (await full.call("GET", "api/v1/notices?user=alice", "admin")).status_code == 200


async def test_the_holder_is_told_to_give_back_and_releases(full: Running) -> None:
    set_quotas(full, {"groups": {"nlp": {"guaranteed": {"gpu": 4}}}, "privacy": "self"})
    _, told = await launch(full, "carol", "mine", 4)
    await full.world.queue.round_now()
    (notice,) = (await full.call("GET", "api/v1/notices", "alice")).json()["notices"]
    one = full.of_server("alice", "first")
    assert one is not None
    assert (notice["launch_id"], notice["server_name"]) == (one.launch_id, "first")
    assert notice["deadline"] - notice["at"] == pytest.approx(full.world.catalog().quotas.notice_seconds, abs=1e-6)
    assert notice["for_whom"] == "somebody else needs what is guaranteed to them."
    usual = full.world.clock
    full.world.clock = lambda: usual() + 3600  # the deadline is past, and nothing was stopped yet
    assert (await full.call("GET", "api/v1/notices", "alice")).json() == {"notices": [notice]}
    full.world.clock = usual
    assert (await full.call("POST", "api/v1/servers/alice/first/release", "alice")).status_code == 202
    await full.world.queue.round_now()
    assert (await status(full, told["launch_id"], "carol"))["state"] == "ready"
    assert (await full.call("GET", "api/v1/notices", "alice")).json() == {"notices": []}


async def test_however_many_one_has_they_are_ones_own_alone(full: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sees alike shares the work of seeing others' entries; nobody's own are ever among these."""
    monkeypatch.setattr(queue_desk, "MOST_EXPLAINED", 1)
    set_quotas(full, {"privacy": "self"})
    for name in ("one", "two", "three"):
        assert (await launch(full, "bob", name, 4))[0] == 202
    await full.world.queue.round_now()
    for who in ("bob", "carol", "bob"):
        entries, own = await queue(full, who), who == "bob"
        assert [one["own"] for one in entries] == [own] * 3
        assert [one["options"] is not None for one in entries] == [own] * 3
        assert {one["user"] for one in entries} == ({"bob"} if own else {"somebody else"})
        assert [one["advice"] is not None for one in entries] == [own, False, False]


async def test_why_somebody_was_removed_or_moved_stands_in_the_audit_and_they_are_told(full: Running) -> None:
    first, second = [(await launch(full, "bob", name, 4))[1]["launch_id"] for name in ("x", "y")]
    moved = await full.call("POST", f"api/v1/queue/{second}/move", "admin", json={"reason": " a  deadline "})
    assert moved.status_code == 200
    removed = await full.call("DELETE", f"{LAUNCHES}/{first}", "admin", params={"reason": "twice the same"})
    assert removed.json()["failure"] == "admin took it out of the queue: twice the same"
    entries = (await full.call("GET", "api/v1/audit", "admin")).json()["entries"]
    assert [(one["act"], one["message"]) for one in entries[:2]] == [
        ("leave", "admin took it out of the queue: twice the same"),
        ("move", "admin moved it among those of bob: a deadline"),
    ]
    error_of(await full.call("DELETE", f"{LAUNCHES}/{second}", "admin", params={"reason": "x" * 501}), 422)
    assert (await status(full, second))["state"] == "queued"
