"""Server-sent events of the queue: what is sent when, to whom, and how a stream ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mlabhub.service import queue_views
from mlabhub.service.handlers import events
from tests.doubles import unreachable
from tests.service.conftest import Running
from tests.service.test_api import _signed_cookie, error_of
from tests.service.test_queue_api import LAUNCHES, full, launch, set_quotas

__all__ = ["full"]
QUEUE = "api/v1/queue/events"


class Stream:
    """What a reader of a stream gets, event by event."""

    def __init__(self, answer: Any):
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def block(self) -> list[str]:
        """Return the lines up to the next empty one."""
        return await asyncio.wait_for(self._block(), 10)

    async def _block(self) -> list[str]:
        lines: list[str] = []
        async for line in self._lines:
            if not line:
                return lines
            lines.append(line)
        raise EOFError

    async def next(self, event: str = "queue") -> Any:
        """Return the data of the next event."""
        while True:
            lines = await self.block()
            if f"event: {event}" in lines:
                return json.loads(next(line for line in lines if line.startswith("data: "))[6:])

    async def waits(self, *names: str) -> list[Any]:
        """Return the entries once those wait, and no others."""
        while True:
            entries = (await self.next())["entries"]
            if sorted(one["server_name"] for one in entries) == sorted(names):
                return list(entries)


@asynccontextmanager
async def stream(running: Running, path: str = QUEUE, who: str = "bob") -> AsyncIterator[Stream]:
    async with running.http.stream("GET", path, headers={"Authorization": f"token t-{who}"}) as answer:
        assert answer.status_code == 200, await answer.aread()
        yield Stream(answer)


async def gone(running: Running) -> None:
    """Wait until nobody follows any more."""
    for _ in range(250):
        if not events.EventsHandler.open_streams:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("somebody follows still")


async def test_what_happens_is_told_when_it_happens(full: Running) -> None:
    async with stream(full) as bobs, stream(full, who="carol") as carols:
        headers = bobs.answer.headers
        assert headers["Content-Type"].startswith("text/event-stream")
        assert (headers["X-Accel-Buffering"], headers["Cache-Control"]) == ("no", "no-store")
        assert "retry: 2000" in await bobs.block()
        await launch(full, "bob", "x", 4)
        (own,) = await bobs.waits("x")
        assert (own["user"], own["own"], own["options"]["gpus"]) == ("bob", True, 4)
        while not (others := (await carols.next())["entries"]):
            pass
        assert (others[0]["gpus"], others[0]["options"], others[0]["server_name"]) == (4, None, "")
        await full.call("POST", "api/v1/servers/alice/first/stop")
        await full.world.queue.round_now()
        assert await bobs.waits() == []
    await gone(full)


async def test_a_launch_is_followed_to_its_end(full: Running) -> None:
    _, told = await launch(full, "bob", "x", 4)
    async with stream(full, f"{LAUNCHES}/{told['launch_id']}/events") as one:
        assert (await one.next("launch"))["state"] == "queued"
        await full.call("POST", "api/v1/servers/alice/first/stop")
        await full.world.queue.round_now()
        while (await one.next("launch"))["state"] != "ready":
            pass
        await full.call("POST", "api/v1/servers/bob/x/stop", "bob")
        while (await one.next("launch"))["state"] != "ended":
            pass
        with pytest.raises(EOFError):
            await one.block()
    await gone(full)


async def test_a_launch_that_is_over_is_told_once(full: Running) -> None:
    _, told = await launch(full, "bob", "x", 4)
    await full.call("DELETE", f"{LAUNCHES}/{told['launch_id']}", "bob")
    async with stream(full, f"{LAUNCHES}/{told['launch_id']}/events") as one:
        assert (await one.next("launch"))["state"] == "left"
        with pytest.raises(EOFError):
            await one.block()


async def test_nothing_is_sent_while_nothing_changes_but_signs_of_life(
    full: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.7)
    async with stream(full) as one:
        await one.next()
        assert await one.block() == [":"]
        assert await one.block() == [":"]


async def test_a_hundred_readers_cost_one_look(full: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MOST_OF_PERSON", 100)
    views = 0
    make = queue_views.entry_view

    def counted(*arguments: Any, **more: Any) -> Any:
        nonlocal views
        views += 1
        return make(*arguments, **more)

    monkeypatch.setattr(queue_views, "entry_view", counted)
    for number in range(4):
        assert (await launch(full, "bob", f"x{number}", 4))[0] == 202
    await full.world.queue.round_now()
    views = 0
    readers = [asyncio.create_task(full.call("GET", "api/v1/queue", who)) for who in ("carol", "alice") * 50]
    assert {len((await reader).json()["entries"]) for reader in readers} == {4}
    assert views <= 40, "who sees others' entries alike shares the work: 400 would be each for themself"


async def test_a_person_follows_a_few_times(full: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MOST_OF_PERSON", 1)
    async with stream(full) as one, stream(full, who="carol"):
        await one.next()
        error = error_of(await full.call("GET", QUEUE, "bob"), 429)
        assert (error["code"], "You follow 1 streams already" in error["message"]) == ("too_many_streams", True)
    await gone(full)
    async with stream(full) as one:
        assert await one.next() == {"entries": []}


async def test_a_stream_ends_so_that_rights_are_looked_at_again(full: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LONGEST_S", 0.3)
    async with stream(full) as one:
        await one.next()
        with pytest.raises(EOFError):
            await one.next()


async def test_a_reader_who_does_not_read_is_left(full: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "STALLED_S", 0.3)

    async def much(actor: Any, most: int) -> tuple[int, bytes]:
        return full.world.changes.number, b"x" * 64_000_000

    monkeypatch.setattr(full.service.application.settings["queue_desk"], "queue_json", much)
    _, writer = await asyncio.open_connection("127.0.0.1", full.settings.service_port, limit=1024)
    path = full.settings.service_prefix + QUEUE
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: token t-bob\r\n\r\n".encode())
    for _ in range(250):
        if events.EventsHandler.open_streams:
            break
        await asyncio.sleep(0.02)
    assert events.EventsHandler.open_streams.total() == 1
    await gone(full)
    writer.close()


async def test_a_browsers_login_follows_with_its_pages_token_alone(full: Running) -> None:
    login = _signed_cookie(full, full.tokens.cookie_name, "t-bob")
    navigates = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "same-origin"}
    page = await full.http.get("", headers={"Cookie": login, **navigates})
    xsrf = page.cookies["_xsrf"]
    sent = {"Cookie": f"{login}; _xsrf={xsrf}", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}
    error_of(await full.http.get(QUEUE, headers=sent), 403)
    async with full.http.stream("GET", QUEUE, headers={**sent, "X-Xsrftoken": xsrf}) as answer:
        assert answer.status_code == 200
        assert await Stream(answer).next() == {"entries": []}


async def test_an_outage_ends_no_stream(full: Running) -> None:
    async with stream(full) as one:
        await one.next()
        full.backend.down = True
        full.hub.fault = unreachable()
        full.world.changes.note()
        await asyncio.sleep(1.2)
        full.backend.down, full.hub.fault = False, None
        await launch(full, "bob", "x", 4)
        await one.waits("x")


async def test_whoever_may_not_is_told_before_the_stream_begins(full: Running) -> None:
    error_of(await full.call("GET", QUEUE, None), 403)
    error_of(await full.call("GET", QUEUE, "nobody"), 403)
    error_of(await full.call("GET", f"{LAUNCHES}/X/events", "bob"), 404)
    assert not events.EventsHandler.open_streams


async def test_names_follow_the_setting_also_when_it_changes(full: Running) -> None:
    await launch(full, "bob", "x", 4)
    async with stream(full, who="carol") as one:
        assert (await one.next())["entries"][0]["user"] == "somebody of another group"
        set_quotas(full, {"privacy": "open"})
        full.world.changes.note()
        while (await one.next())["entries"][0]["user"] != "bob":
            pass


async def test_of_a_long_queue_the_first_and_ones_own_are_sent(full: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MOST_ENTRIES", 1)
    for who, name in (("carol", "x"), ("carol", "y"), ("bob", "z")):
        assert (await launch(full, who, name, 4))[0] == 202
    await full.world.queue.round_now()
    for who, left_out in (("bob", 1), ("alice", 2)):
        async with stream(full, who=who) as one:
            told = await one.next()
        assert told["left_out"] == left_out
        assert [entry["position"] == 1 or entry["own"] for entry in told["entries"]] == [True] * (3 - left_out)
