"""Watching many servers: for how long the event loop of the service is held, in which people's requests wait.

    python -m tests.bench.bench_watch [--servers 3000] [--hours 24]

The service's own parts on a real SQLite ledger; hub, machines and driver are doubles that answer at once, Prometheus is
an HTTP server in a process of its own. Prints one line of JSON. Of each part: ``hold_ms``, the longest time for which
nothing else had its turn, ``cpu_ms``, what the loop's own thread computed in the longest of such times, without what
other programs took from it, and ``all_s``, how long the whole took. The parts: the first look after a start, with
``hours`` of samples that were not read yet; a look after that; a minute of rounds, with its samples kept and judged;
nothing, for comparison; a look that warns all, and one after which all are told; refilling the memory with ``hours``
from the store; asking Prometheus and understanding it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from mlabhub.client import HubServer
from mlabhub.core.readings import Reading, Sample, Watched
from mlabhub.ledger import Reservation
from mlabhub.samplers import ClusterSampler, Prometheus
from mlabhub.samplers.cadvisor import CPU
from mlabhub.samplers.dcgm import ENGINE, MEMORY, UTIL
from mlabhub.service.app import open_world
from mlabhub.service.idle.loop import IdleLoop
from mlabhub.service.idle.sources import Sources
from mlabhub.service.idle.watching import Watch
from mlabhub.service.writer import Outcome
from tests.bench.admission_service import held_reservation, make_backend
from tests.bench.holds import PAUSE_S, Holds
from tests.doubles import ScriptedHub
from tests.service.conftest import make_settings

HOLD_MS = 100.0
"""Nothing may hold the loop for longer."""
BEGIN = 20_000 * 86_400.0
SCRAPE_S = 15.0
QUIET_S = 2.0


async def held(doing: Awaitable[Any]) -> dict[str, float]:
    """Return for how long something held the loop, and how long it took."""
    holds, begun = Holds(), time.perf_counter()
    task = asyncio.create_task(holds.watch())
    await asyncio.sleep(0)
    await doing
    await asyncio.sleep(PAUSE_S)
    task.cancel()
    found = {"hold_ms": 1000 * holds.hold, "cpu_ms": 1000 * holds.cpu, "all_s": time.perf_counter() - begun}
    return {name: round(value, 2) for name, value in found.items()}


class Driver:
    """Tells of all GPUs and cores at once."""

    async def sample(self, watched: Iterable[Watched], now: float) -> tuple[Reading, ...]:
        """Return readings."""
        return tuple(
            Reading(one.server, one.launch_id, now, (0.0,) * len(one.gpus), (1e9,) * len(one.gpus), 0.05, 5.0)
            for one in watched
        )


class Site:
    """A service with many servers, whose clock is moved by hand."""

    def __init__(self, world: Any, reservations: Sequence[Reservation]):
        self.world, self.reservations = world, reservations
        self.now, self.mono = BEGIN, 0.0
        world.clock, world.monotonic = lambda: self.now, lambda: self.mono
        self.begin()

    def begin(self) -> None:
        """Watch and judge, as after a start."""
        self.watch = self.world.watch = Watch(self.world, Sources([Driver()]))
        self.idle = self.world.idle = IdleLoop(self.world)
        self.watch.subscribe(self.idle._tick)
        self.rounds = self.watch._started()

    async def minute(self) -> None:
        """Make a minute's rounds, and wait until its samples are kept and judged."""
        for _ in range(12):
            self.now += 5.0
            self.mono += 5.0
            await self.rounds.round()
        if self.watch._telling is not None:
            await self.watch._telling

    def fill(self, hours: int, *, idle: bool = False) -> None:
        """Let the memory have some hours, and the clock stand at their end."""
        for minute in range(1, hours * 60 + 1):
            self.watch._known.add(self.samples(self.now + 60.0 * minute, idle))
        self.now += 3600.0 * hours

    def samples(self, t: float, idle: bool = False) -> Iterator[Sample]:
        """Yield a minute's samples: a third of the servers are at work, each in its turn, or none is."""
        for number, one in enumerate(self.reservations):
            busy = not idle and (t // 7200 + number) % 3 == 0
            gpus = len(one.gpus)
            percent, cores = (80.0 if busy else 0.0,) * gpus, 0.5 if busy else 0.02
            more = {"last_activity": t - 30.0, "input_age": 30.0, "kernels_busy": 0}
            name = f"{one.user}/{one.server}"
            yield Sample(t, name, one.launch_id, gpus, percent, (2e9,) * gpus, cores, more=more)


@asynccontextmanager
async def open_site(folder: Path, servers: int) -> AsyncIterator[Site]:
    """Return a service in ``folder`` with servers that run."""
    backend, hub = make_backend(), ScriptedHub()
    reservations = [held_reservation(number) for number in range(servers)]
    for one in reservations:
        backend.run(one.launch_id, one.user, one.server, one.gpus)
        options = {"launch_id": one.launch_id}
        known = HubServer(one.user, one.server, ready=True, user_options=options, last_activity=BEGIN)
        hub.servers[one.user, one.server] = known
    async with open_world(make_settings(folder), hub=hub, backend=backend) as world:
        await world.writer.submit(lambda projection: Outcome(None, tuple(reservations)))
        gc.freeze()  # as the service does
        site = Site(world, reservations)
        yield site
        await site.watch.close()


async def measure_service(folder: Path, servers: int, hours: int) -> dict[str, Any]:
    """Measure rounds, looks and the refill."""
    async with open_site(folder, servers) as site:
        site.fill(hours)
        figures = {"first_look": await held(site.idle.look()), "look": await held(site.idle.look())}
        await site.minute()
        figures["minute"] = await held(site.minute())
        figures["nothing"] = await held(asyncio.sleep(QUIET_S))
        site.fill(24, idle=True)
        figures["look_that_warns_all"] = await held(site.idle.look())
        figures["warned"] = {"servers": len(site.world.writer.projection.warnings)}
        figures["look_that_tells_all"] = await told(site)
        await asyncio.to_thread(store, site, hours)
        await site.watch.close()
        site.begin()
        figures["refill"] = await held(site.watch._remember())
        return figures


async def told(site: Site) -> dict[str, float]:
    """Measure a look two minutes later, by which all warnings stand on their persons' Home pages."""
    site.now += 150.0
    site.mono += 150.0
    figures = await held(site.idle.look())
    warnings = site.world.writer.projection.warnings.values()
    return {**figures, "told": sum(one.told is not None for one in warnings)}


def store(site: Site, hours: int) -> None:
    """Let the store have the hours before now, older ones put together as they are."""
    begin = site.now // 3600 * 3600 - 3600.0 * hours
    for hour in range(hours):
        for minute in range(1, 61):
            t = begin + 3600.0 * hour + 60.0 * minute
            site.world.samples.add(t, site.samples(t))
        site.world.samples.tidy(begin + 3600.0 * (hour + 1))


# -- a Prometheus


def make_answer(names: Sequence[str], servers: int, now: float) -> bytes:
    """Return what Prometheus says of a measure of all servers, as long as it is in a cluster."""
    result = []
    for number in range(servers):
        for name in names:
            labels = {"__name__": name, "pod": f"jupyter-user-{number}", "namespace": "lab", "container": "notebook"}
            labels |= {"UUID": f"GPU-{number:08}-1b2c-3d4e-5f60-718293a4b5c6", "gpu": "0", "device": "nvidia0"}
            labels |= {"Hostname": f"node-{number // 8:03}", "modelName": "NVIDIA H100 80GB HBM3", "job": "scraped"}
            labels |= {"instance": "10.1.2.3:9400", "id": f"/kubepods.slice/burstable/pod{number:032}/scope"}
            points = [[now - SCRAPE_S * back, f"{0.01 * (10 - back):.4f}"] for back in range(9, -1, -1)]
            result.append({"metric": labels, "values": points})
    told = {"status": "success", "data": {"resultType": "matrix", "result": result}}
    return json.dumps(told, separators=(",", ":")).encode()


def play(place: Connection, servers: int, now: float) -> None:
    """Answer as a Prometheus does; ``place`` is told the port."""
    gpus, cores = make_answer((ENGINE, UTIL, MEMORY), servers, now), make_answer((CPU,), servers, now)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers["Content-Length"]))
            body = cores if CPU.encode() in asked else gpus
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    place.send(server.server_port)
    server.serve_forever()


@contextmanager
def playing(servers: int, now: float) -> Iterator[str]:
    """Run one in a process of its own, and yield its address."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=play, args=(there, servers, now), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{here.recv()}"
    finally:
        process.terminate()
        process.join()


async def measure_prometheus(servers: int) -> dict[str, Any]:
    """Measure one question of a minute."""
    watched = [
        Watched(f"user{number}/", f"L{number}", (f"gpu{number}",), pod=f"jupyter-user-{number}", namespace="lab")
        for number in range(servers)
    ]
    with playing(servers, BEGIN) as url:
        prometheus = Prometheus(url)
        readings: list[Reading] = []

        async def ask() -> None:
            readings[:] = await ClusterSampler(prometheus).sample(watched, BEGIN)

        await ask()
        figures = await held(ask())
        await prometheus.close()
    unknown = [one for one in readings if one.reasons]
    if len(readings) != 2 * servers or unknown:
        raise RuntimeError(f"{len(readings)} readings, {len(unknown)} unknown: {unknown[:1]}")
    return figures


def run(servers: int = 3000, hours: int = 24) -> dict[str, Any]:
    """Measure all once in a fresh folder."""
    with tempfile.TemporaryDirectory(prefix="mlabhub-bench-") as folder:
        figures = asyncio.run(measure_service(Path(folder), servers, hours))
    figures["prometheus"] = asyncio.run(measure_prometheus(servers))
    return {"servers": servers, "hours": hours, **figures}


def longest_ms(figures: dict[str, Any], measure: str = "hold_ms") -> float:
    """Return the longest time for which the loop was held."""
    return max(float(one[measure]) for one in figures.values() if isinstance(one, dict) and measure in one)


def main() -> int:
    """Print the figures; exit 1 when they miss the target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, default=3000)
    parser.add_argument("--hours", type=int, default=24)
    figures = run(**vars(parser.parse_args()))
    print(json.dumps(figures), flush=True)
    return 0 if longest_ms(figures) < HOLD_MS else 1


if __name__ == "__main__":
    sys.exit(main())
