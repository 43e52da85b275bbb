"""The service dies at every point of giving back and having again; nothing is lost or doubled."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from mlabhub.errors import MLabError
from mlabhub.ledger import MemoryLedger
from tests.service.shelving.conftest import ALICE, ShelvingLab

MOST_POINTS = 300


async def give_back(lab: ShelvingLab) -> None:
    """Alice gives her GPUs back."""
    await lab.shelving.release(ALICE, "alice", "")
    await lab.pass_time(60)
    one = lab.projection.of_server("alice", "")
    assert one is not None
    await lab.shelving.saved(one.launch_id, "/mnt/user/alice/x")
    await lab.pass_time(5)


async def have_again(lab: ShelvingLab) -> None:
    """Alice gave her GPUs back, and has them again."""
    await lab.shelving.bring_back(ALICE, "alice", "")
    await lab.pass_time(1)


async def heal(lab: ShelvingLab) -> None:
    """Let time pass."""
    for _ in range(8):
        await lab.pass_time(40)


def check_agreement(lab: ShelvingLab) -> None:
    """Machine, hub and ledger say the same."""
    running = {one.launch_id: set(one.gpus) for one in lab.backend.running.values() if one.state == "running"}
    assert running == {one.launch_id: set(one.gpus) for one in lab.projection}
    assert {one.state for one in lab.projection} == {"held"}
    ready = {key: one.launch_id for key, one in lab.hub.servers.items() if one.ready}
    assert ready == {(one.user, one.server): one.launch_id for one in lab.projection}


@pytest.mark.long
@pytest.mark.parametrize("story", ["give_back", "have_again"])
async def test_death_at_every_point(tmp_path: Path, story: str) -> None:
    for points in range(1, MOST_POINTS):
        lab = await ShelvingLab(tmp_path, memory=MemoryLedger()).boot()
        await lab.runs("alice", gpus=2)
        if story == "have_again":
            await give_back(lab)
        killed = await lab.until_killed(globals()[story](lab), points)
        try:
            await heal(lab)
            await (ask_again(lab) if story == "give_back" else have_again_if_not(lab))
            await heal(lab)
            check_agreement(lab)
            expected = ("released", 0) if story == "give_back" else (None, 2)
            assert (lab.state(), lab.gpus()) == expected
        except AssertionError as error:
            raise AssertionError(f"killed {lab.died!r}, point {points}: {lab.acts()}") from error
        finally:
            await lab.halt()
        if not killed:
            assert points > 10
            return
    raise AssertionError("the story has no end")


async def ask_again(lab: ShelvingLab) -> None:
    """Whoever was not answered asks again; who has given back already cannot."""
    if lab.state() is None:
        await lab.shelving.release(ALICE, "alice", "")


async def have_again_if_not(lab: ShelvingLab) -> None:
    """The same for having it again."""
    if lab.state() == "released":
        with contextlib.suppress(MLabError):
            await lab.shelving.bring_back(ALICE, "alice", "")
