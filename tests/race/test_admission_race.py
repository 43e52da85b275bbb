"""A hundred thousand requests of 64 spawners race for 32 GPUs, and the service is killed twenty times meanwhile.

Nobody gets what another one holds, no group and no person more than their limit; what was answered is durable; asking
again, as everybody does who got no answer, doubles nothing. The clients keep the accounts, the service is not asked.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ulid import ULID

from mlabhub.settings import Settings
from tests.bench.bench_admission import bare_installation, is_healthy, read_answer
from tests.installation import wait_for

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]

REQUESTS = 100_000
CLIENTS = 64
KILLS = 20
NODES = 3
GPUS = 8 * NODES + 8
GROUP_LIMIT, PERSON_CAP = 8, 3
QUOTAS = {
    "groups": {f"g{number}": {"limit": {"gpu": GROUP_LIMIT}} for number in range(6)},
    "users": {"default": {"gpu": PERSON_CAP, "servers": 20}},
}


@dataclass
class Book:
    """What the clients hold, from the answer that gives it until they ask to give it back."""

    holders: dict[str, str] = field(default_factory=dict)
    of_group: Counter[str] = field(default_factory=Counter)
    of_person: Counter[str] = field(default_factory=Counter)
    held: dict[str, tuple[str, str, tuple[str, ...]]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def take(self, launch_id: str, user: str, group: str, gpus: tuple[str, ...]) -> None:
        """Note what was given."""
        for uuid in gpus:
            other = self.holders.setdefault(uuid, launch_id)
            self.must(other == launch_id, f"{uuid} was given to {launch_id}, and {other} holds it")
        self.of_group[group] += len(gpus)
        self.of_person[user] += len(gpus)
        self.held[launch_id] = (user, group, gpus)
        self.must(len(self.holders) <= GPUS, f"{len(self.holders)} GPUs are held")
        self.must(self.of_group[group] <= GROUP_LIMIT, f"{group} holds {self.of_group[group]}")
        self.must(self.of_person[user] <= PERSON_CAP, f"{user} holds {self.of_person[user]}")

    def give_back(self, launch_id: str) -> None:
        """Note what is about to be given back."""
        user, group, gpus = self.held.pop(launch_id)
        for uuid in gpus:
            del self.holders[uuid]
        self.of_group[group] -= len(gpus)
        self.of_person[user] -= len(gpus)

    def must(self, good: bool, fault: str) -> None:
        """Keep a fault."""
        if not good:
            self.faults.append(fault)


class Service:
    """The service process, which is killed and started again."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.process = self._begin()
        wait_for(lambda: is_healthy(settings), 60, "the service answers")

    def _begin(self) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-m", "tests.bench.admission_service", str(self.settings.settings_file), str(NODES)]
        return subprocess.Popen(argv)

    def kill(self) -> None:
        """Kill it in the middle of whatever it does, and start another one."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = self._begin()

    def end(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(30)


class Client:
    """One spawner: asks, holds a while, gives back; what is not answered it asks again, as it was."""

    def __init__(self, number: int, settings: Settings, book: Book):
        self.dice = random.Random(number)
        self.number = number
        self.book = book
        self.port = settings.service_port
        self.base = f"{settings.service_prefix}api/v1/reservations"
        self.secret = settings.spawner_secret_file.read_text()
        self.mine: list[tuple[str, str, str]] = []
        self.count = 0
        self.lines: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self) -> None:
        """Ask until there were enough requests, then give everything back but the last."""
        while self.book.counts["answered"] < REQUESTS:
            if self.mine and self.dice.random() < 0.6:
                await self._give_back(self.mine.pop(self.dice.randrange(len(self.mine))))
            else:
                await self._ask()
        while len(self.mine) > 1:
            await self._give_back(self.mine.pop())
        if self.lines is not None:
            self.lines[1].close()

    async def _ask(self) -> None:
        self.count += 1
        user, group = f"u{self.number % 32}", f"g{self.number % 6}"
        server, launch_id = f"s{self.number}-{self.count}", str(ULID())
        body = {
            "launch_id": launch_id,
            "user_options": {"profile": "gpu", "gpus": self.dice.choice((1, 1, 2, 3))},
            "groups": [group],
            "backend": "process",
            "deadline": 600,
        }
        path = f"{self.base}/{user}/{server}"
        answer = await self._call("PUT", path, body)
        if answer["decision"] == "refuse":
            self.book.counts["refused"] += 1
            return
        gpus = tuple(answer["placement"]["gpus"])
        self.book.counts["admitted"] += 1
        self.book.take(launch_id, user, group, gpus)
        self.mine.append((path, launch_id, user))
        if self.dice.random() < 0.05:
            again = await self._call("PUT", path, body)
            self.book.must(again == answer, f"{launch_id} was answered {answer}, then {again}")

    async def _give_back(self, one: tuple[str, str, str]) -> None:
        path, launch_id, _ = one
        self.book.give_back(launch_id)
        await self._call("POST", path + "/released", {"launch_id": launch_id})
        self.book.counts["given back"] += 1

    async def _call(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        data = json.dumps(body).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {self.secret}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        while True:
            try:
                if self.lines is None:
                    self.lines = await asyncio.open_connection("127.0.0.1", self.port)
                self.lines[1].write(head.encode() + data)
                answer: dict[str, Any] = json.loads(await read_answer(self.lines[0]))
            except (OSError, asyncio.IncompleteReadError):
                self.book.counts["unanswered"] += 1
                if self.lines is not None:
                    self.lines[1].close()
                self.lines = None
                await asyncio.sleep(0.2)
                continue
            self.book.counts["answered"] += 1
            if "error" not in answer:
                return answer
            self.book.must("launch_used" not in str(answer), f"{method} {path}: {answer}")
            self.book.counts[f"error {answer['error'].get('code')}"] += 1
            await asyncio.sleep(0.1)


async def race(settings: Settings, service: Service, book: Book) -> None:
    """Let all of them race, and kill the service now and then."""
    clients = [asyncio.create_task(Client(number, settings, book).run()) for number in range(CLIENTS)]
    for number in range(1, KILLS + 1):
        while book.counts["answered"] < REQUESTS * number / (KILLS + 1):
            await asyncio.sleep(0.02)
            assert service.process.poll() is None, "the service ended by itself, so nobody is answered any more"
            if all(task.done() for task in clients):
                break
        await asyncio.to_thread(service.kill)
        book.counts["killed"] += 1
    await asyncio.gather(*clients)


def test_nothing_is_given_twice_and_nothing_lost(tmp_path: Path) -> None:
    settings = bare_installation(tmp_path, quotas=QUOTAS)
    service, book = Service(settings), Book()
    began = time.monotonic()
    try:
        asyncio.run(race(settings, service, book))
    finally:
        with suppress(subprocess.TimeoutExpired):
            service.end()
    print(json.dumps({"seconds": round(time.monotonic() - began), **book.counts}))
    assert book.faults == []
    assert book.counts["killed"] == KILLS
    assert book.counts["answered"] >= REQUESTS
    assert book.counts["unanswered"] >= KILLS
    with sqlite3.connect(settings.state_dir / "ledger.sqlite") as ledger:
        active = ledger.execute("SELECT launch_id, gpus FROM reservations WHERE state != 'released'").fetchall()
        made = ledger.execute("SELECT count(*), count(DISTINCT launch_id) FROM audit WHERE act = 'admit'").fetchone()
        over = ledger.execute("SELECT count(*) FROM reservations WHERE state = 'released'").fetchone()[0]
    assert {launch_id: set(json.loads(gpus)) for launch_id, gpus in active} == {
        launch_id: set(gpus) for launch_id, (_, _, gpus) in book.held.items()
    }
    assert made[0] == made[1] == book.counts["admitted"]
    assert over == book.counts["given back"]
