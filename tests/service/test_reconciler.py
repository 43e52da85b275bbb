"""The reconciler at work: crashes between any two steps, outages, races; after it all agree and nothing is lost."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from mlabhub.client.transport import NoAnswer
from mlabhub.ledger import Reservation
from mlabhub.service.census import Census
from mlabhub.service.reconcile_rules import GRACE_S
from mlabhub.service.reconciler import Report
from mlabhub.service.writer import Outcome
from tests.doubles import unreachable
from tests.service.conftest import Running


async def launched(running: Running, server: str = "x", user: str = "alice", **options: Any) -> Reservation:
    """Launch a server through the API and return its reservation."""
    body = {"server_name": server, "user_options": {"profile": "gpu", **options}}
    answer = await running.call("POST", "api/v1/launches", user, json=body)
    assert answer.status_code == 201, answer.text
    one = running.of_server(user, server)
    assert one is not None
    return one


async def later(running: Running, seconds: float = GRACE_S + 1, *, repair: bool = False) -> Report:
    """Let time pass, then let the reconciler look once."""
    began = running.world.clock
    running.world.clock = lambda: began() + seconds
    return await running.service.reconciler.round(repair=repair)


def done(report: Report) -> list[str]:
    assert report.error is None
    return [finding.kind for finding, acted in report.findings if acted]


def shown(report: Report) -> list[str]:
    return [finding.kind for finding, acted in report.findings if not acted]


async def test_nothing_is_found_where_all_agree(running: Running) -> None:
    await launched(running)
    assert done(await later(running)) == ["ready"]
    assert (await later(running)).findings == ()


async def test_the_hub_dies_between_the_containers_start_and_its_answer(running: Running) -> None:
    async def dies(user: str, server: str, options: dict[str, Any]) -> None:
        admission = await running.spawner.reserve(
            user, server, launch_id="0" * 26, user_options=options, groups=("vision",), backend="c", deadline_s=60
        )
        assert admission.plan is not None
        running.backend.run(admission.plan.launch_id, user, server, admission.plan.gpus)
        raise NoAnswer("connection reset")

    running.hub.spawn = dies
    answer = await running.call("POST", "api/v1/launches", json={"user_options": {"profile": "gpu"}})
    assert answer.status_code == 201  # nobody knows whether it starts; its page tells
    running.hub.lose("alice", "")
    one = running.of_server("alice")
    assert one is not None
    assert one.state == "pending"
    assert done(await later(running)) == ["remove"]
    assert running.of_server("alice") is None
    assert running.backend.removed == [one.launch_id]
    assert running.projection.holdings.is_free(one.gpus[0])
    status = (
        await running.call("GET", answer.json()["url"].replace("/services/mlabhub/starting", "api/v1/launches"))
    ).json()
    assert status["state"] == "failed"
    assert "ended before it was ready" in status["failure"]


async def test_the_hub_dies_after_the_server_was_confirmed(running: Running) -> None:
    one = await launched(running)
    running.hub.lose("alice", "x")
    assert done(await later(running)) == ["remove"]
    assert running.backend.removed == [one.launch_id]
    assert running.of_server("alice", "x") is None


async def test_work_that_the_hub_has_lost_is_kept_until_somebody_decides(running: Running) -> None:
    one = await launched(running, gpus=2)
    await later(running)
    running.hub.lose("alice", "x")
    assert done(await later(running)) == ["lost"]
    kept = running.of_server("alice", "x")
    assert kept is not None
    assert (kept.state, kept.gpus) == ("unknown", one.gpus)
    assert shown(await later(running)) == ["unknown"]
    again = await running.call("POST", "api/v1/launches", json={"server_name": "x", "user_options": {}})
    assert again.status_code == 409
    assert "an earlier start that the hub has lost" in again.json()["error"]["message"]
    assert done(await later(running, repair=True)) == ["unknown"]
    assert running.of_server("alice", "x") is None
    assert running.backend.removed == [one.launch_id]


async def test_its_owner_may_end_what_the_hub_has_lost(running: Running) -> None:
    one = await launched(running)
    await later(running)
    running.hub.lose("alice", "x")
    await later(running)
    assert (await running.call("POST", "api/v1/servers/alice/x/stop")).status_code == 202
    assert done(await later(running)) == ["remove"]
    assert running.backend.removed == [one.launch_id]
    assert (await launched(running)).launch_id != one.launch_id


async def test_what_was_lost_and_is_found_again_goes_on(running: Running) -> None:
    await launched(running)
    await later(running)
    at_hub = running.hub.servers["alice", "x"]
    running.hub.lose("alice", "x")
    await later(running)
    running.hub.servers["alice", "x"] = at_hub
    assert done(await later(running)) == ["resume"]
    assert (await later(running)).findings == ()


async def test_a_server_that_vanished_everywhere_is_given_back(running: Running) -> None:
    one = await launched(running)
    await later(running)
    running.hub.lose("alice", "x")
    running.backend.running.clear()
    assert done(await later(running)) == ["release"]
    assert running.of_server("alice", "x") is None
    past = await asyncio.to_thread(running.world.ledger.reservation, one.launch_id)
    assert past is not None
    assert past.state == "released"


@pytest.mark.parametrize("outage", ["hub", "backend"])
async def test_nothing_is_decided_during_an_outage(running: Running, outage: str) -> None:
    await launched(running)
    running.hub.lose("alice", "x")
    running.backend.running.clear()
    if outage == "hub":
        running.hub.fault = unreachable()
    else:
        running.backend.down = True
    report = await later(running)
    assert report.error is not None
    assert running.of_server("alice", "x") is not None
    health = (await running.call("GET", "health", None)).json()
    assert health["status"] == "degraded"
    running.hub.fault, running.backend.down = None, False
    assert done(await later(running)) == ["release"]


async def test_a_launch_that_was_never_sent_is_given_back(running: Running) -> None:
    one = await launched(running)
    await running.hub.stop("alice", "x")
    assert running.of_server("alice", "x") is None
    pending = replace(one, launch_id="01" + "A" * 24, state="pending", held=None, redeemed=None, released=None)
    await running.world.writer.submit(lambda _: _outcome(pending))
    assert done(await later(running)) == ["release"]


async def test_a_stop_is_finished_that_the_hub_forgot(running: Running) -> None:
    one = await launched(running)
    running.hub.stop_takes = None  # the hub says that it stopped; the container runs on
    assert (await running.call("POST", "api/v1/servers/alice/x/stop")).status_code == 202
    stopping = running.of_server("alice", "x")
    assert stopping is not None
    assert stopping.state == "stopping"
    assert done(await later(running)) == ["remove"]
    assert running.backend.removed == [one.launch_id]


async def test_a_server_that_the_hub_serves_is_counted_again(running: Running) -> None:
    await launched(running, gpus=2)
    await later(running)
    running.backend.run("01" + "B" * 24, "bob", "y", ("GPU-n1-a100-7",))
    running.hub.servers["bob", "y"] = replace(running.hub.servers["alice", "x"], user="bob", name="y", user_options={})
    assert done(await later(running)) == ["adopt"]
    adopted = running.of_server("bob", "y")
    assert adopted is not None
    assert (adopted.state, adopted.gpus, adopted.gpu_type, adopted.node) == ("held", ("GPU-n1-a100-7",), "a100", "n1")
    assert (await later(running)).findings == ()


async def test_an_orphan_is_counted_and_left_for_an_administrator(running: Running) -> None:
    await later(running)
    running.backend.run("01" + "C" * 24, "bob", "y", ("GPU-n1-a100-7", "GPU-n1-a100-6"))
    assert done(await later(running)) == ["orphan"]
    orphan = running.of_server("bob", "y")
    assert orphan is not None
    assert orphan.state == "unknown"
    assert not running.projection.holdings.is_free("GPU-n1-a100-7")
    assert done(await later(running, repair=True)) == ["unknown"]
    assert running.projection.holdings.is_free("GPU-n1-a100-7")


async def test_an_orphans_gpu_that_is_anothers_already_stays_with_that_one(running: Running) -> None:
    one = await launched(running)
    await later(running)
    running.backend.run("01" + "D" * 24, "bob", "y", (*one.gpus, "GPU-n1-a100-7"))
    await later(running)
    orphan = running.of_server("bob", "y")
    assert orphan is not None
    assert orphan.gpus == ("GPU-n1-a100-7",)


async def test_nothing_is_given_away_before_what_runs_was_counted(running: Running) -> None:
    """The ledger was restored from yesterday: seven GPUs are in use that it knows nothing of."""
    for number in range(7):
        running.backend.run(f"01{number:024}", "bob", f"s{number}", (f"GPU-n1-a100-{number}",))
    running.backend.down = True
    answer = await running.call("POST", "api/v1/launches", json={"user_options": {"profile": "gpu"}})
    assert answer.status_code == 503
    running.backend.down = False
    assert (await launched(running, "x")).gpus == ("GPU-n1-a100-7",)
    body = {"server_name": "y", "user_options": {"profile": "gpu"}, "queue": False}
    again = await running.call("POST", "api/v1/launches", json=body)
    assert again.status_code == 409
    assert {one.state for one in running.projection if one.user == "bob"} == {"unknown"}


async def test_what_runs_wins_over_what_only_stands_in_the_ledger(running: Running) -> None:
    stale = await launched(running, "x", gpus=2)
    running.backend.running.clear()
    running.backend.run("01" + "F" * 24, "bob", "y", stale.gpus)
    running.world.census = Census(
        running.world.writer, running.world.ledger, running.backend, lambda: running.world.clock()
    )
    await running.world.census.ensure()
    found = running.of_server("bob", "y")
    assert found is not None
    assert found.gpus == stale.gpus
    assert running.of_server("alice", "x") is None


async def test_leftovers_that_ended_are_carried_over_and_removed(running: Running) -> None:
    running.backend.run("01" + "E" * 24, "bob", "y", state="exited")
    assert done(await later(running)) == ["remove"]
    assert running.backend.kept.keys() == {("bob", "y")}
    assert (await later(running)).findings == ()


async def test_what_has_changed_meanwhile_is_not_acted_on(running: Running) -> None:
    """The first look says lost, the second one that the hub has it: nothing happens."""
    await launched(running)
    await later(running)
    at_hub = running.hub.servers.pop(("alice", "x"))
    looks = []

    def meanwhile() -> None:
        looks.append(1)
        if len(looks) == 1:
            running.hub.servers["alice", "x"] = at_hub

    running.backend.before_servers = meanwhile
    report = await later(running)
    assert shown(report) == ["lost"]
    one = running.of_server("alice", "x")
    assert one is not None
    assert one.state == "held"


async def test_a_server_is_started_anew_though_its_end_was_never_told(running: Running) -> None:
    """The hub's word of the end was lost; the launch page does not wait for the reconciler's next round."""
    one = await launched(running)
    running.hub.servers["alice", "x"] = replace(running.hub.servers["alice", "x"], ready=False)
    running.backend.running.clear()
    began = running.world.clock
    running.world.clock = lambda: began() + GRACE_S + 1
    assert (await launched(running)).launch_id != one.launch_id


async def test_a_spawn_by_the_hubs_own_page_replaces_what_is_over(running: Running) -> None:
    one = await launched(running)
    running.backend.running.clear()
    running.hub.lose("alice", "x")
    await running.hub.start("alice", "x", display_name="", user_options={"profile": "cpu"})
    now = running.of_server("alice", "x")
    assert now is not None
    assert now.launch_id != one.launch_id
    assert (now.origin, now.state) == ("spawner", "held")


async def test_a_spawn_beside_a_launch_that_is_under_way_is_refused(running: Running) -> None:
    async def meanwhile(user: str, server: str, options: dict[str, Any]) -> None:
        admission = await running.spawner.reserve(
            user, server, launch_id="0" * 26, user_options={}, groups=("vision",), backend="c", deadline_s=60
        )
        assert not admission.admitted
        assert "is being started already" in admission.sentence
        await running.spawn(user, server, options)

    running.hub.spawn = meanwhile
    assert (await launched(running)).state == "held"


async def test_the_loop_looks_at_once_and_again_when_woken(running: Running) -> None:
    pauses: list[float] = []
    looked = asyncio.Event()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        looked.set()
        await asyncio.sleep(0 if seconds == 1.0 else 3600)

    loop = asyncio.create_task(running.service.reconciler.run(sleep))
    await asyncio.wait_for(looked.wait(), 5)
    assert pauses == [30.0]
    looked.clear()
    running.service.reconciler.wake()
    await asyncio.wait_for(looked.wait(), 5)
    await asyncio.sleep(0.05)
    assert pauses == [30.0, 1.0, 30.0]
    running.hub.fault = unreachable()
    running.service.reconciler.wake()
    await asyncio.sleep(0.1)
    assert pauses[-1] == 5.0
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)


def _outcome(one: Reservation) -> Outcome[None]:
    return Outcome(None, (one,))
