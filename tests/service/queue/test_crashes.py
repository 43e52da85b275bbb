"""The service dies at every point of a story, before or after each thing that it does; nothing is lost or doubled."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlabhub.ledger import MemoryLedger
from mlabhub.service.projection import Projection
from tests.service.queue.lab import Lab, make_catalog

QUOTAS = {"groups": {"nlp": {"guaranteed": {"gpu": 4}}, "vision": {}}, "notice_seconds": 600}
MOST_POINTS = 400


async def owner_comes_back(lab: Lab) -> None:
    """Carol asks for what is hers, alice is told and gives back, carol starts."""
    await lab.ask("carol", gpus=4, group="nlp")
    await lab.look()
    await lab.look(601)
    await lab.look()
    await lab.look(10)


async def two_wait(lab: Lab) -> None:
    """Alice stops, and the two who wait start."""
    await lab.ask("carol", gpus=2, group="nlp")
    await lab.ask("bob", gpus=2, group="vision")
    await lab.stop("alice")
    await lab.look()
    await lab.look(10)


async def heal(lab: Lab) -> None:
    """Let whoever was not answered ask again, and time pass."""
    for _ in range(6):
        await lab.look(10)
    for _ in range(3):
        await lab.look(701)
        for name, server in list(lab.hub.servers):
            if lab.hub.servers[name, server].ready:
                lab.uses(name, server)
        await lab.look(31)


def check_agreement(lab: Lab) -> None:
    """Machine, hub and ledger say the same, and so does a ledger that is read anew."""
    running = {one.launch_id: set(one.gpus) for one in lab.backend.running.values() if one.state == "running"}
    held = {one.launch_id: set(one.gpus) for one in lab.projection}
    assert running == held
    assert {one.state for one in lab.projection} <= {"held"}
    ready = {key: one.launch_id for key, one in lab.hub.servers.items() if one.ready}
    assert ready == {(one.user, one.server): one.launch_id for one in lab.projection}
    rebuilt = Projection(lab.ledger.load(0.0))
    assert set(rebuilt) == set(lab.projection)
    assert rebuilt.queue == lab.projection.queue
    assert rebuilt.notices == lab.projection.notices


async def lived(folder: Path, points: int, story: str) -> tuple[Lab, bool]:
    lab = await Lab(folder, make_catalog(QUOTAS), memory=MemoryLedger()).boot()
    await lab.runs("alice", gpus=4, group="vision")
    await lab.look(1)
    return lab, await lab.until_killed(globals()[story](lab), points)


@pytest.mark.parametrize("story", ["owner_comes_back", "two_wait"])
async def test_death_at_every_point(tmp_path: Path, story: str) -> None:
    for points in range(1, MOST_POINTS):
        lab, killed = await lived(tmp_path, points, story)
        try:
            for name in ("carol",) if story == "owner_comes_back" else ("carol", "bob"):
                known = lab.projection.of_server(name, "") or lab.projection.entry_of_server(name, "")
                if known is None:
                    await lab.ask(name, gpus=4 if story == "owner_comes_back" else 2)
            if story == "two_wait":
                await lab.stop("alice")
            await heal(lab)
            check_agreement(lab)
            who = sorted(one.user for one in lab.projection)
            if story == "owner_comes_back":
                assert who == ["carol"]
                assert [one.user for one in lab.projection.queue.values()] == ["alice"]
            else:
                assert who == ["bob", "carol"]
                assert not [one for one in lab.projection.queue.values() if one.state == "waiting"]
        except AssertionError as error:
            raise AssertionError(f"killed {lab.died!r}, point {points} of {story}: {lab.acts()}") from error
        finally:
            await lab.halt()
        if not killed:
            assert points > 30
            return
    raise AssertionError("the story has no end")
