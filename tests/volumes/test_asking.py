"""Questions to an API that is away, busy or counting: a real server, with answers as a Kubernetes gives them."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from kubernetes_asyncio import client
from tornado import httpserver, netutil, web

from mlabhub.cluster import asking
from mlabhub.cluster.asking import Answer, ask
from mlabhub.errors import ClusterUnavailable

Said = tuple[int, Any]
RACE = {"message": 'Operation cannot be fulfilled on resourcequotas "few": the object has been modified'}
FINE = {"metadata": {"name": "x"}}


class Scripted(web.RequestHandler):
    """Gives one answer after the other, the last for ever."""

    def get(self, _path: str) -> None:
        said: list[Said] = self.application.settings["said"]
        status, body = said.pop(0) if len(said) > 1 else said[0]
        self.application.settings["count"].append(status)
        self.set_status(status)
        self.finish(body)


Serve = Callable[[list[Said]], tuple[Any, list[int]]]


@pytest.fixture
async def serve(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Serve]:
    monkeypatch.setattr(asking, "PAUSES", (0.02,))
    made: list[httpserver.HTTPServer] = []
    connections: list[client.ApiClient] = []

    def begin(said: list[Said]) -> tuple[Any, list[int]]:
        [listening] = netutil.bind_sockets(0, "127.0.0.1", socket.AF_INET)
        count: list[int] = []
        server = httpserver.HTTPServer(web.Application([("(.*)", Scripted)], said=said, count=count))
        server.add_sockets([listening])
        made.append(server)
        configuration = client.Configuration(host=f"http://127.0.0.1:{listening.getsockname()[1]}")
        connections.append(client.ApiClient(configuration))
        return client.CoreV1Api(connections[-1]), count

    yield begin
    for connection in connections:
        await connection.close()
    for server in made:
        server.stop()
        await server.close_all_connections()


ANSWERS = {
    "at once": ([(200, FINE)], 200, 1),
    "not there": ([(404, {"message": "not found"})], 404, 1),
    "refused": ([(403, {"message": "no"})], 403, 1),
    "taken": ([(409, {"message": 'pods "x" already exists'})], 409, 1),
    "busy, then fine": ([(503, ""), (429, "slow down"), (200, FINE)], 200, 3),
    "a quota that is being counted": ([(409, RACE), (409, RACE), (201, FINE)], 201, 3),
}


@pytest.mark.parametrize(("said", "status", "asked"), ANSWERS.values(), ids=ANSWERS.keys())
async def test_the_answer_that_will_stay_so(serve: Serve, said: list[Said], status: int, asked: int) -> None:
    api, count = serve(list(said))
    answer = await ask(api.read_namespaced_pod, "x", "n")
    assert (answer.status, len(count)) == (status, asked)
    assert answer.is_fine == (status < 400)
    assert answer.is_taken == (status == 409)


async def test_patience_ends(serve: Serve) -> None:
    api, count = serve([(500, {"message": "etcd is away"})])
    with pytest.raises(ClusterUnavailable) as caught:
        await ask(api.read_namespaced_pod, "x", "n", patience_s=0.2)
    assert "etcd is away" in caught.value.log_text
    assert len(count) > 2
    api, _ = serve([(409, RACE)])
    assert (await ask(api.read_namespaced_pod, "x", "n", patience_s=0.1)).is_race


async def test_nobody_there(serve: Serve) -> None:
    api = client.CoreV1Api(client.ApiClient(client.Configuration(host="http://127.0.0.1:9")))
    with pytest.raises(ClusterUnavailable):
        await ask(api.read_namespaced_pod, "x", "n", patience_s=0.1)
    await api.api_client.close()


@pytest.mark.parametrize("body", ["", "<html>", "[1]", "null"])
async def test_what_is_no_json_is_an_answer_all_the_same(serve: Serve, body: str) -> None:
    api, _ = serve([(404, body)])
    assert await ask(api.read_namespaced_pod, "x", "n") == Answer(404, {})
