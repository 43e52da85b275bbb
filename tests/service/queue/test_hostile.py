"""Bad luck and bad people around the queue: what waits loses its right to, what borrows tries to stay."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mlabhub.client.hub import HubUser
from tests.service.queue.lab import Lab, make_catalog

QUOTAS = {"groups": {"nlp": {"guaranteed": {"gpu": 4}}, "vision": {}}, "notice_seconds": 600}


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    one = await Lab(tmp_path, make_catalog(QUOTAS)).boot()
    yield one
    await one.halt()


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
    lab.catalog.catalog = make_catalog(QUOTAS, gpus=0, gpu_types=[], choose_gpu=False).located("/nowhere/nas")


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
