"""Bad luck and bad people around the queue: what waits loses its right to, what borrows tries to stay."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlabhub.client.hub import HubUser
from mlabhub.core.privacy import Viewer
from mlabhub.core.resolve import resolve
from mlabhub.messages import Message
from mlabhub.service.queue import acts
from mlabhub.service.queue.care import LOOK_AGAIN_S, MOST_LOOKED_AGAIN
from mlabhub.service.queue_views import TAKEN_BACK, Told, entry_view
from mlabhub.service.writer import Outcome
from tests.doubles import unreachable
from tests.service.queue.lab import LENT, Lab, make_catalog


async def lend_all(lab: Lab) -> tuple[str, str]:
    """Let alice borrow all that carol's group may count on, and carol ask for it, before any round."""
    borrower = await lab.runs("alice", gpus=4, group="vision")
    await lab.look(1)
    return borrower, await lab.waits("carol", gpus=4, group="nlp")


def lose_group(lab: Lab) -> None:
    """Let carol be in no group any more."""
    lab.hub.users["carol"] = HubUser("carol", False, ())


def delete(lab: Lab) -> None:
    """Let the hub know no carol any more."""
    del lab.hub.users["carol"]


def drop_profile(lab: Lab) -> None:
    """Let the profile offer no GPUs any more."""
    lab.catalog.catalog = make_catalog(LENT, gpus=0, gpu_types=[], choose_gpu=False).located("/nowhere/nas")


@pytest.mark.parametrize("happens", [lose_group, delete, drop_profile])
async def test_nobody_is_told_to_give_back_for_one_that_may_not_start(lab: Lab, happens: object) -> None:
    borrower, owner = await lend_all(lab)
    assert callable(happens)
    happens(lab)
    await lab.look()
    assert borrower not in lab.projection.notices
    assert lab.state(owner) == "refused"
    assert lab.entry(owner).reason is not None
    assert "refused" in lab.news.of("carol")
    await lab.look(3600)
    assert lab.held(borrower) == "held"
    assert lab.news.of("alice") == []


@pytest.mark.parametrize("happens", [lose_group, delete, drop_profile])
async def test_nobody_gives_back_for_one_that_may_not_start_any_more(lab: Lab, happens: object) -> None:
    borrower, owner = await lend_all(lab)
    await lab.look()
    assert borrower in lab.projection.notices
    assert callable(happens)
    happens(lab)
    await lab.look(601)
    await lab.look()
    assert (lab.held(borrower), lab.state(owner)) == ("held", "refused")
    assert borrower not in lab.projection.notices
    assert lab.news.of("alice") == ["notice", "notice_withdrawn"]


async def test_who_may_not_start_any_more_learns_it_before_their_turn(lab: Lab) -> None:
    await lab.runs("carol", gpus=4, group="nlp")
    waits, stays = await lab.waits("alice", gpus=2, group="vision"), await lab.waits("bob", gpus=2, group="vision")
    del lab.hub.users["alice"]
    await lab.look(LOOK_AGAIN_S - 60)
    assert lab.state(waits) == "waiting"
    lab.hub.fault = unreachable()
    await lab.look(61)
    assert lab.state(waits) == "waiting", "the hub did not say so"
    lab.hub.fault = None
    await lab.look(LOOK_AGAIN_S)
    assert (lab.state(waits), lab.state(stays)) == ("refused", "waiting")
    assert lab.news.of("alice") == ["refused"]


async def test_many_who_wait_are_looked_at_a_few_at_a_time(lab: Lab) -> None:
    await lab.runs("carol", gpus=4, group="nlp")
    for number in range(3 * MOST_LOOKED_AGAIN):
        await lab.waits("alice", f"s{number}", gpus=2, group="vision")
    await lab.look()
    lab.hub.users["alice"] = HubUser("alice", False, ())
    left = []
    for _ in range(4):
        await lab.look(LOOK_AGAIN_S if not left else 5)
        left.append(sum(one.user == "alice" for one in lab.projection.queue.values()))
    assert left == [2 * MOST_LOOKED_AGAIN, MOST_LOOKED_AGAIN, 0, 0]


async def test_nobody_makes_something_large_safe_by_what_was_small(lab: Lab) -> None:
    """One that was taken back often enough is not taken back any more, unless it asks for more than it lost."""
    await lab.runs("carol", gpus=4, group="nlp")
    small = await lab.waits("alice", gpus=1, group="vision")
    entry = replace(lab.entry(small), reclaims=3)
    await lab.world.writer.submit(lambda _: Outcome(None, (entry,)))
    for gpus, reclaims in ((1, 3), (4, 0)):
        options = {"profile": "gpu", "gpus": gpus, "cpu": 1, "group": "vision"}
        request = resolve(lab.catalog(), "alice", ("vision",), options, "", present=("a100",))
        await lab.world.writer.submit(acts.change(small, request, options, "alice", lab.now))
        assert (lab.entry(small).gpus, lab.entry(small).reclaims) == (gpus, reclaims)


async def test_who_was_taken_back_is_told_why_it_rests(lab: Lab) -> None:
    borrower, _ = await lend_all(lab)
    await lab.look()
    await lab.look(601)
    await lab.look()
    again = lab.projection.entry_of_server("alice", "")
    assert again is not None
    assert again.again_of == borrower
    told = Told({again.launch_id: lab.world.queue.blocked_of(again.launch_id) or ""})
    [reason] = entry_view(again, 1, Viewer("alice", frozenset({"vision"})), told).reasons
    assert (reason.code, str(reason.message)) == ("backoff", str(Message(TAKEN_BACK)))


async def test_who_has_another_name_by_now_is_refused_within_a_while(lab: Lab) -> None:
    await lab.runs("alice", gpus=4, group="vision")
    waiting = await lab.waits("bob", gpus=4)
    lab.hub.users["robert"] = replace(lab.hub.users.pop("bob"), name="robert")
    for _ in range(3):
        await lab.look(LOOK_AGAIN_S)
    assert (lab.state(waiting), str(lab.entry(waiting).reason)) == ("refused", "The hub has no user bob.")
    assert lab.news.of("bob") == ["refused"]


async def test_gpus_break_as_somebodys_turn_comes(lab: Lab) -> None:
    await lab.runs("alice", gpus=4, group="vision")
    waiting = await lab.waits("bob", gpus=4)
    whole = lab.backend.nodes[0]
    await lab.stop("alice")
    lab.backend.nodes = (replace(whole, gpus=(replace(whole.gpus[0], healthy=False), *whole.gpus[1:])),)
    await lab.look()
    lab.backend.nodes = ()
    await lab.look(60)
    assert (lab.state(waiting), lab.backend.running) == ("waiting", {})
    lab.backend.nodes = (whole,)
    await lab.look(10)
    assert lab.state(waiting) == "started"
