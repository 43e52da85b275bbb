"""Safe mode is offered after the second failed start, launched as the least that there is, and gone again after it."""

from __future__ import annotations

from typing import Any

from mlabhub.errors import LaunchRefused
from mlabhub.messages import Message
from tests.service.conftest import Running


async def fail(running: Running, times: int = 1, server: str = "train") -> None:
    """Let a server start, and end before it answers."""
    spawn = running.hub.spawn

    async def crash(user: str, name: str, options: dict[str, Any]) -> None:
        assert spawn is not None
        await spawn(user, name, options)
        one = running.of_server(user, name)
        assert one is not None
        del running.backend.running[one.launch_id]
        await running.spawner.released(user, name, one.launch_id, reason=Message("It ended with status 1."))
        raise LaunchRefused("It ended with status 1.")

    running.hub.spawn = crash
    for _ in range(times):
        body = {"server_name": server, "display_name": "Training", "user_options": {"profile": "gpu", "gpus": 2}}
        answer = await running.call("POST", "api/v1/launches", json=body)
        assert answer.status_code == 409, answer.text
    running.hub.spawn = spawn


async def view(running: Running, server: str = "train") -> dict[str, Any]:
    servers = (await running.call("GET", "api/v1/servers")).json()["servers"]
    return next(one for one in servers if one["server_name"] == server)  # type: ignore[no-any-return]


async def test_it_is_offered_after_the_second_failure_and_mends(running: Running) -> None:
    await fail(running)
    assert (await view(running))["safe_mode_offered"] is False
    await fail(running)
    seen = await view(running)
    assert (seen["safe_mode_offered"], seen["safe"]) == (True, False)

    answer = await running.call("POST", "api/v1/servers/alice/train/safe-mode")
    assert answer.status_code == 201, answer.text
    one = running.of_server("alice", "train")
    assert one is not None
    assert (one.profile, one.gpus, one.cpu, one.memory_gib, one.display_name) == ("cpu", (), 1, 1, "Training")
    assert one.plan is not None
    assert one.plan["environment"]["MLABHUB_SAFE"] == "1"
    await running.call("GET", f"api/v1/launches/{one.launch_id}")
    seen = await view(running)
    assert (seen["safe_mode_offered"], seen["safe"]) == (False, True)

    await running.call("POST", "api/v1/servers/alice/train/stop")
    past = await running.service.application.settings["launcher"].past_launches("alice")
    assert [one.options.get("gpus") for one in past if one.server_name == "train"] == [2]
    assert (await view(running))["safe_mode_offered"] is False


async def test_who_may_not(running: Running) -> None:
    assert (await running.call("POST", "api/v1/servers/alice/train/safe-mode", "bob")).status_code == 403
    answer = await running.call("POST", "api/v1/servers/alice/train/safe-mode")
    assert answer.status_code == 404
    assert "never started" in answer.json()["error"]["message"]


async def test_a_failure_of_another_server_or_one_that_was_refused_counts_for_nothing(running: Running) -> None:
    await fail(running, server="other")
    await fail(running)
    for _ in range(2):
        body = {"server_name": "train", "user_options": {"profile": "gpu", "gpus": 9}}
        assert (await running.call("POST", "api/v1/launches", json=body)).status_code in (409, 422)
    assert (await view(running))["safe_mode_offered"] is False


async def test_one_that_runs_is_not_started_twice(running: Running) -> None:
    await running.call("POST", "api/v1/launches", json={"server_name": "train", "user_options": {"profile": "cpu"}})
    answer = await running.call("POST", "api/v1/servers/alice/train/safe-mode")
    assert answer.status_code == 409
    assert "runs already" in answer.json()["error"]["message"]


async def test_it_is_not_a_way_around_quotas(running: Running) -> None:
    for number in range(20):
        body = {"server_name": f"s{number}", "user_options": {"profile": "cpu", "safe": True}}
        assert (await running.call("POST", "api/v1/launches", json=body)).status_code == 201
    body = {"server_name": "one-more", "user_options": {"profile": "cpu", "safe": True}}
    assert (await running.call("POST", "api/v1/launches", json=body)).status_code == 202  # it waits for its turn
    assert running.of_server("alice", "one-more") is None
