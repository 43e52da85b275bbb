"""Admission over HTTP: decisions a second and their latency, durable, with thousands of reservations held.

    python -m tests.bench.bench_admission [--clients 64] [--held 3000] [--decisions 6000] [--fsync-ms 5]
                                          [--queued 500] [--ledger sqlite postgresql]

Runs the real service process on a fresh ledger, in SQLite (WAL, synchronous=FULL) or in a PostgreSQL of its own on this
machine (fsync and synchronous_commit on), and asks it as spawners do: `PUT reservations/USER/SERVER` over keep-alive
connections, every decision for another server, every answer an admission that is on the disk. ``--queued`` launches
wait meanwhile. ``--fsync-ms`` adds to every fsync and fdatasync of whoever writes. Prints a line of JSON for each
ledger; ``service_cpu_ms`` is the service's processor time by decision, which other programs disturb least.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from ulid import ULID

from mlabhub.ledger import open_ledger
from mlabhub.settings import Settings
from tests.bench.admission_service import held_reservation, holder, queued_entry
from tests.installation import free_port, wait_for
from tests.ledger.postgres import PostgresServer

HERE = Path(__file__).parent
TARGETS = {"sqlite": (430.0, 250.0), "postgresql": (100.0, 1000.0)}
"""Decisions a second at least, and the 99th percentile in ms at most. Of PostgreSQL only what a lab needs is asked: how
fast a server of one's own on two cores is says little about a site's."""

PROFILES = """
profiles:
  cpu: {display_name: CPU, images: [base], cpu: {min: 1, max: 8}, memory_gib: {min: 1, max: 64, default: 2}}
  gpu:
    {display_name: GPU, images: [base], cpu: {min: 1, max: 8}, memory_gib: {min: 1, max: 64, default: 2},
     gpus: {min: 1, max: 8}, gpu_types: [any]}
"""


def make_installation(folder: Path, held: int, ledger_url: str = "", queued: int = 0) -> Settings:
    """Write an installation whose ledger has ``held`` servers, and launches that wait for what one of them has."""
    settings = bare_installation(folder, ledger_url)
    ledger = open_ledger(settings)
    ledger.commit(map(held_reservation, range(held)))
    ledger.commit([holder(), *map(queued_entry, range(queued))] if queued else [])
    ledger.close()
    return settings


def bare_installation(folder: Path, ledger_url: str = "", quotas: dict[str, Any] | None = None) -> Settings:
    """Write an installation whose ledger was not opened yet."""
    config = folder / "config"
    config.mkdir(parents=True)
    (config / "profiles.yaml").write_text(PROFILES)
    wide = {"groups": {f"group{n}": {"limit": {"gpu": 4000}} for n in range(20)}, "users": {"default": {"gpu": 4000}}}
    (config / "quotas.yaml").write_text(json.dumps(quotas or wide))
    settings = Settings(
        instance="be0c4000",
        state_dir=folder / "state",
        config_dir=config,
        backend="process",
        public_url="http://127.0.0.1:8000/",
        hub_port=1,
        proxy_api_port=2,
        service_port=free_port(),
        ledger_url=ledger_url,
    )
    settings.secrets_dir.mkdir(parents=True)
    for file in (settings.spawner_secret_file, settings.service_token_file):
        file.write_text(secrets.token_hex(16))
    settings.save()
    return settings


def start_service(settings: Settings, fsync_ms: float = 0.0, profile: str = "") -> subprocess.Popen[bytes]:
    """Start the service process and wait for its health."""
    environment = dict(os.environ)
    if fsync_ms:
        shim = settings.state_dir / "slow_fsync.so"
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", shim, HERE / "slow_fsync.c", "-ldl"], check=True)
        environment |= {"LD_PRELOAD": str(shim), "SLOW_FSYNC_MS": str(fsync_ms)}
    module = ["-m", "tests.bench.admission_service"]
    argv = [sys.executable, *(["-m", "cProfile", "-o", profile] if profile else []), *module]
    process = subprocess.Popen([*argv, str(settings.settings_file)], env=environment)
    wait_for(lambda: process.poll() is not None or is_healthy(settings), 60, "the service answers")
    return process


def is_healthy(settings: Settings) -> bool:
    """Whether the service answers."""
    try:
        with urllib.request.urlopen(settings.service_url + "health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


async def client(settings: Settings, secret: str, numbers: list[int], latencies: list[float]) -> None:
    """Ask for one decision after the other on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", settings.service_port)
    for number in numbers:
        options = {"profile": "gpu", "gpus": 1} if number % 4 == 0 else {"profile": "cpu"}
        body = json.dumps(
            {
                "launch_id": str(ULID()),
                "user_options": options,
                "groups": [f"group{number % 20}"],
                "backend": "process",
                "deadline": 600,
            }
        ).encode()
        path = f"{settings.service_prefix}api/v1/reservations/user{number % 600}/n{number}"
        head = (
            f"PUT {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {secret}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        began = time.perf_counter()
        writer.write(head.encode() + body)
        answer = await read_answer(reader)
        latencies.append(time.perf_counter() - began)
        if b'"decision":"admit"' not in answer:
            raise RuntimeError(answer.decode())
    writer.close()
    await writer.wait_closed()


async def read_answer(reader: asyncio.StreamReader) -> bytes:
    """Return the body of one HTTP answer with a Content-Length."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
    return await reader.readexactly(length)


async def measure(settings: Settings, clients: int, decisions: int) -> dict[str, float]:
    """Run all clients at once; the first tenth of the answers warms up and is not counted."""
    secret = settings.spawner_secret_file.read_text()
    warm: list[float] = []
    await asyncio.gather(*(client(settings, secret, [-n - 1], warm) for n in range(clients)))
    latencies: list[float] = []
    began = time.perf_counter()
    shares = [list(range(first, decisions, clients)) for first in range(clients)]
    await asyncio.gather(*(client(settings, secret, share, latencies) for share in shares))
    took = time.perf_counter() - began
    ordered = sorted(latencies)
    return {
        "decisions": len(ordered),
        "per_s": round(len(ordered) / took, 1),
        "p50_ms": round(1000 * ordered[len(ordered) // 2], 1),
        "p99_ms": round(1000 * ordered[int(len(ordered) * 0.99)], 1),
    }


def processor_s(pid: int) -> float:
    """Return how long a process has been computing."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


@contextmanager
def a_place_for(ledger: str, fsync_ms: float) -> Iterator[str]:
    """Give the address of an empty ledger: none for SQLite, else that of a server of its own."""
    if ledger == "sqlite":
        yield ""
        return
    slow = {"preload": HERE / "slow_fsync.c", "environment": {"SLOW_FSYNC_MS": str(fsync_ms)}} if fsync_ms else {}
    server = PostgresServer({}, **slow)  # type: ignore[arg-type]
    try:
        server.make_database("bench")
        yield server.url("bench")
    finally:
        server.close()


def run(
    clients: int = 64,
    held: int = 3000,
    decisions: int = 6000,
    fsync_ms: float = 0.0,
    profile: str = "",
    ledger: str = "sqlite",
    queued: int = 0,
) -> dict[str, Any]:
    """Measure once in a fresh folder; check that every answered admission is in the ledger."""
    with tempfile.TemporaryDirectory(prefix="mlabhub-bench-") as folder, a_place_for(ledger, fsync_ms) as url:
        settings = make_installation(Path(folder), held, url, queued)
        process = start_service(settings, 0.0 if url else fsync_ms, profile)
        try:
            before = processor_s(process.pid)
            figures = asyncio.run(measure(settings, clients, decisions))
            used = processor_s(process.pid) - before
            figures["service_cpu_ms"] = round(1000 * used / (decisions + clients), 2)
        finally:
            process.terminate()
            process.wait(30)
        written = open_ledger(settings)
        admitted = sum(entry.act == "admit" for entry in written.audit(limit=10 * decisions))
        written.close()
        if admitted != clients + decisions:
            raise RuntimeError(f"{clients + decisions} were admitted, the ledger has {admitted}")
        return {"ledger": ledger, "clients": clients, "held": held, "queued": queued, "fsync_ms": fsync_ms, **figures}


def is_good(figures: dict[str, Any]) -> bool:
    """Return whether a run is as fast as was promised."""
    per_s, p99_ms = TARGETS[figures["ledger"]]
    return bool(figures["per_s"] >= per_s and figures["p99_ms"] < p99_ms)


def main() -> int:
    """Print the figures; exit 1 when they miss the target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--held", type=int, default=3000)
    parser.add_argument("--decisions", type=int, default=6000)
    parser.add_argument("--queued", type=int, default=0)
    parser.add_argument("--fsync-ms", type=float, default=0.0)
    parser.add_argument("--profile", default="", help="write a cProfile of the service to this file")
    parser.add_argument("--ledger", nargs="+", choices=["sqlite", "postgresql"], default=["sqlite"])
    arguments = vars(parser.parse_args())
    good = True
    for ledger in arguments.pop("ledger"):
        figures = run(**arguments, ledger=ledger)
        print(json.dumps(figures), flush=True)
        good = good and is_good(figures)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
