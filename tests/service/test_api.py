"""The API's edges: who may do what, what bodies it takes, how it refuses."""

from __future__ import annotations

import asyncio
import json
from functools import reduce
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tornado.web import create_signed_value

from mlabhub.client.service import make_held_body
from mlabhub.errors import LaunchRefused
from mlabhub.messages import LONGEST, Message
from mlabhub.service import reservations
from mlabhub.service.bodies import HeldBody, InvalidBody, parse, parse_json
from mlabhub.service.routes import ROUTES
from tests.doubles import unreachable
from tests.ledger.test_sqlite import fill
from tests.service.conftest import SECRET, Running

LAUNCHES = "api/v1/launches"
BAD_BODIES: dict[str, bytes] = {
    "no JSON": b"{",
    "no object": b"[1]",
    "a number": b"7",
    "not UTF-8": b'{"server_name": "\xff"}',
    "half a surrogate pair": b'{"server_name": "\\ud800"}',
    "NaN": b'{"user_options": {"cpu": NaN}}',
    "infinite": b'{"user_options": {"cpu": 1e309}}',
    "digits without end": b'{"user_options": {"cpu": ' + b"9" * 5000 + b"}}",
    "nested": b'{"user_options": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001,
    "deep enough": b'{"user_options": ' + b"[" * 100 + b"]" * 100 + b"}",
    "unknown key": b'{"cmd": "sh"}',
    "wrong type": b'{"server_name": 5}',
    "options as text": b'{"user_options": "profile"}',
    "a name of 10,000 characters": b'{"server_name": "' + b"a" * 10_000 + b'"}',
}
BAD_OPTIONS: dict[str, dict[str, Any]] = {
    "unknown profile": {"profile": "nope"},
    "unknown key": {"environment": {"LD_PRELOAD": "/x"}},
    "image by reference": {"image": "docker.io/evil"},
    "negative": {"cpu": -1},
    "text for a number": {"cpu": "1"},
    "true": {"cpu": True},
    "forged launch": {"launch_id": "01" + "A" * 24},
    "launch as number": {"launch_id": 5},
    "group of others": {"group": "nlp"},
    "profile as list": {"profile": ["cpu"]},
    "too many": {"profile": "gpu", "gpus": 999},
}


BAD_NOTES: dict[str, Any] = {
    "a text": "Without /data",
    "an object": {"text": "x", "values": {}},
    "something more": [{"text": "x", "values": {}, "cmd": "sh"}],
    "no values": [{"text": "x"}],
    "a value of nothing": [{"text": "{a}", "values": {"a": None}}],
    "a list as a value": [{"text": "{a}", "values": {"a": [1]}}],
    "a name without a value": [{"text": "{a}", "values": {}}],
    "what is inside of a value": [{"text": "{a.__class__}", "values": {"a": "x", "a.__class__": "x"}}],
    "a width": [{"text": "{a:>999999999}", "values": {"a": "x"}}],
    "a conversion": [{"text": "{a!r}", "values": {"a": "x"}}],
    "half a brace": [{"text": "{", "values": {}}],
    "numbered": [{"text": "{} {0}", "values": {"": "x", "0": "x"}}],
    "the same twice": [{"text": "{a}{a}", "values": {"a": "x"}}],
    "too long": [{"text": "{a}", "values": {"a": "x" * 2001}}],
    "too many": [{"text": "x", "values": {}}] * 21,
    "nested": reduce(
        lambda inner, _: [{"text": "{a}", "values": {"a": inner[0]}}], range(8), [{"text": "", "values": {}}]
    ),
}


def error_of(answer: Any, *statuses: int) -> dict[str, Any]:
    """Return the error of an answer, which must be JSON with a sentence and nothing of our insides."""
    assert answer.status_code in statuses, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert error["code"]
    assert error["message"].endswith((".", "?"))
    assert "Traceback" not in answer.text
    assert 'File "' not in answer.text
    return error


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
async def test_bodies_that_cannot_be_right(running: Running, body: bytes) -> None:
    error_of(await running.call("POST", LAUNCHES, content=body), 400, 422)
    secret = {"Authorization": f"Bearer {SECRET}"}
    put = await running.http.put("api/v1/reservations/alice/x", content=body, headers=secret)
    error_of(put, 400, 422)
    assert len(running.projection) == 0


@pytest.mark.parametrize("options", BAD_OPTIONS.values(), ids=BAD_OPTIONS.keys())
async def test_options_are_refused_at_both_doors(running: Running, options: dict[str, Any]) -> None:
    body: dict[str, Any] = {"server_name": "x", "user_options": options}
    error_of(await running.call("POST", LAUNCHES, json=body), 403, 409, 422)
    body = {"launch_id": "01" + "B" * 24, "user_options": options, "groups": ["vision"], "backend": "c", "deadline": 60}
    secret = {"Authorization": f"Bearer {SECRET}"}
    error_of(await running.http.put("api/v1/reservations/alice/x", json=body, headers=secret), 403, 409, 422)
    assert len(running.projection) == 0
    assert running.hub.starts == 0


async def test_ten_megabytes_are_too_much(running: Running) -> None:
    error = error_of(await running.call("POST", LAUNCHES, content=b"x" * 10_000_000), 413)
    assert "1024 KiB" in error["message"]
    assert (await running.call("GET", "health", None)).status_code == 200


async def test_too_much_without_a_length_is_too_much_as_well(running: Running) -> None:
    async def chunks() -> Any:
        for _ in range(40):
            yield b"x" * 65536

    reader, writer = await asyncio.open_connection("127.0.0.1", running.settings.service_port)
    path = running.settings.service_prefix + LAUNCHES
    writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
    async for chunk in chunks():
        writer.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
    writer.write(b"0\r\n\r\n")
    assert b" 413 " in await asyncio.wait_for(reader.readline(), 5)
    writer.close()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([], "at the body: it must be an object."),
        ({"user_options": 1}, "at user_options: it must be an object."),
        ({"user": 1}, "at user: it must be text."),
        ({"every": 1}, "at every: it must be true or false."),
        ({"cmd": "sh"}, "at cmd: there is no such key."),
    ],
    ids=["a list", "options", "a name", "a switch", "another key"],
)
async def test_what_is_not_right_with_a_body_is_said(running: Running, body: object, said: str) -> None:
    error = error_of(await running.call("POST", f"{LAUNCHES}/preview", json=body), 422)
    assert said in error["message"]


async def test_addresses_that_do_not_exist(running: Running) -> None:
    for method, path in (("GET", "api/v1/nope"), ("POST", "api/v2/launches"), ("PUT", "api/"), ("GET", "api/v1/")):
        error_of(await running.call(method, path, None), 404)
    error_of(await running.call("PATCH", LAUNCHES), 405)
    error_of(await running.call("GET", LAUNCHES + "/" + "0" * 26), 404)


async def test_people_act_for_themselves_and_administrators_for_all(running: Running) -> None:
    body = {"user": "bob", "server_name": "x", "user_options": {}}
    error_of(await running.call("POST", LAUNCHES, json=body), 403)
    nobody = await running.call("POST", LAUNCHES, "admin", json={**body, "user": "zoe"})
    assert "no user zoe" in error_of(nobody, 404)["message"]
    answer = await running.call("POST", LAUNCHES, "admin", json=body)
    assert answer.status_code == 201
    one = running.of_server("bob", "x")
    assert one is not None
    assert (one.actor, one.group) == ("admin", "vision")
    error_of(await running.call("POST", "api/v1/servers/bob/x/stop"), 403)
    error_of(await running.call("POST", "api/v1/servers/bob/x/reset"), 403)
    error_of(await running.call("GET", LAUNCHES + "/" + one.launch_id), 404)
    error_of(await running.call("DELETE", LAUNCHES + "/" + one.launch_id), 404)
    error_of(await running.call("GET", "api/v1/servers?user=bob"), 403)
    error_of(await running.call("GET", "api/v1/servers?all=1"), 403)
    error_of(await running.call("GET", "api/v1/audit"), 403)
    error_of(await running.call("POST", "api/v1/reconcile"), 403)
    still = running.of_server("bob", "x")
    assert still is not None
    assert still.launch_id == one.launch_id
    assert (await running.call("POST", "api/v1/servers/bob/x/stop", "admin")).status_code == 202
    assert running.of_server("bob", "x") is None


async def test_the_token_in_an_administrators_own_server_is_not_an_administrators(running: Running) -> None:
    running.tokens.vouch("t-inside", "admin", admin=True, scopes=("start:servers!user=admin",))
    error_of(await running.call("POST", LAUNCHES, "inside", json={"user": "bob", "user_options": {}}), 403)
    error_of(await running.call("GET", "api/v1/audit", "inside"), 403)
    assert (await running.call("GET", "api/v1/servers", "inside")).status_code == 200


async def test_tokens_need_the_scope_and_strangers_get_nothing(running: Running) -> None:
    running.tokens.vouch("t-narrow", "alice", scopes=("none",))
    for who in (None, "nobody", "narrow"):
        for path in ("api/v1/servers", "api/v1/gpus", "api/v1/quotas", "metrics"):
            error_of(await running.call("GET", path, who), 403)
        error_of(await running.call("POST", LAUNCHES, who, json={}), 403)


async def test_a_hub_service_is_nobodys_namesake(running: Running) -> None:
    running.tokens.vouch("t-service", "alice", kind="service")
    error_of(await running.call("POST", LAUNCHES, "service", json={"user": "alice"}), 403)
    error_of(await running.call("POST", LAUNCHES, "service", json={}), 404, 422)


async def test_spawners_calls_need_the_secret(running: Running) -> None:
    for authorization in (None, "Bearer wrong", f"Bearer {SECRET}x", f"token {SECRET}", "token t-admin", "Bearer é"):
        headers = {"Authorization": authorization.encode()} if authorization else {}
        for method, path in (("PUT", ""), ("POST", "/held"), ("POST", "/released")):
            address = f"api/v1/reservations/alice/x{path}"
            error_of(await running.http.request(method, address, headers=headers, json={}), 403)


async def test_a_cookie_needs_the_pages_token_and_a_header_cannot_stand_in_for_it(running: Running) -> None:
    cookie = _signed_cookie(running, running.tokens.cookie_name, "t-alice")
    for headers in ({}, {"Authorization": "token nonsense"}, {"X-Xsrftoken": "guess"}):
        answer = await running.http.post(LAUNCHES, json={}, headers={"Cookie": cookie, **headers})
        error_of(answer, 403)
    assert len(running.projection) == 0
    seen = await running.http.get("api/v1/servers", headers={"Cookie": cookie, "Sec-Fetch-Mode": "navigate"})
    assert seen.status_code == 200


async def test_a_cookie_changes_nothing_even_with_the_pages_token(running: Running) -> None:
    """A page of another user's server, on the same origin, may have got hold of it."""
    login = _signed_cookie(running, running.tokens.cookie_name, "t-alice")
    home = await running.http.get("", headers={"Cookie": login, "Sec-Fetch-Mode": "navigate"})
    xsrf = home.cookies["_xsrf"]
    headers = {"Cookie": f"{login}; _xsrf={xsrf}", "X-Xsrftoken": xsrf, "Sec-Fetch-Mode": "cors"}
    assert (await running.http.get("api/v1/servers", headers=headers)).status_code == 200
    queue = (f"{LAUNCHES}/X/nearest", "api/v1/queue/X/move", "api/v1/servers/alice/_/release")
    for path in (LAUNCHES, "api/v1/servers/alice/_/stop", "api/v1/servers/alice/_/reset", *queue):
        answer = await running.http.post(path, json={}, headers=headers)
        assert "change nothing" in error_of(answer, 403)["message"]
    assert len(running.projection) == 0


async def test_an_idempotency_key_gives_one_launch_and_one_answer(running: Running) -> None:
    body = {"server_name": "x", "user_options": {"profile": "gpu"}}
    key = {"Idempotency-Key": "abc"}
    answers = await asyncio.gather(*(running.call("POST", LAUNCHES, json=body, headers=key) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert len(running.projection) == 1
    other = await running.call("POST", LAUNCHES, json={**body, "server_name": "y"}, headers=key)
    assert "another request" in error_of(other, 422)["message"]
    bobs = await running.call("POST", LAUNCHES, "bob", json=body, headers=key)
    assert bobs.json()["launch_id"] != answers[0].json()["launch_id"]
    error_of(await running.call("POST", LAUNCHES, json=body, headers={"Idempotency-Key": "x" * 500}), 422)


async def test_a_refusal_is_repeated_under_its_key_and_an_outage_is_not(running: Running) -> None:
    async def refuses(user: str, server: str, options: dict[str, Any]) -> None:
        raise LaunchRefused("The image is gone.")

    spawn, running.hub.spawn = running.hub.spawn, refuses
    body, key = {"user_options": {"profile": "gpu"}}, {"Idempotency-Key": "k"}
    first = await running.call("POST", LAUNCHES, json=body, headers=key)
    assert error_of(first, 409)["message"] == "The image is gone."
    running.hub.spawn = spawn
    again = await running.call("POST", LAUNCHES, json=body, headers=key)
    assert (again.status_code, again.json()) == (409, first.json())
    running.hub.fault = unreachable()
    error_of(await running.call("POST", LAUNCHES, json=body, headers={"Idempotency-Key": "l"}), 503)
    running.hub.fault = None
    assert (await running.call("POST", LAUNCHES, json=body, headers={"Idempotency-Key": "l"})).status_code == 201


async def test_what_the_hub_refuses_is_given_back_with_its_sentence(running: Running) -> None:
    async def refuses(user: str, server: str, options: dict[str, Any]) -> None:
        await running.spawner.released(user, server, options["launch_id"])  # as our spawner does when a start fails
        raise LaunchRefused("The image is gone.")

    running.hub.spawn = refuses
    answer = await running.call("POST", LAUNCHES, json={"server_name": "x", "user_options": {}})
    assert error_of(answer, 409)["message"] == "The image is gone."
    assert len(running.projection) == 0
    audit = (await running.call("GET", "api/v1/audit", "admin")).json()["entries"]
    assert [entry["act"] for entry in audit] == ["release", "admit"]
    status = (await running.call("GET", f"{LAUNCHES}/{audit[0]['launch_id']}")).json()
    assert (status["state"], status["failure"]) == ("failed", "The image is gone.")


@pytest.mark.parametrize("down", [False, True])
async def test_what_the_hub_refuses_and_its_spawner_could_not_end_stays_counted(running: Running, down: bool) -> None:
    async def refuses(user: str, server: str, options: dict[str, Any]) -> None:
        await running.spawn(user, server, options)
        running.backend.down = down
        raise LaunchRefused("The image is gone.")

    running.hub.spawn = refuses
    answer = await running.call("POST", LAUNCHES, json={"server_name": "x", "user_options": {}})
    assert error_of(answer, 409)["message"] == "The image is gone."
    assert [one.server for one in running.projection] == ["x"]


async def test_launches_are_redeemed_once_and_only_as_they_were_made(running: Running) -> None:
    redeemed: dict[str, Any] = {}

    async def spawn(user: str, server: str, options: dict[str, Any]) -> None:
        redeemed.update(options)
        for wrong in ({**options, "cpu": 8}, {**options, "launch_id": "01" + "Z" * 24}):
            with pytest.raises(LaunchRefused, match="There is no launch"):
                await running.spawn(user, server, wrong)
        for other in (("bob", server), (user, "other")):
            with pytest.raises(LaunchRefused, match="There is no launch"):
                await running.spawn(*other, options)
        await running.spawn(user, server, options)

    running.hub.spawn = spawn
    await running.call("POST", LAUNCHES, json={"server_name": "x", "user_options": {"profile": "cpu"}})
    with pytest.raises(LaunchRefused, match="was used already"):
        await running.spawn("alice", "x", redeemed)
    await running.call("POST", "api/v1/servers/alice/x/stop")
    with pytest.raises(LaunchRefused, match="was used already"):
        await running.spawn("alice", "x", redeemed)
    with pytest.raises(LaunchRefused, match="was used already"):
        await running.spawner.held("alice", "x", redeemed["launch_id"])
    assert len(running.projection) == 0


async def test_spawners_calls_can_be_repeated(running: Running) -> None:
    launch_id = running.world.make_launch_id()

    async def reserve() -> Any:
        return await running.spawner.reserve(
            "alice", "x", launch_id=launch_id, user_options={}, groups=("vision",), backend="c", deadline_s=60
        )

    assert await reserve() == await reserve()
    for _ in range(2):
        await running.spawner.held("alice", "x", launch_id)
    for _ in range(2):
        await running.spawner.released("alice", "x", launch_id)
    with pytest.raises(LaunchRefused, match="was used already"):
        await reserve()
    await running.spawner.released("alice", "x", "01" + "N" * 24)
    assert len(running.projection) == 0


@pytest.mark.parametrize("asked", [False, True])
async def test_an_end_that_was_asked_for_is_no_failure(running: Running, asked: bool) -> None:
    """Also not where a hub, killed in the middle of the stop, says that the server ended by itself."""
    body = {"server_name": "x", "user_options": {"profile": "cpu"}}
    launch_id = (await running.call("POST", "api/v1/launches", json=body)).json()["launch_id"]
    if asked:
        known = running.of_server("alice", "x")
        assert known is not None
        await running.world.writer.submit(
            reservations.change(known, 1.0, actor="alice", act_name="stop", why=Message("x"), state="stopping")
        )
    await running.spawner.released("alice", "x", launch_id, reason=Message("It was deleted."))
    kept = running.world.ledger.reservation(launch_id)
    assert kept is not None
    assert (kept.state, str(kept.failure or "")) == ("released", "" if asked else "It was deleted.")


@pytest.mark.parametrize("notes", BAD_NOTES.values(), ids=BAD_NOTES.keys())
def test_notes_that_cannot_be_spoken(notes: Any) -> None:
    with pytest.raises(InvalidBody, match=r"not right at notes.*openapi\.json\.$"):
        parse(json.dumps({"launch_id": "01", "notes": notes}).encode(), HeldBody)


def sentences(values: dict[str, Any]) -> st.SearchStrategy[Message]:
    """Return sentences that say some of these values, perhaps twice."""
    text = st.text(st.characters(exclude_characters="{}"))
    parts = st.lists(st.one_of(st.sampled_from([f"{{{name}}}" for name in values]), text))
    return parts.map(lambda parts: Message.of("".join(parts), values))


def with_values(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Message]:
    """Return sentences with such values."""
    return st.dictionaries(st.sampled_from("abc"), inner, min_size=1).flatmap(sentences)


AWKWARD = st.sampled_from(["\ud800", "\0", "{a}", "x" * 1500])
VALUES = st.recursive(st.one_of(st.text(), st.integers(-(10**30), 10**30), st.floats(), AWKWARD), with_values)


@settings(max_examples=40)
@given(st.lists(with_values(VALUES), max_size=30))
def test_every_note_of_a_spawner_is_taken_and_says_the_same(notes: list[Message]) -> None:
    body = json.dumps(make_held_body("01", notes), ensure_ascii=False, allow_nan=False).encode()
    taken = parse(body, HeldBody).notes
    assert [str(one) for one in taken] == [str(one)[:LONGEST].encode("utf-8", "replace").decode() for one in notes[:20]]


async def test_a_full_disk_is_told_and_survived(running: Running) -> None:
    ledger: Any = running.world.ledger
    free = fill(ledger)
    big = {"server_name": "x", "user_options": {"profile": "gpu"}}
    refused = 0
    for number in range(40):  # some pages of the file are still free
        answer = await running.call("POST", LAUNCHES, json={**big, "server_name": f"s{number}"})
        if answer.status_code == 503:
            refused += 1
            assert "disk is full" in error_of(answer, 503)["message"]
            assert running.of_server("alice", f"s{number}") is None
    assert refused
    health = await running.call("GET", "health", None)
    assert (health.status_code, health.json()["status"]) == (503, "failing")
    assert (await running.call("GET", "api/v1/gpus")).status_code == 200
    free()
    answer = await running.call("POST", LAUNCHES, json={"server_name": "again", "user_options": {}})
    assert answer.status_code == 201
    health = await running.call("GET", "health", None)
    assert (health.status_code, health.json()["ledger"]) == (200, "ok")


async def test_reset_needs_a_stopped_server(running: Running) -> None:
    await running.call("POST", LAUNCHES, json={"server_name": "x", "user_options": {}})
    assert "Stop it first" in error_of(await running.call("POST", "api/v1/servers/alice/x/reset"), 409)["message"]
    await running.call("POST", "api/v1/servers/alice/x/stop")
    assert (await running.call("POST", "api/v1/servers/alice/x/reset", "admin")).status_code == 200
    (told,) = (await running.call("GET", "api/v1/audit", "admin", params={"act": "reset"})).json()["entries"]
    assert (told["actor"], told["user"], told["server"]) == ("admin", "alice", "x")


async def test_a_stop_that_the_hub_does_not_hear_changes_nothing(running: Running) -> None:
    await running.call("POST", LAUNCHES, json={"server_name": "x", "user_options": {}})
    before = running.of_server("alice", "x")
    running.hub.fault = unreachable()
    error_of(await running.call("POST", "api/v1/servers/alice/x/stop"), 503)
    after = running.of_server("alice", "x")
    assert before is not None
    assert after is not None
    assert after.state == before.state == "held"
    assert after.failure is None


async def test_who_stops_a_start_is_not_told_that_it_failed_by_itself(running: Running) -> None:
    told = (await running.call("POST", LAUNCHES, json={"server_name": "x", "user_options": {}})).json()
    one = running.of_server("alice", "x")
    assert one is not None
    assert one.ready is None
    await running.call("POST", "api/v1/servers/alice/x/stop")
    status = (await running.call("GET", f"{LAUNCHES}/{told['launch_id']}")).json()
    assert (status["state"], status["failure"]) == ("failed", "alice stopped it before it was ready.")


async def test_previews_reserve_nothing(running: Running) -> None:
    body = {"user_options": {"profile": "gpu", "gpus": 8}}
    preview = (await running.call("POST", "api/v1/launches/preview", json=body)).json()
    assert preview["starts_now"] is False
    assert preview["reasons"][0]["code"] == "group_never"
    body = {"user_options": {"profile": "gpu", "gpus": 2}}
    preview = (await running.call("POST", "api/v1/launches/preview", json=body)).json()
    assert preview["starts_now"] is True
    assert preview["request"]["gpus"] == 2
    wrong = (await running.call("POST", "api/v1/launches/preview", json={"user_options": {"cpu": -1}})).json()
    assert (wrong["starts_now"], wrong["request"]) == (False, None)
    assert len(running.projection) == 0


async def test_lists(running: Running) -> None:
    await running.call("POST", LAUNCHES, json={"server_name": "x", "user_options": {"profile": "gpu"}})
    mine = (await running.call("GET", "api/v1/servers")).json()["servers"]
    assert [(one["server_name"], one["state"], one["gpus"]) for one in mine] == [("x", "running", 1)]
    everything = (await running.call("GET", "api/v1/servers?all=1", "admin")).json()["servers"]
    assert [one["user"] for one in everything] == ["alice"]
    quotas = (await running.call("GET", "api/v1/quotas")).json()
    more = {"borrowed": {}, "each": {}, "changes": []}
    limits = {"limit": {"gpu:a100": 6.0}, "guaranteed": {}, "soft": [], **more}
    assert quotas["groups"] == [{"name": "vision", "used": _gpu_use(), **limits}]
    assert [user["name"] for user in quotas["users"]] == ["alice"]
    metrics = (await running.call("GET", "metrics")).text
    assert 'mlabhub_gpus_held{type="a100"} 1.0' in metrics
    assert 'mlabhub_decisions_total{verdict="admit"} 1.0' in metrics
    assert "alice" not in metrics
    audit = (await running.call("GET", "api/v1/audit?limit=1", "admin")).json()["entries"]
    assert [entry["act"] for entry in audit] == ["admit"]
    for number in ("-1", "0", "1e3", "9" * 5000):
        error_of(await running.call("GET", f"api/v1/audit?limit={number}", "admin"), 422)
    error_of(await running.call("GET", "api/v1/audit?before=" + "9" * 30, "admin"), 422)


async def test_the_description_has_every_call(running: Running) -> None:
    document = (await running.call("GET", "api/v1/openapi.json", None)).json()
    assert document["openapi"] == "3.1.0"
    described = {
        (path, method) for path, item in document["paths"].items() for method in item if method != "parameters"
    }
    assert described == {("/" + route.path, call.method) for route in ROUTES for call in route.calls}
    for route in ROUTES:
        assert {call.method for call in route.calls} == _methods(route.handler)
    launch = document["paths"]["/api/v1/launches"]["post"]
    assert launch["requestBody"]["content"]["application/json"]["schema"]["additionalProperties"] is False
    assert "201" in launch["responses"]


def _methods(handler: Any) -> set[str]:
    return {name for cls in handler.__mro__ if "mlabhub" in cls.__module__ for name in vars(cls)} & {
        "get",
        "post",
        "put",
        "delete",
        "patch",
    }


def _gpu_use() -> dict[str, float]:
    return {"cpu": 1.0, "memory_gib": 2.0, "servers": 1.0, "gpu": 1.0, "gpu:a100": 1.0}


def _signed_cookie(running: Running, name: str, value: str) -> str:
    secret = running.service.application.settings["cookie_secret"]
    return f"{name}={create_signed_value(secret, name, value).decode()}"


def test_nothing_of_a_body_reaches_a_template() -> None:
    with pytest.raises(InvalidBody) as caught:
        parse_json(b'{"a": {x} }')
    assert json.dumps(caught.value.to_dict())
