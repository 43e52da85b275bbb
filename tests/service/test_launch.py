"""Launches from the API to the spawner and back, over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

from mlabhub.messages import N_, Message
from tests.service.conftest import Running


async def test_a_launch_is_admitted_started_watched_and_stopped(running: Running) -> None:
    answer = await running.call(
        "POST", "api/v1/launches", json={"server_name": "train", "user_options": {"profile": "gpu", "gpus": 2}}
    )
    assert answer.status_code == 201, answer.text
    launch_id = answer.json()["launch_id"]
    assert answer.json() == {
        "state": "starting",
        "launch_id": launch_id,
        "url": f"/services/mlabhub/starting/{launch_id}",
        "notes": [],
    }
    one = running.of_server("alice", "train")
    assert one is not None
    assert (one.state, one.group, len(one.gpus), one.gpu_type) == ("held", "vision", 2, "a100")

    status = (await running.call("GET", f"api/v1/launches/{launch_id}")).json()
    assert status["state"] == "ready"
    assert [step["done"] for step in status["steps"]] == [True] * 4

    nodes = (await running.call("GET", "api/v1/gpus")).json()["nodes"]
    assert sorted(gpu["user"] for gpu in nodes[0]["gpus"] if gpu["held"]) == ["alice", "alice"]
    assert {gpu["user"] for gpu in (await running.call("GET", "api/v1/gpus", "carol")).json()["nodes"][0]["gpus"]} == {
        None
    }

    assert (await running.call("POST", "api/v1/servers/alice/train/stop")).status_code == 202
    assert running.of_server("alice", "train") is None
    assert (await running.call("GET", f"api/v1/launches/{launch_id}")).json()["state"] == "ended"


async def test_what_a_server_goes_without_is_said_as_long_as_it_runs_whatever_comes_twice(running: Running) -> None:
    launch_id, spawner = running.world.make_launch_id(), running.spawner
    nothing: dict[str, Any] = {"user_options": {}, "groups": ("vision",), "backend": "container", "deadline_s": 60}
    await spawner.reserve("alice", "x", launch_id=launch_id, **nothing)
    await spawner.held("alice", "x", launch_id)  # what the reconciler saw first
    reason = Message.of(N_("{folder} is {kind}"), folder="/nas/{x}", kind=Message(N_("missing")))
    note = Message.of(N_("Without {target}: {reason}"), target="/data", reason=reason)
    for _ in range(2):
        await spawner.held("alice", "x", launch_id, [note])
    assert running.world.ledger.load(0.0).reservations[0].notes == (note,)
    said = ["Without /data: /nas/{x} is missing"]
    [server] = (await running.call("GET", "api/v1/servers")).json()["servers"]
    [everybodys] = (await running.call("GET", "api/v1/servers?all=1", "admin")).json()["servers"]
    status = (await running.call("GET", f"api/v1/launches/{launch_id}")).json()
    assert (server["notes"], everybodys["notes"], status["notes"]) == (said, said, said)
    await spawner.released("alice", "x", launch_id)
    assert (await running.call("GET", "api/v1/servers")).json()["servers"] == []


async def test_a_start_says_what_its_spawner_said_last_until_the_server_runs(running: Running) -> None:
    launch_id, spawner = running.world.make_launch_id(), running.spawner

    async def steps() -> list[str]:
        status = (await running.call("GET", f"api/v1/launches/{launch_id}")).json()
        return [str(step["message"]) for step in status["steps"]]

    nothing: dict[str, Any] = {"user_options": {}, "groups": ("vision",), "backend": "container", "deadline_s": 60}
    await spawner.reserve("alice", "x", launch_id=launch_id, **nothing)
    assert (await steps())[1:] == ["The hub prepares the server: folders, network, image"]
    running.hub.told = Message.of(N_("Its node is {node}"), node="n1")
    assert (await steps())[1:] == ["Its node is n1"]
    await spawner.held("alice", "x", launch_id)
    assert "Its node is n1" not in await steps()


async def test_a_start_that_fails_does_so_in_its_last_step(running: Running) -> None:
    launch_id, spawner = running.world.make_launch_id(), running.spawner
    nothing: dict[str, Any] = {"user_options": {}, "groups": ("vision",), "backend": "container", "deadline_s": 60}
    await spawner.reserve("alice", "x", launch_id=launch_id, **nothing)
    await spawner.released("alice", "x", launch_id, reason=Message(N_("missing")))
    status = (await running.call("GET", f"api/v1/launches/{launch_id}")).json()
    assert (status["state"], [step["done"] for step in status["steps"]]) == ("failed", [True, False])


async def test_the_default_server_is_an_underscore_or_nothing_in_urls(running: Running) -> None:
    for address in ("api/v1/servers/alice/_/stop", "api/v1/servers/alice//stop"):
        assert (await running.call("POST", "api/v1/launches", json={})).status_code == 201
        assert running.of_server("alice") is not None
        assert (await running.call("POST", address)).status_code == 202
        assert running.of_server("alice") is None


async def test_a_full_group_is_refused_with_names_and_numbers(running: Running) -> None:
    options = {"profile": "gpu", "gpus": 3}
    for user in ("alice", "bob"):
        answer = await running.call("POST", "api/v1/launches", user, json={"user_options": options})
        assert answer.status_code == 201, answer.text
    answer = await running.call(
        "POST", "api/v1/launches", json={"server_name": "more", "user_options": options, "queue": False}
    )
    assert answer.status_code == 409
    error = answer.json()["error"]
    assert "vision holds 6 of 6 A100: alice 3, bob 3" in error["message"]
    assert error["reasons"][0]["code"] == "group_limit"
    assert running.of_server("alice", "more") is None


async def test_twenty_clicks_at_once_do_not_outrun_a_cap(running: Running) -> None:
    bodies = [{"server_name": f"s{number}", "user_options": {"profile": "gpu", "gpus": 3}} for number in range(20)]
    answers = await asyncio.gather(*(running.call("POST", "api/v1/launches", "carol", json=body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201] * 2 + [202] * 18
    assert sum(len(one.gpus) for one in running.projection) == 6


async def test_a_hundred_at_once_for_eight_gpus(running: Running) -> None:
    for number in range(100):
        running.hub.add_user(f"u{number}")
        running.tokens.vouch(f"t-u{number}", f"u{number}")
    answers = await asyncio.gather(
        *(
            running.call("POST", "api/v1/launches", f"u{number}", json={"user_options": {"profile": "gpu"}})
            for number in range(100)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [201] * 8 + [202] * 92
    held = [uuid for one in running.projection for uuid in one.gpus]
    assert len(held) == len(set(held)) == 8
