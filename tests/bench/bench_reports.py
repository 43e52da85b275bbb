"""Reports of agents: how long a call takes while 3,000 servers report once a minute, and the hub does not answer.

    python -m tests.bench.bench_reports [--servers 3000] [--seconds 60]

Runs the real service process on a fresh ledger with as many servers held, its hub away. Every server reports once,
spread over the time at random, on a connection of its own, as agents do; then all report what an outage of an hour has
left, in one call each. Each answer says how its server stands, or the run fails. Prints one line of JSON: percentiles
of the first in ms, and those of the second.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from mlabhub.service.report_tokens import ReportTokens, Subject
from mlabhub.settings import Settings
from tests.bench.admission_service import held_reservation
from tests.bench.bench_admission import make_installation, processor_s, read_answer, start_service

P99_MS = 50.0
BACKLOG = 60
AT_ONCE = 64
JUDGED_S = 150.0


class Unsaid(RuntimeError):
    """An answer does not say how the server stands."""


class Servers:
    """All servers with their tokens; ``numbers`` grow from call to call, as agents' do.

    ``judged``: each answer is to say how the server stands.
    """

    def __init__(self, settings: Settings, count: int, judged: bool = True):
        self.judged = judged
        tokens = ReportTokens(settings.service_token_file.read_text())
        self._settings = settings
        self._number = 0
        self._callers: list[tuple[Subject, str]] = []
        for one in map(held_reservation, range(count)):
            subject = Subject(one.user, one.server, one.launch_id)
            self._callers.append((subject, tokens.make(subject)))

    async def report(self, place: int, reports: int = 1) -> float:
        """Let one server report; return how many seconds it took. Raises `RuntimeError` if it was not taken."""
        subject, token = self._callers[place]
        now = time.time()
        self._number += reports
        first = self._number - reports + 1
        told = {"input_age": 12.5, "inputs": {"lab": 12.5, "vscode": 900.0, "terminal": 60.0}, "kernels_busy": 1}
        told |= {"kernels_busy_age": 30.0, "terminals_busy": 0, "cpu_cores": 0.51}
        many = [{"t": now - 60 * (reports - 1 - at), "number": first + at, **told} for at in range(reports)]
        body = json.dumps({"server": subject.name, "sent": now, "reports": many}).encode()
        head = (
            f"POST {self._settings.service_prefix}api/v1/reports HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Authorization: Bearer {token}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        began = time.perf_counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", self._settings.service_port)
        writer.write(head.encode() + body)
        answer = json.loads(await read_answer(reader))
        took = time.perf_counter() - began
        writer.close()
        if (answer["taken"], answer["dropped"]) != (reports, 0):
            raise RuntimeError(str(answer))
        if self.judged and answer["status"] is None:
            raise Unsaid
        return took

    async def until_judged(self) -> None:
        """Wait until the service has judged all servers: each time another one asks, for one may not ask often."""
        deadline = time.monotonic() + JUDGED_S
        for place in itertools.cycle(range(len(self._callers))):
            try:
                await self.report(place)
                return
            except Unsaid:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(1)

    async def over(self, seconds: float, seed: int = 1) -> list[float]:
        """Let every server report once within some seconds."""
        chance = random.Random(seed)

        async def one(place: int) -> float:
            await asyncio.sleep(seconds * chance.random())
            return await self.report(place)

        return list(await asyncio.gather(*map(one, range(len(self._callers)))))

    async def after_an_outage(self) -> list[float]:
        """Let every server send an hour, `AT_ONCE` of them at a time."""
        turn = asyncio.Semaphore(AT_ONCE)

        async def one(place: int) -> float:
            async with turn:
                return await self.report(place, BACKLOG)

        return list(await asyncio.gather(*map(one, range(len(self._callers)))))


def percentiles(latencies: list[float]) -> dict[str, float]:
    """Return the middle, the 99th of a hundred and the worst, in ms."""
    ordered = sorted(latencies)
    picked = {"p50_ms": ordered[len(ordered) // 2], "p99_ms": ordered[int(len(ordered) * 0.99)], "max_ms": ordered[-1]}
    return {name: round(1000 * value, 1) for name, value in picked.items()}


async def measure(settings: Settings, servers: int, seconds: float, judged: bool) -> dict[str, Any]:
    """Report for a minute, then catch up."""
    all_of_them = Servers(settings, servers, judged)
    if judged:
        await all_of_them.until_judged()
    figures: dict[str, Any] = percentiles(await all_of_them.over(seconds))
    began = time.perf_counter()
    figures["catching_up"] = percentiles(await all_of_them.after_an_outage())
    figures["catching_up_s"] = round(time.perf_counter() - began, 1)
    return figures


def run(servers: int = 3000, seconds: float = 60.0, judged: bool = True) -> dict[str, Any]:
    """Measure once in a fresh folder; unless ``judged``, without the minute until the service has judged all."""
    with tempfile.TemporaryDirectory(prefix="mlabhub-bench-") as folder:
        settings = make_installation(Path(folder), servers)
        process = start_service(settings)
        try:
            memory, cpu = psutil.Process(process.pid).memory_info().rss, processor_s(process.pid)
            figures = asyncio.run(measure(settings, servers, seconds, judged))
            figures["more_memory_mib"] = round((psutil.Process(process.pid).memory_info().rss - memory) / 2**20, 1)
            figures["service_cpu_s"] = round(processor_s(process.pid) - cpu, 1)
        finally:
            process.terminate()
            process.wait(30)
    return {"servers": servers, "seconds": seconds, **figures}


def main() -> int:
    """Print the figures; exit 1 when they miss the target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, default=3000)
    parser.add_argument("--seconds", type=float, default=60.0)
    figures = run(**vars(parser.parse_args()))
    print(json.dumps(figures), flush=True)
    return 0 if figures["p99_ms"] < P99_MS else 1


if __name__ == "__main__":
    sys.exit(main())
