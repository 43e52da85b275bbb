"""The queue from the first click to the start, and every way in which it may go otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlabhub.client import HubServer, HubUser
from mlabhub.client.transport import NoAnswer, NotSent
from mlabhub.core.resolve import resolve
from mlabhub.errors import LaunchRefused, NotFound
from mlabhub.service.answers import Admitted, Refused, Waits
from mlabhub.service.bodies import ReleasedBody, ReserveBody
from mlabhub.service.queue import acts
from mlabhub.service.queue.care import ACTIVITY_LAG_S
from mlabhub.service.queue.outcomes import MOST_BUSY, PAUSE_S
from tests.doubles import Spawn, unreachable
from tests.service.queue.lab import Lab, make_catalog
from tests.service.simulation import FixedCatalog


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    one = await Lab(tmp_path).boot()
    yield one
    await one.halt()


async def test_the_next_one_starts_when_there_is_room(lab: Lab) -> None:
    await lab.runs("alice", gpus=4)
    waiting = await lab.waits("carol", gpus=2)
    await lab.look()
    assert lab.world.queue.position_of(waiting) == 1
    assert lab.state(waiting) == "waiting"
    await lab.stop("alice")
    await lab.look()
    assert lab.state(waiting) == "started"
    assert lab.held(waiting) == "held"
    assert lab.hub.servers["carol", ""].launch_id == waiting
    assert lab.news.of("carol") == ["started"]
    assert [act for act, user in lab.acts() if user == "carol"] == ["queue", "admit"]


async def test_what_starts_now_starts(lab: Lab) -> None:
    assert isinstance(await lab.ask("alice", gpus=2), Admitted)
    assert not lab.projection.queue


async def test_never_is_refused_at_once(lab: Lab) -> None:
    answer = await lab.ask("alice", gpus=8)
    assert isinstance(answer, Refused)
    assert {one.code for one in answer.reasons} == {"never_fits"}
    assert not lab.projection.queue


async def test_nobody_takes_what_somebody_is_about_to_get(lab: Lab) -> None:
    await lab.runs("alice", gpus=4)
    first = await lab.waits("carol", gpus=4)
    await lab.stop("alice")
    answer = await lab.ask("bob", gpus=1)
    assert isinstance(answer, Waits)
    await lab.look()
    assert lab.state(first) == "started"
    assert lab.held(first) == "held"


async def test_one_server_waits_once(lab: Lab) -> None:
    await lab.runs("alice", gpus=4)
    await lab.waits("carol", "x", gpus=1)
    answer = await lab.ask("carol", "x", gpus=2)
    assert isinstance(answer, Refused)
    assert [one.code for one in answer.reasons] == ["name_in_use"]
    assert isinstance(await lab.ask("carol", "y", gpus=2), Waits)


async def test_a_person_waits_a_bounded_number_of_times(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acts, "MOST_OF_PERSON", 2)
    await lab.runs("alice", gpus=4)
    await lab.waits("carol", "x")
    await lab.waits("carol", "y")
    with pytest.raises(LaunchRefused, match="2 launches of carol wait already"):
        await lab.ask("carol", "z")
    await lab.waits("dave", "z")


async def test_leave_change_and_move(lab: Lab) -> None:
    await lab.runs("alice", gpus=4)
    first, second = await lab.waits("carol", "x", gpus=2), await lab.waits("carol", "y", gpus=1)
    submit, now = lab.world.writer.submit, lab.now + 5
    await submit(acts.move(second, first, "carol", now))
    assert [one.launch_id for one in acts.own_order(lab.projection, "carol")] == [second, first]
    await submit(acts.leave(second, "carol", now))
    assert lab.state(second) == "left"
    with pytest.raises(NotFound):
        await submit(acts.leave(second, "carol", now))
    since = lab.entry(first).since
    for gpus, wanted in ((1, since), (3, now)):
        options = {"profile": "gpu", "gpus": gpus}
        request = resolve(lab.catalog(), "carol", ["nlp"], options, "x", present=("a100",))
        await submit(acts.change(first, request, options, "carol", now))
        assert (lab.entry(first).gpus, lab.entry(first).since) == (gpus, wanted)
    assert [act for act, _ in lab.acts()][-4:] == ["move", "leave", "change", "change"]


async def test_the_hub_is_down(lab: Lab) -> None:
    await lab.runs("alice", gpus=4)
    waiting = await lab.waits("carol", gpus=4)
    await lab.stop("alice")
    lab.hub.fault = unreachable()
    await lab.world.queue.round_now()
    assert lab.state(waiting) == "waiting"  # who cannot be looked at goes on waiting
    lab.hub.fault = None
    await lab.look()
    assert lab.state(waiting) == "started"


async def test_who_cannot_be_looked_at_keeps_the_turn_for_a_while(lab: Lab) -> None:
    await lab.runs("alice", gpus=4)
    first, second = await lab.waits("carol", gpus=4), await lab.waits("bob", gpus=4)
    known = lab.hub.users.pop("carol")
    real = lab.hub.user

    async def silent_about_carol(name: str, *, stopped: bool = False) -> HubUser:
        if name == "carol":
            raise unreachable()
        return await real(name, stopped=stopped)

    lab.hub.user = silent_about_carol  # type: ignore[method-assign]
    await lab.stop("alice")
    for _ in range(2):
        await lab.look(1)
        assert (lab.state(first), lab.state(second)) == ("waiting", "waiting")
    await lab.look(1)
    await lab.look()
    assert (lab.state(first), lab.state(second)) == ("waiting", "started")
    lab.hub.user, lab.hub.users["carol"] = real, known  # type: ignore[method-assign]
    await lab.stop("bob")
    await lab.look(61)
    assert lab.state(first) == "started"


async def test_the_hub_goes_away_at_the_start(lab: Lab) -> None:
    await lab.runs("alice", gpus=4)
    waiting = await lab.waits("carol", gpus=4)
    since = lab.entry(waiting).since
    await lab.stop("alice")
    spawn, lab.hub.spawn = lab.hub.spawn, fails(NotSent("connection refused"))
    await lab.look()
    assert (lab.state(waiting), lab.entry(waiting).since, lab.held(waiting)) == ("waiting", since, "released")
    lab.hub.spawn = spawn
    await lab.look(PAUSE_S + 1)
    assert (lab.state(waiting), lab.held(waiting)) == ("started", "held")


async def test_the_hub_refuses(lab: Lab) -> None:
    await lab.runs("alice", gpus=4)
    waiting = await lab.waits("carol", gpus=4)
    await lab.stop("alice")
    lab.hub.spawn = fails(LaunchRefused("Too many cooks."))
    await lab.look()
    assert lab.state(waiting) == "refused"
    assert str(lab.entry(waiting).reason) == "Too many cooks."
    assert lab.held(waiting) == "released"
    assert lab.news.of("carol") == ["started", "refused"]


async def test_what_passes_lets_it_wait_again_and_what_does_not_is_told(lab: Lab) -> None:
    await lab.runs("alice", gpus=4)
    waiting = await lab.waits("carol", gpus=4)
    since = lab.entry(waiting).since
    await lab.stop("alice")
    spawn, lab.hub.spawn = lab.hub.spawn, gives_up(lab, passing=True)
    await lab.look()
    await lab.look()
    (again,) = lab.world.writer.projection.queue.values()
    assert (lab.state(waiting), again.again_of, again.state, again.since) == ("refused", waiting, "waiting", since)
    told = [str(one.message) for one in lab.world.ledger.audit(limit=10) if one.act == "release"]
    assert told[0] == "The NAS is away.", "administrators can read why"
    lab.hub.spawn = spawn
    await lab.look(PAUSE_S + 1)
    assert lab.held(again.launch_id) == "held"
    second = await lab.waits("dave", gpus=4)
    lab.hub.spawn = gives_up(lab, passing=False)
    await lab.stop("carol")
    await lab.look()
    await lab.look()
    assert (lab.state(second), str(lab.entry(second).reason)) == ("refused", "The NAS is away.")


def gives_up(lab: Lab, *, passing: bool) -> Spawn:
    """Return what a spawner does whose start fails after it had the launch."""

    async def spawn(user: str, server: str, options: dict[str, Any]) -> None:
        body = ReserveBody(launch_id=lab.make_launch_id(), user_options=options, deadline=60.0)
        answer = await lab.desk.reserve(user, server, body)
        told = ReleasedBody(launch_id=answer["launch_id"], reason="The NAS is away.", passing=passing)
        await lab.desk.released(user, server, told)
        raise NoAnswer("the hub answered before, and tells later")

    return spawn


@pytest.mark.parametrize(("served", "state"), [(True, "claimed"), (False, "refused")])
async def test_who_stops_it_at_the_hub_before_we_saw_it_ready_does_not_get_it_again(
    lab: Lab, served: bool, state: str
) -> None:
    await lab.runs("alice", gpus=4)
    waiting = await lab.waits("carol", gpus=4)
    await lab.stop("alice")

    async def spawn(user: str, server: str, options: dict[str, Any]) -> None:
        body = ReserveBody(launch_id=lab.make_launch_id(), user_options=options, deadline=60.0)
        await lab.desk.reserve(user, server, body)
        await lab.desk.held(user, server, waiting)
        await lab.desk.released(user, server, ReleasedBody(launch_id=waiting, served=served))

    lab.hub.spawn = spawn
    await lab.look()
    await lab.look()
    waits = [one.again_of for one in lab.projection.queue.values() if one.state == "waiting"]
    assert (lab.state(waiting), waits) == (state, [] if served else [waiting])


async def test_a_busy_hub_is_asked_again_and_not_for_ever(lab: Lab) -> None:
    await lab.runs("alice", gpus=4)
    waiting = await lab.waits("carol", gpus=4)
    await lab.stop("alice")
    spawn, lab.hub.spawn = lab.hub.spawn, fails(LaunchRefused("carol is pending stop", hub_status=400))
    for _ in range(MOST_BUSY - 1):
        await lab.look(PAUSE_S + 1)
        assert lab.state(waiting) == "waiting"
    lab.hub.spawn = spawn
    await lab.look(PAUSE_S + 1)
    assert lab.held(waiting) == "held"
    await lab.stop("carol")
    other = await lab.ask("bob", gpus=4)
    assert isinstance(other, Admitted)
    second = await lab.waits("dave", gpus=4)
    lab.hub.spawn = fails(LaunchRefused("dave is already running", hub_status=400))
    await lab.stop("bob")
    for _ in range(MOST_BUSY):
        await lab.look(PAUSE_S + 1)
    assert (lab.state(second), str(lab.entry(second).reason)) == ("refused", "dave is already running")


async def test_a_start_that_the_hub_is_making_already_is_not_given_back(lab: Lab) -> None:
    await lab.runs("alice", gpus=4)
    waiting = await lab.waits("carol", gpus=4)
    await lab.stop("alice")

    async def asked_twice(user: str, server: str, *, display_name: str, user_options: dict[str, Any]) -> None:
        lab.hub.servers[user, server] = HubServer(user, server, pending="spawn", user_options=user_options)
        await lab.desk.reserve(user, server, ReserveBody(launch_id="own", user_options=user_options, deadline=60.0))
        raise LaunchRefused("carol is pending spawn", hub_status=400)

    lab.hub.start = asked_twice  # type: ignore[method-assign]
    await lab.look()
    assert (lab.held(waiting), lab.state(waiting)) == ("pending", "started")
    one = lab.projection.launch(waiting)
    assert one is not None
    lab.backend.run(waiting, "carol", "", one.gpus)
    await lab.desk.held("carol", "", waiting)
    lab.hub.servers["carol", ""] = replace(lab.hub.servers["carol", ""], pending=None, ready=True)
    await lab.look(30)
    assert lab.held(waiting) == "held"


def fails(error: Exception) -> Spawn:
    async def spawn(user: str, server: str, options: dict[str, Any]) -> None:
        raise error

    return spawn


async def test_who_lost_the_group_is_refused(tmp_path: Path) -> None:
    lab = await Lab(tmp_path).boot()
    await lab.runs("alice", gpus=4)
    waiting = await lab.waits("carol", gpus=4, group="nlp")
    lab.hub.add_user("carol")
    await lab.stop("alice")
    await lab.look()
    assert lab.state(waiting) == "refused"
    assert "nlp" in str(lab.entry(waiting).reason)
    assert lab.news.of("carol") == ["refused"]
    await lab.halt()


async def test_changed_defaults_are_fine(lab: Lab) -> None:
    await lab.runs("alice", gpus=4)
    waiting = await lab.waits("carol", gpus=4)
    lab.catalog = lab.world.catalog = FixedCatalog(make_catalog(cpu={"min": 1, "max": 8, "default": 3}))
    await lab.stop("alice")
    await lab.look()
    assert lab.state(waiting) == "started"
    assert lab.entry(waiting).cpu == 3


async def test_used_in_time_is_kept(lab: Lab) -> None:
    await lab.runs("alice", gpus=4)
    waiting = await lab.waits("carol", gpus=4)
    await lab.stop("alice")
    await lab.look()
    await lab.look(31)
    claim_by = lab.entry(waiting).claim_by
    assert claim_by is not None
    assert claim_by >= lab.now + 14 * 60
    await lab.look(1)
    lab.uses("carol")
    await lab.look(31)
    assert lab.state(waiting) == "claimed"
    await lab.look(24 * 3600)
    assert lab.held(waiting) == "held"


async def test_unused_is_given_back_and_never_sooner(lab: Lab) -> None:
    await lab.runs("alice", gpus=4)
    waiting = await lab.waits("carol", gpus=4)
    nextone = await lab.waits("bob", gpus=4)
    await lab.stop("alice")
    await lab.look()
    await lab.look(1)
    lab.hub.servers["carol", ""] = with_activity(lab, "carol", lab.now - 60)
    await lab.look(15 * 60)
    assert lab.held(waiting) == "held"
    await lab.look(ACTIVITY_LAG_S + 1)
    assert lab.state(waiting) == "given_back"
    await lab.look()
    assert lab.held(waiting) == "released"
    assert lab.news.of("carol") == ["started", "given_back"]
    assert lab.state(nextone) == "started"


async def test_unknown_never_stops(lab: Lab) -> None:
    await lab.runs("alice", gpus=4)
    waiting = await lab.waits("carol", gpus=4)
    await lab.stop("alice")
    for _ in range(10):
        await lab.look(3600)
    assert lab.held(waiting) == "held"


def with_activity(lab: Lab, who: str, at: float) -> HubServer:
    return replace(lab.hub.servers[who, ""], last_activity=at)
