"""The map over the API: who sees what of it, now and back in the day, and when those who follow it are told."""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlabhub.core.quotas import Quotas
from mlabhub.core.readings import Sample
from mlabhub.service.cluster_map import desk
from mlabhub.service.cluster_map.drawing import Piece, Recent, gzipped
from mlabhub.service.writer import Outcome
from tests.doubles import unreachable
from tests.service.conftest import Running
from tests.service.simulation import FixedCatalog
from tests.service.test_api import error_of
from tests.service.test_gpus import launch
from tests.service.test_queue_events import gone, stream

MAP = "api/v1/gpus/map"
OF_HOLDER = ("user", "server_name", "display_name", "group", "profile", "since", "utilisation", "load", "idle_since")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every change be seen at the next look."""
    monkeypatch.setattr(desk, "SHORTEST_S", 0.0)


async def map_for(running: Running, who: str = "alice", **query: Any) -> dict[str, Any]:
    answer = await running.call("GET", MAP, who, params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def measure(running: Running, t: float, *util: float | None) -> None:
    """Let a minute of alice's server have been measured."""
    one = running.of_server("alice", "train")
    assert one is not None
    sample = Sample(t, "alice/train", one.launch_id, len(util), util, (None,) * len(util), 0.1)
    await running.world.watch.tick(t, (sample,))


def set_privacy(running: Running, privacy: str) -> None:
    quotas = Quotas.model_validate({"privacy": privacy})
    running.world.catalog = FixedCatalog(running.world.catalog().model_copy(update={"quotas": quotas}))


async def test_the_map_says_who_holds_what_since_when_and_how_busy_it_is(running: Running) -> None:
    await launch(running, gpus=2)
    await measure(running, running.world.clock(), 96.4, None)
    told = await map_for(running)
    assert told["at"] is None
    assert (told["gpus"]["held"], told["gpus"]["free"]) == (2, 6)
    (node,) = told["nodes"]
    busy, unknown, free = node["gpus"][:3]
    one = running.of_server("alice", "train")
    assert one is not None
    assert [busy[key] for key in OF_HOLDER] == [
        *("alice", "train", "Train_VGG", "vision", "gpu", one.created, 96.4, "busy", None)
    ]
    assert (unknown["utilisation"], unknown["load"]) == (None, None)
    assert (free["state"], free["user"]) == ("free", None)
    assert (node["cpu_free"], node["memory_gib_free"]) == (node["cpu"] - 1, node["memory_gib"] - 2)


@pytest.mark.parametrize(
    ("privacy", "sees"), [("open", {"alice", "bob", "carol", "admin"}), ("self", {"alice", "admin"})]
)
async def test_holders_are_named_as_far_as_privacy_lets(running: Running, privacy: str, sees: set[str]) -> None:
    set_privacy(running, privacy)
    await launch(running)
    await measure(running, running.world.clock(), 50.0)
    for _ in range(2):  # from what was drawn for others, too
        for who in ("admin", "alice", "bob", "carol"):
            first = (await map_for(running, who))["nodes"][0]["gpus"][0]
            assert first["state"] == "held"
            assert (first["user"] == "alice") == (who in sees)
            if who not in sees:
                assert [first[key] for key in OF_HOLDER] == [None] * len(OF_HOLDER)


async def test_back_in_the_day_stands_who_held_it_then_and_how_busy_it_was(running: Running) -> None:
    await launch(running)
    one, now = running.of_server("alice", "train"), running.world.clock() // 60 * 60
    assert one is not None
    began = replace(one, created=now - 7200)
    before = replace(
        one, launch_id="01BEFORE", user="bob", server="", state="released", created=now - 9000, released=now - 7300
    )
    await running.world.writer.submit(lambda _: Outcome(None, (began, before)))
    for ago, percent in ((3600, 12.0), (1800, None), (60, 80.0)):
        await measure(running, now - ago, percent)

    async def first_at(at: float) -> tuple[Any, ...]:
        told = await map_for(running, at=str(at))
        first = told["nodes"][0]["gpus"][0]
        assert told["at"] == at
        return first["state"], first["user"], first["utilisation"]

    assert await first_at(now - 8000) == ("held", "bob", None)
    assert await first_at(now - 7250) == ("unheld", None, None)
    assert await first_at(now - 3610) == ("held", "alice", 12.0)
    assert await first_at(now - 1810) == ("held", "alice", None)
    assert await first_at(now - 70) == ("held", "alice", 80.0)


@pytest.mark.parametrize("at", ["-1", "yesterday", "1e400", "2026-02-30T00:00Z", "3"])
async def test_another_moment_than_of_the_last_day_is_refused(running: Running, at: str) -> None:
    answer = await running.call("GET", MAP, params={"at": at})
    assert error_of(answer, 422)["key"] == "at"
    ahead = await running.call("GET", MAP, params={"at": str(running.world.clock() + 60)})
    assert ahead.status_code == 422


async def test_a_map_that_cannot_be_made_is_said_to_be_so(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(at: float) -> Any:
        raise unreachable()

    monkeypatch.setattr(running.world.ledger, "held_at", away)
    past = await running.call("GET", MAP, params={"at": str(running.world.clock() - 60)})
    assert past.status_code == 503
    assert (await running.call("GET", MAP)).status_code == 200


async def test_who_follows_is_told_when_it_changed_and_of_nothing_else(running: Running) -> None:
    async with stream(running, MAP + "/events", "carol") as one:
        first = await one.next("map")
        await launch(running)
        assert (await one.next("map"))["revision"] > first["revision"]
    await gone(running)
    before = (await running.service.application.settings["map_desk"].look()).revision
    running.world.changes.note()
    after = await running.service.application.settings["map_desk"].look()
    assert (after.revision, after.number > before) == (before, True), "another map of the same"


async def test_a_machine_of_which_nothing_changed_is_drawn_once(running: Running) -> None:
    map_desk = running.service.application.settings["map_desk"]
    before = await map_desk.look()
    running.world.changes.note()
    after = await map_desk.look()
    assert before is not after
    assert before.places[0] is after.places[0]
    await launch(running)
    assert (await map_desk.look()).revisions["n1"] > before.revisions["n1"]


async def test_many_who_ask_at_once_share_one_map(running: Running) -> None:
    map_desk = running.service.application.settings["map_desk"]
    ticks = await asyncio.gather(*(map_desk.look() for _ in range(20)))
    assert len({id(tick) for tick in ticks}) == 1


@given(before=st.binary(max_size=70_000), text=st.binary(max_size=300), after=st.binary(max_size=300))
def test_three_pressed_parts_are_one_file(before: bytes, text: bytes, after: bytes) -> None:
    piece = Piece(text * 20)
    assert gzip.decompress(gzipped(before, piece, after)) == before + piece.text + after


@given(st.lists(st.integers(0, 9)))
def test_what_was_asked_for_lately_is_kept_and_little_else(keys: list[int]) -> None:
    recent: Recent[int, str] = Recent(3)
    for number, key in enumerate(keys):
        if recent.get(key) is None:
            recent.put(key, str(key))
        assert all(recent.get(one) == str(one) for one in keys[max(0, number - 2) : number + 1])
        assert len(recent._young) + len(recent._old) <= 6
