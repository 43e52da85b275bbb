"""A server gives its GPUs back, goes on without, and has them again; with everything that comes in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlabhub.errors import LaunchRefused, NotFound, NotPermitted
from mlabhub.service.shelving.care import KEPT_S
from mlabhub.service.views import LaunchAnswer
from mlabhub.service.wait_views import Queued
from tests.doubles import unreachable
from tests.service.shelving.conftest import ADMIN, ALICE, BOB, CPU, GPU_ONLY, ShelvingLab, make_catalog

RESCUE = "/mnt/user/alice/mlabhub-rescue/2026-11-27-server"


async def test_it_saves_ends_and_goes_on_without_gpus(lab: ShelvingLab) -> None:
    first = await lab.runs("alice", gpus=2, cpu=4, memory_gib=8)
    view = await lab.shelving.release(ALICE, "alice", "", "the run is over")
    assert (view.state, view.gpus) == ("saving", 2)
    order = lab.shelving.order(first)
    assert order is not None
    assert order.until == lab.now + 90
    assert "the run is over" in order.reason["en"]
    assert set(order.reason) == {"en", "zh_CN"}

    await lab.pass_time(60)
    assert (lab.state(), lab.gpus()) == ("saving", 2)
    await lab.shelving.saved(first, RESCUE)
    assert lab.shelving.order(first) is not None
    await lab.pass_time()

    assert (lab.state(), lab.gpus()) == ("released", 0)
    assert lab.shelving.order(first) is None
    one = lab.projection.of_server("alice", "")
    assert one is not None
    assert one.launch_id != first
    assert (one.profile, one.image, one.cpu, one.memory_gib, one.actor) == ("gpu", "base", 4, 8, "alice")
    shelved = lab.shelved()
    assert shelved is not None
    assert (shelved.rescue, shelved.fault) == (RESCUE, None)
    told = lab.news.items[-1]
    assert told.kind == "gpu_released"
    assert RESCUE in str(told.body)
    acts = [act for act, _ in lab.acts()]
    assert acts[acts.index("release_gpu") :] == ["release_gpu", "stop", "release", "admit", "release_gpu"]


async def test_without_an_answer_it_ends_when_its_time_is_over(lab: ShelvingLab) -> None:
    await lab.runs("alice", gpus=1)
    await lab.shelving.release(ALICE, "alice", "")
    await lab.pass_time(89)
    assert lab.gpus() == 1
    await lab.pass_time(2)
    assert (lab.state(), lab.gpus()) == ("released", 0)
    words = [str(entry.message) for entry in lab.ledger.audit(limit=20) if entry.act == "stop"]
    assert words == ["nobody inside said that all is saved; it is stopped, and goes on without GPUs"]
    shelved = lab.shelved()
    assert shelved is not None
    assert shelved.rescue == ""


async def test_the_agent_or_the_idle_loop_asks_for_it(lab: ShelvingLab) -> None:
    launch_id = await lab.runs("alice", gpus=1)
    assert (await lab.shelving.release_own(launch_id)).state == "saving"
    again = await lab.shelving.release(ALICE, "alice", "", "twice")
    assert again.reason is not None
    assert "from inside" in str(again.reason)
    assert [act for act, _ in lab.acts()].count("release_gpu") == 1
    await lab.pass_time(100)
    assert lab.gpus() == 0


async def test_who_may_not_and_what_cannot(lab: ShelvingLab) -> None:
    with pytest.raises(LaunchRefused, match="does not run"):
        await lab.shelving.release(ALICE, "alice", "")
    await lab.runs("alice", gpus=0)
    with pytest.raises(LaunchRefused, match="holds no GPU"):
        await lab.shelving.release(ALICE, "alice", "")
    with pytest.raises(NotPermitted):
        await lab.shelving.release(BOB, "alice", "")
    with pytest.raises(NotPermitted):
        await lab.shelving.bring_back(BOB, "alice", "")
    with pytest.raises(NotFound):
        await lab.shelving.bring_back(ALICE, "alice", "")
    await lab.shelving.saved("01JUNKNOWN", "/x")
    assert lab.shelved() is None
    await lab.runs("bob", gpus=1)
    assert (await lab.shelving.release(ADMIN, "bob", "")).state == "saving"


async def test_it_has_its_gpus_again(lab: ShelvingLab) -> None:
    await lab.runs("alice", gpus=2, cpu=4)
    await lab.shelving.release(ALICE, "alice", "")
    with pytest.raises(LaunchRefused, match="still giving"):
        await lab.shelving.bring_back(ALICE, "alice", "")
    await lab.pass_time(91)
    assert await lab.shelving.foresee(ALICE, "alice", "") is None
    answer = await lab.shelving.bring_back(ALICE, "alice", "")
    assert isinstance(answer, LaunchAnswer)
    await lab.pass_time()
    assert (lab.state(), lab.gpus()) == (None, 2)
    one = lab.projection.of_server("alice", "")
    assert one is not None
    assert (one.launch_id, one.cpu) == (answer.launch_id, 4)


async def test_where_its_gpus_are_taken_nothing_ends_unless_it_is_to_wait(lab: ShelvingLab) -> None:
    await lab.runs("alice", gpus=2)
    await lab.shelving.release(ALICE, "alice", "")
    await lab.pass_time(91)
    await lab.runs("bob", gpus=4)
    before = lab.projection.of_server("alice", "")
    with pytest.raises(LaunchRefused, match="would wait for its turn") as refused:
        await lab.shelving.bring_back(ALICE, "alice", "")
    assert refused.value.data["code"] == "would_wait"
    foreseen = await lab.shelving.foresee(ALICE, "alice", "")
    assert foreseen is not None
    assert str(foreseen.say) in str(refused.value.message)
    with pytest.raises(NotPermitted):
        await lab.shelving.foresee(BOB, "alice", "")
    await lab.pass_time()
    assert lab.projection.of_server("alice", "") == before

    answer = await lab.shelving.bring_back(ALICE, "alice", "", queue=True)
    assert isinstance(answer, Queued)
    await lab.pass_time()
    assert (lab.gpus(), lab.state()) == (None, None)
    await lab.stop("bob")
    await lab.pass_time(1)
    assert lab.gpus() == 2


async def test_another_profile_takes_it_where_its_own_has_no_servers_without_gpus(tmp_path: Path) -> None:
    lab = await ShelvingLab(tmp_path, make_catalog(GPU_ONLY, CPU)).boot()
    await lab.runs("alice", profile="train", gpus=2, cpu=8)
    await lab.shelving.release(ALICE, "alice", "")
    await lab.pass_time(91)
    one = lab.projection.of_server("alice", "")
    assert one is not None
    assert (one.profile, one.gpus, one.cpu) == ("cpu", (), 8)
    await lab.shelving.bring_back(ALICE, "alice", "")
    await lab.pass_time()
    one = lab.projection.of_server("alice", "")
    assert one is not None
    assert (one.profile, len(one.gpus)) == ("train", 2)
    await lab.halt()


async def test_where_nothing_takes_it_it_stays_stopped_and_says_why(tmp_path: Path) -> None:
    lab = await ShelvingLab(tmp_path, make_catalog(GPU_ONLY)).boot()
    await lab.runs("alice", profile="train", gpus=2)
    await lab.shelving.release(ALICE, "alice", "")
    await lab.pass_time(91)
    assert (lab.gpus(), lab.state()) == (None, "released")
    shelved = lab.shelved()
    assert shelved is not None
    assert "No profile that is open to you starts the image base without a GPU" in str(shelved.fault)
    assert "No profile" in str(lab.news.items[-1].body)
    (view,) = [one for one in await lab.launcher.servers("alice") if one.server_name == ""]
    assert view.shelved is not None
    assert view.shelved.fault == shelved.fault
    await lab.shelving.bring_back(ALICE, "alice", "")
    await lab.pass_time()
    assert lab.gpus() == 2
    await lab.halt()


async def test_who_stops_it_in_between_is_obeyed(lab: ShelvingLab) -> None:
    await lab.runs("alice", gpus=2)
    await lab.shelving.release(ALICE, "alice", "")
    await lab.launcher.stop(ALICE, "alice", "")
    await lab.pass_time(200)
    assert (lab.gpus(), lab.state()) == (None, None)


async def test_it_may_end_by_itself_while_it_saves(lab: ShelvingLab) -> None:
    await lab.runs("alice", gpus=2)
    await lab.shelving.release(ALICE, "alice", "")
    await lab.stop("alice")
    await lab.pass_time(200)
    assert (lab.gpus(), lab.state()) == (None, None)


async def test_another_launch_of_that_name_counts(lab: ShelvingLab) -> None:
    await lab.runs("alice", gpus=2)
    await lab.shelving.release(ALICE, "alice", "")
    await lab.look(91)
    await lab.shelving.care.tend()
    await lab.look()  # it is over, and nobody has looked since
    assert lab.state() == "stopping"
    theirs = await lab.runs("alice", gpus=1)
    await lab.pass_time()
    one = lab.projection.of_server("alice", "")
    assert one is not None
    assert (one.launch_id, lab.state()) == (theirs, None)


async def test_an_own_launch_with_gpus_ends_the_way_back(lab: ShelvingLab) -> None:
    await lab.runs("alice", gpus=2)
    await lab.shelving.release(ALICE, "alice", "")
    await lab.pass_time(91)
    await lab.launcher.stop(ALICE, "alice", "")
    await lab.pass_time()
    assert (lab.gpus(), lab.state()) == (None, "released")
    await lab.runs("alice", gpus=1)
    await lab.pass_time()
    assert lab.state() is None


async def test_nobody_wants_it_for_long(lab: ShelvingLab) -> None:
    await lab.runs("alice", gpus=2)
    await lab.shelving.release(ALICE, "alice", "")
    await lab.pass_time(91)
    await lab.pass_time(KEPT_S + 1)
    assert lab.state() is None
    assert lab.gpus() == 0


async def test_a_hub_that_is_away_loses_nothing(lab: ShelvingLab) -> None:
    await lab.runs("alice", gpus=2)
    await lab.shelving.release(ALICE, "alice", "")
    await lab.look(91)
    lab.hub.fault = unreachable()
    await lab.shelving.care.tend()
    assert lab.state() == "stopping"
    for _ in range(3):
        lab.now, lab.mono = lab.now + 20, lab.mono + 20
        await lab.shelving.care.tend()
    assert lab.state() == "stopping"
    lab.hub.fault = None
    await lab.pass_time(61)
    await lab.pass_time(11)
    assert (lab.state(), lab.gpus()) == ("released", 0)


async def test_a_hub_that_is_busy_is_asked_again(lab: ShelvingLab) -> None:
    await lab.runs("alice", gpus=2)
    await lab.shelving.release(ALICE, "alice", "")
    busy = LaunchRefused("alice is pending stop", hub_status=400)
    spawn, lab.hub.spawn = lab.hub.spawn, None

    async def refuse(*_: object) -> None:
        raise busy

    lab.hub.spawn = refuse
    await lab.pass_time(91)
    assert (lab.state(), lab.gpus()) == ("stopping", None)
    lab.hub.spawn = spawn
    await lab.pass_time(11)
    assert (lab.state(), lab.gpus()) == ("released", 0)


async def test_a_setting_of_the_clock_takes_no_time_from_saving(lab: ShelvingLab) -> None:
    await lab.runs("alice", gpus=2)
    await lab.shelving.release(ALICE, "alice", "")
    lab.now += 3600
    await lab.shelving.care.tend()
    assert lab.gpus() == 2
    lab.mono += 91
    await lab.pass_time()
    assert lab.gpus() == 0


async def test_what_an_agent_sends_as_its_folder(lab: ShelvingLab) -> None:
    launch_id = await lab.runs("alice", gpus=2)
    await lab.shelving.release_own(launch_id)
    await lab.shelving.saved(launch_id, "/mnt/\x1b[2Jx")
    shelved = lab.shelved()
    assert shelved is not None
    assert shelved.rescue == ""
    await lab.pass_time()
    assert lab.gpus() == 0


async def test_a_person_who_is_gone(lab: ShelvingLab) -> None:
    await lab.runs("alice", gpus=2)
    await lab.shelving.release(ALICE, "alice", "")
    await lab.look(91)
    await lab.shelving.care.tend()
    await lab.look()
    del lab.hub.users["alice"]
    await lab.shelving.care.tend()
    assert lab.state() is None
