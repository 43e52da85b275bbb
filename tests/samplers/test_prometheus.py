"""A cluster's use, from a real Prometheus that scrapes a trace as DCGM's exporter and cAdvisor told it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlabhub.core.readings import Reading, Ticker, Watched
from mlabhub.samplers import ClusterSampler, Prometheus
from mlabhub.samplers.series import Terms
from tests.samplers.prometheus import Exporter, run_prometheus

TRACE = (Path(__file__).with_name("trace.txt")).read_text()
ALICE = Watched("alice/", "L1", ("a100-0", "a100-1"), pod="jupyter-alice", namespace="lab")
QUICK = Terms(window_s=3.0, longest_gap_s=2.5, shortest_gap_s=2.0)


class Player:
    """Plays the trace: its CPU counter runs by the clock, at a rate."""

    def __init__(self, exporter: Exporter, cores: float):
        self.exporter = exporter
        self._cores = cores
        self._began = time.monotonic()

    async def play(self, seconds: float, util: str = "0") -> None:
        """Play with this use of the first GPU."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            cpu = f"{(time.monotonic() - self._began) * self._cores:.3f}"
            self.exporter.text = TRACE.replace("{util}", util).replace("{cpu}", cpu)
            await asyncio.sleep(0.1)


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    """An exporter with an empty page."""
    exporter = Exporter()
    yield exporter
    exporter.close()


def job(exporter: Exporter, name: str = "dcgm", honest: bool = True, **labels: str) -> dict[str, object]:
    """Return a scrape of the exporter; one that is not honest puts its own labels first."""
    targets = {"targets": [exporter.place], "labels": labels}
    return {"job_name": name, "honor_labels": honest, "static_configs": [targets]}


async def first(player: Player, sampler: ClusterSampler, util: str = "0") -> tuple[Reading, Reading]:
    """Play until the window is whole: a Prometheus takes seconds before it scrapes at all."""
    for _ in range(30):
        await player.play(1.0, util)
        gpus, cores = await read(sampler)
        if not gpus.reasons and not cores.reasons:
            break
    return gpus, cores


async def read(sampler: ClusterSampler, watched: Watched = ALICE) -> tuple[Reading, Reading]:
    """Return what is known of GPUs and of cores now."""
    gpus, cores = await sampler.sample([watched], time.time())
    return gpus, cores


def words(reading: Reading) -> str:
    """Return the reasons of a reading."""
    return " ".join(map(str, reading.reasons))


async def test_a_trace_begins(tmp_path: Path, exporter: Exporter) -> None:
    player = Player(exporter, cores=1.5)
    with run_prometheus(tmp_path, [job(exporter)]) as url:
        prometheus = Prometheus(url)
        sampler = ClusterSampler(prometheus, QUICK)
        gpus, cores = await read(sampler)
        assert (gpus.gpu_util, cores.cpu_cores) == ((None, None), None)
        assert "tells of 0 GPUs of alice/, which holds 2" in words(gpus)
        assert "no measurement of container_cpu_usage_seconds_total (alice/)" in words(cores)

        gpus, cores = await first(player, sampler)
        assert (gpus.gpu_util, gpus.gpu_mem_used) == ((0.0, 37.5), (2.0**30, 0.0))
        assert cores.cpu_cores == pytest.approx(1.5, rel=0.3)

        await player.play(1.0, util="97")
        await player.play(1.0, util="0")
        gpus, _ = await read(sampler)
        assert gpus.gpu_util == (97.0, 37.5)  # the highest of the window

        ticker = Ticker(tick_s=QUICK.window_s)
        now = time.time()
        ticker.add(await sampler.sample([ALICE], now))
        [sample] = ticker.close([ALICE], now)
        assert (sample.gpu_util, sample.reasons) == ((97.0, 37.5), ())
        assert sample.cpu_cores == pytest.approx(1.5, rel=0.3)
    gpus, cores = await read(sampler)
    assert (gpus.gpu_util, cores.cpu_cores) == ((None, None), None)
    assert f"Prometheus at {url} cannot be reached" in words(gpus)
    await prometheus.close()


@pytest.mark.long
async def test_a_trace_with_holes(tmp_path: Path, exporter: Exporter) -> None:
    player = Player(exporter, cores=1.5)
    with run_prometheus(tmp_path, [job(exporter)]) as url:
        prometheus = Prometheus(url)
        sampler = ClusterSampler(prometheus, QUICK)
        await first(player, sampler)
        await player.play(4.0, util="NaN")
        gpus, _ = await read(sampler)
        assert gpus.gpu_util == (None, 37.5)
        assert "measurement of DCGM_FI_DEV_GPU_UTIL (alice/)" in words(gpus)

        await player.play(4.5, util="3")
        exporter.status = 500
        await asyncio.sleep(3.0)
        gpus, cores = await read(sampler)
        assert (gpus.gpu_util, cores.cpu_cores) == ((None, None), None)
        assert "newest measurement" in words(gpus)
        exporter.status = 200

        await player.play(1.5, util="0")
        gpus, cores = await read(sampler)
        assert (gpus.gpu_util, cores.cpu_cores) == ((None, None), None)  # there is a hole in the window
        await player.play(4.0, util="0")
        gpus, cores = await read(sampler)
        assert gpus.gpu_util == (0.0, 37.5)
        assert cores.cpu_cores is not None
        await prometheus.close()


@pytest.mark.parametrize("doubled", [pytest.param(False, marks=pytest.mark.long), True], ids=["once", "doubled"])
async def test_labels_that_were_renamed(tmp_path: Path, exporter: Exporter, doubled: bool) -> None:
    own = {"pod": "dcgm-exporter-xyz", "namespace": "monitoring"}
    jobs = [job(exporter, honest=False, **own)]
    if doubled:
        jobs.append(job(exporter, "again"))
    with run_prometheus(tmp_path, jobs) as url:
        prometheus = Prometheus(url)
        gpus, cores = await first(Player(exporter, cores=1.0), ClusterSampler(prometheus, QUICK), util="12")
        assert (gpus.gpu_util, gpus.gpu_mem_used, gpus.reasons) == ((12.0, 37.5), (2.0**30, 0.0), ())
        assert cores.cpu_cores == pytest.approx(1.0, rel=0.3)
        await prometheus.close()


HTML = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 21\r\n\r\n<html>Log in</html>\r\n"


def answer(body: str, status: str = "200 OK") -> bytes:
    """Return an HTTP answer with JSON."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


def matrix(values: str, metric: str = '{"pod": "jupyter-alice"}') -> bytes:
    """Return an answer with one series."""
    series = f'{{"metric": {metric}, "values": {values}}}'
    return answer(f'{{"status": "success", "data": {{"resultType": "matrix", "result": [{series}]}}}}')


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (HTML, "is not Prometheus (text/html"),
        (b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n", "answers with an error (302"),
        (answer("", "500 Internal Server Error"), "answers with an error (500"),
        (answer('{"status": "error", "error": "out of memory"}', "503 X"), "with an error (503: out of memory)"),
        (answer('{"status": "error", "error": "many"}'), "with an error (200: many)"),
        (answer(""), "is not Prometheus"),
        (answer("null"), "is not Prometheus"),
        (answer("[" * 100_000), "is not Prometheus"),
        (answer('{"status": "success", "data": {"resultType": "vector", "result": []}}'), "is not Prometheus"),
        (matrix("[[1]]"), "is not Prometheus"),
        (matrix('[[1, "many"]]'), "is not Prometheus"),
        (matrix("[[1, null]]"), "is not Prometheus"),
        (matrix("[]", "null"), "is not Prometheus"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", "cannot be reached"),
        (b"\0\0\0\0\r\n\r\n", "cannot be reached"),
        (b"", "cannot be reached"),
        (None, "does not answer within 0.5 s"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 70000000\r\n\r\n" + b" " * 70_000_000, "longer than 64 MiB"),
    ],
    ids=[
        "HTML",
        "a login",
        "500",
        "an error",
        "an error with 200",
        "empty",
        "null",
        "deep",
        "another type",
        "half a point",
        "a word",
        "no value",
        "no labels",
        "cut off",
        "not HTTP",
        "nothing",
        "no answer",
        "endless",
    ],
)
async def test_whatever_answers_nothing_is_known(said: bytes | None, expected: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            if said is None:
                await reader.read()
            else:
                writer.write(said)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    prometheus = Prometheus(f"http://reader:secret@127.0.0.1:{port}/prefix", patience_s=0.5 if said is None else 20)
    gpus, cores = await read(ClusterSampler(prometheus))
    assert (gpus.gpu_util, gpus.gpu_mem_used, cores.cpu_cores) == ((None, None), (None, None), None)
    assert expected in words(gpus)
    assert expected in words(cores)
    assert f"127.0.0.1:{port}/prefix" in words(gpus)
    assert "secret" not in words(gpus)
    await prometheus.close()
    server.close()
    await server.wait_closed()
