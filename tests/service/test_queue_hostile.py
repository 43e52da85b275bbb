"""The queue over HTTP while things break and people do everything at once; names that nobody should send."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from mlabhub.errors import MLabError
from tests.service.conftest import Running
from tests.service.test_api import error_of
from tests.service.test_queue_api import LAUNCHES, full, launch, queue, status
from tests.service.test_queue_events import gone, stream
from tests.service.test_quota_changes import set_clock

__all__ = ["full"]
THREE = {"profile": "gpu", "gpus": 3}
HOSTILE = (
    "<script>alert(1)</script>",
    "'; DROP TABLE queue; --",
    "{user.__class__}",
    "%s%n",
    "\x00",
    "\u202eevil",
    "a\r\nX-Admin: yes",
    "../../etc/passwd",
    "-rf",
    "*",
    "\x1b[2J",
    "\U0001f600" * 50,
)


@contextmanager
def hurt(running: Running, how: str) -> Iterator[None]:
    """Let the ledger's disk be full, or read-only."""
    engine: sa.Engine = running.world.ledger._engine  # type: ignore[attr-defined]
    with engine.begin() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    wrong, right = {
        "full": (f"max_page_count={pages}", "max_page_count=1000000000"),
        "read-only": ("query_only=ON", "query_only=OFF"),
    }[how]

    def hurts(connection: sa.Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA {wrong}")

    sa.event.listen(engine, "begin", hurts)
    try:
        yield
    finally:
        sa.event.remove(engine, "begin", hurts)
        with engine.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA {right}")


@pytest.mark.parametrize(("how", "said"), [("full", "disk is full"), ("read-only", "cannot be used (attempt to write")])
async def test_a_ledger_that_cannot_be_written_while_people_wait(full: Running, how: str, said: str) -> None:
    _, told = await launch(full, "bob", "w", 4)
    with hurt(full, how):
        for number in range(300):
            answer = await full.call("POST", LAUNCHES, "bob", json={"server_name": f"s{number}", "user_options": THREE})
            if answer.status_code != 202:
                break
        assert said in error_of(answer, 503)["message"]
        small = {"server_name": "small", "user_options": {"profile": "cpu"}}
        assert said in error_of(await full.call("POST", LAUNCHES, "carol", json=small), 503)["message"]
        assert full.of_server("carol", "small") is None
        full.hub.calls.clear()
        with suppress(MLabError):  # there is room, and it is nobody's while that cannot be kept
            await full.hub.stop("alice", "first")
        full.hub.lose("alice", "first")
        with suppress(MLabError):
            await full.world.queue.round_now()
        assert not [call for call in full.hub.calls if call.startswith("start")]
        assert (await status(full, told["launch_id"]))["state"] == "queued"
        assert (await full.call("GET", "api/v1/queue", "bob")).status_code == 200
    set_clock(full, 6)
    await full.service.reconciler.round()
    await full.world.queue.round_now()
    assert (await status(full, told["launch_id"]))["state"] == "ready"


@pytest.mark.parametrize("seed", range(4))
async def test_everything_at_once_loses_and_doubles_nothing(full: Running, seed: int) -> None:
    """Two tabs and an administrator leave, change, take, move, stop and ask, while rounds are made."""
    rng = random.Random(seed)
    ids = [(await launch(full, "bob", f"x{number}", rng.choice([3, 4])))[1]["launch_id"] for number in range(4)]

    def act() -> Any:
        address, who, server = f"{LAUNCHES}/{rng.choice(ids)}", rng.choice(["bob", "admin"]), f"x{rng.randrange(4)}"
        options = {"profile": "gpu", "gpus": rng.choice([1, 2, 3, 5])}
        return rng.choice(
            [
                lambda: full.call("DELETE", address, who),
                lambda: full.call("PUT", address, who, json={"user_options": options}),
                lambda: full.call("POST", f"{address}/nearest", who),
                lambda: full.call("POST", f"api/v1/queue/{ids[0]}/move", "admin", json={"before": ids[1]}),
                lambda: full.call("POST", LAUNCHES, "bob", json={"server_name": server, "user_options": options}),
                lambda: full.call("POST", "api/v1/servers/alice/first/stop", "alice"),
                lambda: full.call("POST", f"api/v1/servers/bob/{server}/stop", "bob"),
            ]
        )()

    rounds = asyncio.create_task(full.world.queue.run())
    answers = await asyncio.gather(*(act() for _ in range(30)))
    assert {answer.status_code for answer in answers} <= {200, 201, 202, 404, 409}
    set_clock(full, 6)
    for _ in range(3):
        await full.service.reconciler.round()
        await full.world.queue.round_now()
    rounds.cancel()
    await asyncio.gather(rounds, return_exceptions=True)
    used = [uuid for one in full.backend.running.values() for uuid in one.gpus]
    assert len(used) == len(set(used))
    assert {one.launch_id for one in full.projection} == set(full.backend.running)
    assert {len(one.gpus) for one in full.projection} == {len(one.gpus) for one in full.backend.running.values()}


async def test_many_follow_and_others_are_served(full: Running) -> None:
    for number in range(40):
        assert (await launch(full, "bob", f"x{number}", 4))[0] == 202
    people = [f"u{number}" for number in range(20)]
    for name in people:
        full.hub.add_user(name, "nlp")
        full.tokens.vouch(f"t-{name}", name, "nlp")
    told = [0] * 150

    client = httpx.AsyncClient(
        base_url=full.settings.service_url, trust_env=False, timeout=30, limits=httpx.Limits(max_connections=200)
    )
    many = replace(full, http=client)

    async def follow(number: int) -> None:
        async with stream(many, who=people[number % len(people)]) as one:
            while True:
                await one.next()
                told[number] += 1

    async def all_told(times: int) -> None:
        for _ in range(500):
            if min(told) >= times:
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"told {min(told)} times at least")

    followers = [asyncio.create_task(follow(number)) for number in range(len(told))]
    try:
        await all_told(1)
        began = time.process_time()
        assert (await launch(full, "bob", "new", 4))[0] == 202
        await all_told(2)
        assert time.process_time() - began < 2
        assert (await full.call("GET", "api/v1/gpus", "bob")).status_code == 200
    finally:
        for one in followers:
            one.cancel()
        await asyncio.gather(*followers, return_exceptions=True)
        await client.aclose()
    await gone(full)


@pytest.mark.parametrize("field", ["server_name", "display_name", "profile", "group", "gpu_type", "image"])
async def test_names_that_are_none_are_refused_in_words(full: Running, field: str) -> None:
    for value in HOSTILE:
        body: dict[str, Any] = {"server_name": "s", "user_options": dict(THREE)}
        (body if field.endswith("_name") else body["user_options"])[field] = value
        said = error_of(await full.call("POST", LAUNCHES, "bob", json=body), 403, 422)["message"]
        assert not any(bad in said for bad in ("\x00", "\u202e", "\r", "\x1b"))
    assert await queue(full) == []
