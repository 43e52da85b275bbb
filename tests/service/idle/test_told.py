"""Watching a cluster's servers by a Prometheus: a small HTTP server plays one, and whatever else may answer there."""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mlabhub.core.idle.presets import PRESETS
from mlabhub.core.idle.state import State
from mlabhub.core.idle.verdict import Kind, assess
from mlabhub.core.kubernetes import PrometheusSpec
from mlabhub.core.readings import Sample
from mlabhub.samplers.cadvisor import CPU
from mlabhub.samplers.dcgm import MEMORY, UTIL
from mlabhub.service.idle.sources import NO_PROMETHEUS, Sources, ToldByPrometheus
from mlabhub.service.idle.watching import Watch
from tests.service.conftest import make_settings, run_service
from tests.service.idle.test_watching import BEGIN, GPU, Site
from tests.site.mirrors import make_certificates

Answer = tuple[int, str, bytes] | None
"""Status, type, body; None: none at all."""


def series(values: dict[str, float | str], now: float) -> bytes:
    """Return what Prometheus says of alice's pod, scraped every 15 s."""
    result = []
    for name, value in values.items():
        labels = {"__name__": name, "pod": "jupyter-alice", "namespace": "lab", "container": "notebook", "UUID": GPU}
        points = [now - 15.0 * back for back in range(9, -1, -1)]
        is_cores = name == CPU and not isinstance(value, str)
        told = [[t, str(float(value) * (t - BEGIN)) if is_cores else str(value)] for t in points]
        result.append({"metric": labels, "values": told})
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}).encode()


class Player:
    """Answers as it is told; ``heard`` is the last question's authorisation."""

    def __init__(self, certificate: tuple[Path, Path] | None = None) -> None:
        self.util: float | str = 0.0
        self.instead: Callable[[], Answer] | None = None
        self.let_go = threading.Event()
        self.heard: str | None = None
        player = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
                player.heard = self.headers.get("Authorization")
                answer = player.answer(asked)
                if answer is None:
                    player.let_go.wait(30)
                    return
                status, kind, body = answer
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.url = f"https://localhost:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, asked: str) -> Answer:
        """Return what is answered to a question."""
        if self.instead is not None:
            return self.instead()
        now = float(dict(part.split("=") for part in asked.split("&"))["time"])
        values: dict[str, float | str] = {CPU: 0.25} if CPU in asked else {UTIL: self.util, MEMORY: 1024.0}
        return 200, "application/json", series(values, now)

    def close(self) -> None:
        """Answer no more."""
        self.let_go.set()
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def playing(certificate: tuple[Path, Path] | None = None) -> Iterator[Player]:
    """Play while the block lasts."""
    player = Player(certificate)
    try:
        yield player
    finally:
        player.close()


class Cluster(Site):
    """A site whose servers are pods; ``spec`` is what kubernetes.yaml says of Prometheus."""

    spec: PrometheusSpec | None = None

    def begin(self) -> None:
        """Watch, as after a start."""
        self.told_by = ToldByPrometheus(lambda: self.spec)
        self.watch = self.world.watch = Watch(self.world, Sources(each_tick=[self.told_by], close=self.told_by.close))
        self.watch.subscribe(self._ticked)
        self.rounds = self.watch._started()

    def why(self) -> str:
        """Return the reasons of what is not known."""
        return " ".join(map(str, self.watch.reasons("L1")))


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """A service with one pod."""
    async with run_service(make_settings(tmp_path)) as running:
        one = running.backend.run("L1", "alice", "", (GPU,))
        running.backend.running["L1"] = replace(one, pod="jupyter-alice", namespace="lab", container="")
        yield Cluster(running)


async def test_what_prometheus_says_is_in_each_minute(cluster: Cluster) -> None:
    with playing() as player:
        cluster.spec = PrometheusSpec(url=player.url)
        await cluster.play(60)
        assert (cluster.last.gpu_util, cluster.last.gpu_mem_used) == ((0.0,), (2.0**30,))
        assert cluster.last.cpu_cores == pytest.approx(0.25)
        player.util = 93.0
        await cluster.play(60)
        assert cluster.last.gpu_util == (93.0,)
        assert cluster.watch.reasons("L1") == ()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((200, "text/html", b"<html>Log in</html>"), "is not Prometheus (text/html"),
        ((500, "text/plain", b"oops"), "answers with an error (500"),
        ((200, "application/json", b'{"status": "error", "error": "out of memory"}'), "out of memory"),
        (None, "does not answer within"),
    ],
    ids=["HTML", "500", "an error", "nothing"],
)
async def test_whatever_else_answers_servers_are_unknown(cluster: Cluster, answer: Answer, why: str) -> None:
    with playing() as player:
        cluster.spec = PrometheusSpec(url=player.url)
        await cluster.play(60)
        player.instead = lambda: answer
        cluster.rounds._patience_s = 5.0
        if answer is None:
            assert cluster.told_by._prometheus is not None
            cluster.told_by._prometheus._patience_s = 0.3
        await cluster.play(60)
        assert (cluster.last.gpu_util, cluster.last.cpu_cores, cluster.watch.unknown()) == ((None,), None, 1)
        assert why in cluster.why()
        samples = cluster.watch.samples("L1")
        assert samples is not None
        assert assess(samples, State("L1"), PRESETS["default"], cluster.now).kind is Kind.UNKNOWN
        player.let_go.set()
        player.instead = None
        await cluster.play(60)
        assert cluster.last.gpu_util == (0.0,)
    assert cluster.ticks == [BEGIN + 60, BEGIN + 120, BEGIN + 180]


async def test_one_that_never_answers_makes_no_minute_late(cluster: Cluster) -> None:
    with playing() as player:
        cluster.spec = PrometheusSpec(url=player.url)
        player.instead = lambda: None
        cluster.rounds._patience_s = 0.05
        await cluster.play(120)
        assert cluster.last.gpu_util == (None,)
        assert cluster.why()
    assert cluster.ticks == [BEGIN + 60, BEGIN + 120]


async def test_no_number_is_no_use(cluster: Cluster) -> None:
    with playing() as player:
        cluster.spec = PrometheusSpec(url=player.url)
        player.util = "NaN"
        await cluster.play(60)
        assert (cluster.last.gpu_util, cluster.last.gpu_mem_used) == ((None,), (2.0**30,))
        assert "is no number" in cluster.why()


async def test_without_a_prometheus_it_is_said_and_one_that_is_named_later_counts(cluster: Cluster) -> None:
    await cluster.play(60)
    assert cluster.why() == NO_PROMETHEUS
    with playing() as player:
        cluster.spec = PrometheusSpec(url=player.url)
        await cluster.play(60)
        assert cluster.last.gpu_util == (0.0,)
    await cluster.play(60)
    assert "cannot be reached" in cluster.why()


async def test_a_token_is_read_anew_and_one_that_is_missing_is_a_reason(cluster: Cluster, tmp_path: Path) -> None:
    token = tmp_path / "token"
    with playing() as player:
        cluster.spec = PrometheusSpec(url=player.url, token_file=str(token))
        await cluster.play(60)
        assert cluster.last.gpu_util == (None,)
        assert str(token) in cluster.why()
        for text in ("first", "second\n"):
            token.write_text(text)
            await cluster.play(60)
            assert player.heard == f"Bearer {text.strip()}"
            assert cluster.last.gpu_util[0] == 0.0


async def test_an_authority_of_ones_own(cluster: Cluster, tmp_path: Path) -> None:
    certificate = make_certificates(tmp_path, names=("localhost",))
    with playing(certificate) as player:
        cluster.spec = PrometheusSpec(url=player.url)
        await cluster.play(60)
        assert cluster.last.gpu_util == (None,)
        assert "cannot be reached" in cluster.why()
        cluster.spec = PrometheusSpec(url=player.url, ca_file=str(tmp_path / "lost.pem"))
        await cluster.play(60)
        assert "lost.pem" in cluster.why()
        cluster.spec = PrometheusSpec(url=player.url, ca_file=str(tmp_path / "company.pem"))
        await cluster.play(60)
        assert cluster.watch.reasons("L1") == ()
        assert cluster.last.gpu_util[0] == 0.0


async def test_late_and_doubled_minutes(cluster: Cluster) -> None:
    def minute(number: int, util: float) -> Sample:
        t = BEGIN + 60.0 * number
        return Sample(t, "alice/", "L1", 1, (util,), (1e9,), 0.0)

    for number, util in ((1, 90.0), (2, 0.0), (4, 0.0), (3, 80.0), (4, 0.0), (5, 0.0)):
        await cluster.watch.tick(BEGIN + 60.0 * number, [minute(number, util)])
    cluster.now = BEGIN + 300.0
    samples = cluster.watch.samples("L1")
    assert samples is not None
    found = assess(samples, State("L1"), PRESETS["default"], cluster.now)
    assert (found.kind, found.since) == (Kind.IDLE, BEGIN + 180.0)  # late as it came, its use counts where it belongs
    assert [one.t - BEGIN for one in await cluster.stored()] == [60.0, 120.0, 180.0, 240.0, 300.0]
