"""The hub's client against a small hub of its own: pages, odd answers, outages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler

from mlabhub.client import HubClient
from mlabhub.client.transport import NoAnswer, NotSent
from mlabhub.errors import LaunchRefused, NotFound, NotPermitted, Unavailable
from mlabhub.messages import Message, message_json
from tests.installation import free_port


@dataclass
class SmallHub:
    """Answers by path; remembers what it was asked."""

    url: str
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)


@pytest.fixture
async def hub() -> AsyncIterator[SmallHub]:
    one = SmallHub(f"http://127.0.0.1:{free_port()}/hub/")

    class Handler(RequestHandler):
        def prepare(self) -> None:
            body = json.loads(self.request.body) if self.request.body else None
            one.asked.append((self.request.method or "", self.request.uri or "", body))
            assert self.request.headers["Authorization"] == "token secret"
            status, answer = one.answers.get(self.request.uri or "", (404, {"status": 404, "message": "Not Found"}))
            self.set_status(status)
            self.finish((answer if isinstance(answer, (dict, str)) else json.dumps(answer)) or None)

    server = HTTPServer(Application([(".*", Handler)]))
    server.listen(int(one.url.split(":")[2].split("/")[0]), "127.0.0.1")
    yield one
    server.stop()
    await server.close_all_connections()


@pytest.fixture
async def client(hub: SmallHub) -> AsyncIterator[HubClient]:
    one = HubClient(hub.url, "secret", timeout_s=2.0)
    yield one
    await one.close()


def user(name: str, **servers: dict[str, Any]) -> dict[str, Any]:
    models = {key: {"name": key, "pending": None, "ready": True, **value} for key, value in servers.items()}
    return {"name": name, "admin": False, "groups": ["vision"], "servers": models}


def page(users: list[Any], offset: int | None) -> dict[str, Any]:
    following = None if offset is None else {"offset": offset, "limit": 200, "url": "http://elsewhere/"}
    return {"items": users, "_pagination": {"next": following}}


async def test_every_page_is_read_and_nobody_counts_twice(hub: SmallHub, client: HubClient) -> None:
    first, second = (f"/hub/api/users?state=active&offset={offset}&limit=200" for offset in (0, 200))
    hub.answers[first] = (200, page([user("alice", x={}), user("bob", y={"pending": "spawn", "ready": False})], 200))
    hub.answers[second] = (200, page([user("bob", y={}), user("carol", z={"ready": False})], None))
    servers = await client.active_servers()
    assert [(one.user, one.name, one.ready) for one in servers] == [("alice", "x", True), ("bob", "y", True)]


async def test_groups(hub: SmallHub, client: HubClient) -> None:
    first, second = (f"/hub/api/groups?offset={offset}&limit=200" for offset in (0, 200))
    hub.answers[first] = (200, page([{"name": "vision", "kind": "group"}, {"name": "nlp"}], 200))
    hub.answers[second] = (200, page([{"name": "nlp"}, {"name": "a/b é"}], None))
    assert await client.groups() == ("vision", "nlp", "a/b é")
    hub.answers[second] = (200, page([{"kind": "group"}], None))
    with pytest.raises(Unavailable, match="a page of groups without 'name'"):
        await client.groups()


async def test_a_user_and_their_servers(hub: SmallHub, client: HubClient) -> None:
    options = {"profile": "gpu", "launch_id": "01A"}
    hub.answers["/hub/api/users/al%2Fice%20%C3%A9?include_stopped_servers=1"] = (
        200,
        user("al/ice é", x={"user_options": options, "display_name": "X", "url": "/user/al/x/"}, y={"ready": False}),
    )
    known = await client.user("al/ice é", stopped=True)
    assert known.groups == ("vision",)
    server = known.server("x")
    assert server is not None
    assert (server.launch_id, server.display_name, server.url) == ("01A", "X", "/user/al/x/")
    stopped = known.server("y")
    assert stopped is not None
    assert not stopped.active
    with pytest.raises(NotFound, match="no user nobody"):
        await client.user("nobody")


async def test_starts_and_refusals(hub: SmallHub, client: HubClient) -> None:
    path = "/hub/api/users/alice/servers/x"
    keywords: dict[str, Any] = {"display_name": "X", "user_options": {"a": 1}}
    for status in (201, 202):
        hub.answers[path] = (status, "")
        await client.start("alice", "x", **keywords)
    assert hub.asked[-1] == ("POST", path, {"display_name": "X", "user_options": {"a": 1}})
    hub.answers[path] = (409, {"status": 409, "message": "vision holds 6 of 6"})
    with pytest.raises(LaunchRefused, match="vision holds 6 of 6"):
        await client.start("alice", "x", **keywords)
    hub.answers[path] = (403, {"message": "Your login has expired."})
    with pytest.raises(NotPermitted, match="login has expired"):
        await client.start("alice", "x", **keywords)
    hub.answers[path] = (500, "<html>")
    with pytest.raises(LaunchRefused, match="without a reason"):
        await client.start("alice", "x", **keywords)
    with pytest.raises(NotFound):
        await client.start("alice", "", **keywords)
    assert hub.asked[-1][1] == "/hub/api/users/alice/server"


async def test_stops_are_fine_for_what_does_not_run(hub: SmallHub, client: HubClient) -> None:
    hub.answers["/hub/api/users/alice/server"] = (204, "")
    await client.stop("alice", "")
    await client.stop("alice", "gone")
    hub.answers["/hub/api/users/alice/server"] = (500, {"message": "boom"})
    with pytest.raises(Unavailable, match="boom"):
        await client.stop("alice", "")


@pytest.mark.parametrize(
    "answer",
    [(200, "no JSON"), (200, []), (200, {}), (200, {"items": [{}], "_pagination": {"next": None}}), (403, "")],
    ids=["no JSON", "a list", "no items", "no name", "forbidden"],
)
async def test_an_answer_that_is_not_understood_is_never_an_empty_one(
    hub: SmallHub, client: HubClient, answer: tuple[int, Any]
) -> None:
    hub.answers["/hub/api/users?state=active&offset=0&limit=200"] = answer
    with pytest.raises(Unavailable, match="hub cannot be asked"):
        await client.active_servers()


async def test_what_was_never_sent_is_told_apart_from_what_got_no_answer(hub: SmallHub) -> None:
    away = HubClient(f"http://127.0.0.1:{free_port()}/hub/", "secret", timeout_s=1.0)
    with pytest.raises(NotSent):
        await away.start("alice", "x", display_name="", user_options={})
    with pytest.raises(Unavailable):
        await away.user("alice")
    await away.close()
    hub.answers["/hub/api/users/alice/servers/x"] = (200, "no JSON")
    right = HubClient(hub.url, "secret", timeout_s=1.0)
    with pytest.raises(NoAnswer):
        await right.start("alice", "x", display_name="", user_options={})
    await right.close()


async def test_the_environments_proxies_are_not_used(
    hub: SmallHub, client: HubClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    hub.answers["/hub/api/users/alice"] = (200, user("alice"))
    again = HubClient(hub.url, "secret")
    assert (await again.user("alice")).name == "alice"
    await again.close()


@pytest.mark.parametrize("goes_on", [True, False])
async def test_the_last_sentence_of_a_start_needs_no_end_of_it(goes_on: bool) -> None:
    sentences = [Message("Asking for a place"), Message.of("Its node is {node}", node="{n}")]
    events = [{"progress": 0, "message": "Server requested"}]
    events += [{"progress": 5, "message": str(one), "said": message_json(one)} for one in sentences]
    events += [{"progress": 6, "message": "x", "said": {"text": "{a}", "values": {}}}]
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).splitlines()[0])
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n{body}".encode())
        await writer.drain()
        if goes_on:
            await reader.read()  # until the client is gone
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    client = HubClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hub/", "secret")
    assert await client.last_told("alice", "x") == sentences[1]
    assert (await asyncio.gather(*[client.last_told("alice", "x") for _ in range(9)])).count(sentences[1]) == 8
    assert asked[1:] == asked[:1] * 8
    assert asked[:1] == [b"GET /hub/api/users/alice/servers/x/progress HTTP/1.1"]
    await client.close()
    server.close()


async def test_without_a_start_nothing_is_told(hub: SmallHub, client: HubClient) -> None:
    assert await client.last_told("alice", "") is None
    hub.answers["/hub/api/users/alice/server/progress"] = (200, {"said": 3})
    assert await client.last_told("alice", "") is None
    away = HubClient(f"http://127.0.0.1:{free_port()}/hub/", "secret", timeout_s=1.0)
    assert await away.last_told("alice", "") is None
    await away.close()
