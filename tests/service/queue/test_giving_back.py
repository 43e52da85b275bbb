"""Borrowers are told, and give back when it is needed still; sessions end at their longest; clocks may step."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlabhub.ledger import LedgerUnavailable
from mlabhub.service.queue import acts
from mlabhub.service.queue.deadlines import MARGIN_S
from tests.doubles import unreachable
from tests.service.queue.lab import LENT, Lab, make_catalog


async def borrowed(lab: Lab) -> tuple[str, str]:
    """Let alice borrow all that carol's group may count on, and carol come back."""
    borrower = await lab.runs("alice", gpus=4, group="vision")
    await lab.look(1)
    owner = await lab.waits("carol", gpus=4, group="nlp")
    await lab.look()
    return borrower, owner


async def test_a_borrower_is_told_and_gives_back(lab: Lab) -> None:
    borrower, owner = await borrowed(lab)
    notice = lab.projection.notices[borrower]
    assert (notice.deadline - notice.at, notice.entry) == (600, owner)
    assert lab.news.of("alice") == ["notice"]
    await lab.look(599)
    assert lab.held(borrower) == "held"
    await lab.look(2)
    await lab.look()
    assert lab.held(borrower) == "released"
    assert lab.held(owner) == "held"
    again = lab.projection.entry_of_server("alice", "")
    assert again is not None
    assert (again.again_of, again.reclaims, again.state) == (borrower, 1, "waiting")
    assert again.since == lab.ledger.reservation(borrower).created
    assert again.not_before > lab.now
    assert lab.news.of("alice") == ["notice", "reclaimed"]
    assert {"notice", "reclaim"} <= {act for act, user in lab.acts() if user == "alice"}
    await lab.stop("carol")
    await lab.look(3600)
    assert lab.state(again.launch_id) == "started"
    assert lab.ledger.reservation(again.launch_id).reclaims == 1


async def test_a_notice_is_withdrawn_when_it_is_not_needed(lab: Lab) -> None:
    borrower, owner = await borrowed(lab)
    await lab.world.writer.submit(acts.leave(owner, "carol", lab.now))
    await lab.look()
    assert borrower not in lab.projection.notices
    assert lab.news.of("alice") == ["notice", "notice_withdrawn"]
    await lab.look(3600)
    assert lab.held(borrower) == "held"


async def test_a_profile_may_end_instead(tmp_path: Path) -> None:
    lab = await Lab(tmp_path, make_catalog(LENT, after_reclaim="end")).boot()
    await borrowed(lab)
    await lab.look(601)
    await lab.look()
    assert lab.projection.entry_of_server("alice", "") is None
    await lab.halt()


async def test_a_clock_that_steps_forwards_takes_nothing_early(lab: Lab) -> None:
    borrower, _ = await borrowed(lab)
    lab.now += 3600
    await lab.look()
    assert lab.held(borrower) == "held"
    await lab.look(590)
    assert lab.held(borrower) == "held"
    await lab.look(20)
    await lab.look()
    assert lab.held(borrower) == "released"


async def test_a_clock_that_steps_backwards_takes_nothing_early_and_comes_round(lab: Lab) -> None:
    borrower, _ = await borrowed(lab)
    lab.now -= 3600
    await lab.look(590)
    assert lab.held(borrower) == "held"
    await lab.look(20)
    await lab.look()
    assert lab.held(borrower) == "released"


async def test_after_a_restart_what_was_left_and_a_margin(lab: Lab) -> None:
    borrower, _ = await borrowed(lab)
    await lab.look(300)
    await lab.crash()
    await lab.look()
    await lab.look(299 + MARGIN_S)
    assert lab.held(borrower) == "held"
    await lab.look(2)
    await lab.look()
    assert lab.held(borrower) == "released"


async def test_nothing_is_taken_while_the_hub_is_away(lab: Lab) -> None:
    borrower, owner = await borrowed(lab)
    lab.hub.fault = unreachable()
    await lab.look(3600)
    lab.hub.fault = None
    await lab.look()
    await lab.look(11)
    await lab.look()
    assert (lab.held(borrower), lab.held(owner)) == ("released", "held")


async def test_a_stop_that_was_lost_is_asked_for_again(lab: Lab) -> None:
    borrower, owner = await borrowed(lab)
    real, lab.hub.stop = lab.hub.stop, away  # type: ignore[method-assign]
    await lab.look(601)
    assert lab.held(borrower) == "stopping"
    await lab.look(3600)
    assert lab.held(borrower) == "stopping"  # the reconciler does not give it up
    lab.hub.stop = real  # type: ignore[method-assign]
    await lab.look(30)
    await lab.look()
    assert (lab.held(borrower), lab.held(owner)) == ("released", "held")


async def away(user: str, server: str) -> None:
    raise unreachable()


async def test_the_ledger_away_for_ten_minutes(lab: Lab) -> None:
    borrower, owner = await borrowed(lab)
    lab.ledger.away = LedgerUnavailable("The database cannot be reached.")
    for _ in range(10):
        with pytest.raises(LedgerUnavailable):
            await lab.look(60)
    with pytest.raises(LedgerUnavailable):
        await lab.ask("bob")
    assert lab.backend.running.keys() == {borrower}
    lab.ledger.away = None
    await lab.look()
    await lab.look(1)
    await lab.look()
    assert (lab.held(borrower), lab.held(owner)) == ("released", "held")


async def test_the_longest_duration(tmp_path: Path) -> None:
    lab = await Lab(tmp_path, make_catalog(longest_hours=2.0)).boot()
    launch = await lab.runs("alice", gpus=1)
    await lab.look(2 * 3600 - 700)
    assert lab.news.of("alice") == []
    await lab.look(200)
    assert lab.news.of("alice") == ["ends_soon"]
    deadline = lab.projection.notices[launch].deadline
    await lab.look(deadline - lab.now - 1)
    assert lab.held(launch) == "held"
    await lab.look(2)
    await lab.look()
    assert lab.held(launch) == "released"
    assert launch not in lab.projection.notices
    assert ("end", "alice") in lab.acts()
    assert not lab.projection.queue
    await lab.halt()


async def test_who_was_not_told_in_time_has_the_full_notice(tmp_path: Path) -> None:
    lab = await Lab(tmp_path, make_catalog(longest_hours=2.0)).boot()
    launch = await lab.runs("alice", gpus=1)
    await lab.halt()
    lab.now += 5 * 3600
    lab.mono = 0.0
    await lab.boot()
    await lab.look()
    assert lab.projection.notices[launch].deadline >= lab.now + 600
    await lab.look(590)
    assert lab.held(launch) == "held"
    await lab.look(20)
    await lab.look()
    assert lab.held(launch) == "released"
    await lab.halt()
