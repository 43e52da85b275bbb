"""A spawn: our own share of it, and POST to ready against a plain DockerSpawner.

    python -m tests.bench.bench_spawn [--pairs 10]

Runs a real installation (hub, proxy, service, Podman) and beside it a hub with a plain DockerSpawner on the same
Podman with the same image, and starts and stops a server on each in turn, so that what else the machine does disturbs
both alike. Our own share is what `start()` spends, by a monotonic clock, on the gate, the plan and what it
needs, the look into the container and the confirmation: all beyond the calls that the plain spawner makes as well.
Prints one line of JSON; the difference comes with a bootstrap confidence interval of 95 %.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from mlabhub.engine.podman_service import open_files_limit, processes_limit
from mlabhub.settings import load_settings
from tests.installation import Installation, free_port
from tests.spawners.hub import Hub, make_hub_settings, wait_for

TARGET_MS = 150.0
IMAGE = "localhost/mlabhub/base:latest"
OWN_PHASES = ("gate", "plan", "verify", "held")
PLAIN = """
c.DockerSpawner.image = "{image}"
c.DockerSpawner.args = ["--allow-root"]
c.DockerSpawner.pull_policy = "never"
c.DockerSpawner.use_internal_ip = True
c.DockerSpawner.network_name = "podman"
c.DockerSpawner.remove = True
c.DockerSpawner.prefix = "mlabhub-bench-{instance}"
c.DockerSpawner.client_kwargs = {{"base_url": "{engine}", "version": "1.41"}}
c.DockerSpawner.extra_create_kwargs = {{"labels": {{"mlabhub.instance": "{instance}"}}}}
c.DockerSpawner.extra_host_config = {{"ulimits": [
    {{"Name": "nofile", "Soft": {files}, "Hard": {files}}},
    {{"Name": "nproc", "Soft": {processes}, "Hard": {processes}}},
]}}
c.JupyterHub.hub_bind_url = "http://0.0.0.0:{hub_port}"
c.DockerSpawner.hub_connect_url = "http://10.88.0.1:{hub_port}"
c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 3}}
"""


async def start_and_stop(http: httpx.AsyncClient, options: dict[str, Any] | None) -> float:
    """Start alice's server, return the seconds from the request until it is ready, and stop it."""
    began = time.monotonic()
    answer = await http.post("users/alice/server", json={"user_options": options} if options else None)
    answer.raise_for_status()
    await wait_for(lambda: has_server(http, ready=True), 120, "a ready server")
    seconds = time.monotonic() - began
    await http.delete("users/alice/server")
    await wait_for(lambda: has_server(http, ready=False), 60, "no server")
    return seconds


async def has_server(http: httpx.AsyncClient, *, ready: bool) -> bool:
    """Return whether alice has a ready server, or none at all."""
    servers = (await http.get("users/alice")).json()["servers"]
    return bool(servers and servers[""]["ready"]) if ready else not servers


def own_shares(log: str, of_phases: tuple[str, ...] = OWN_PHASES) -> list[float]:
    """Return the milliseconds of our own share of each spawn, from the hub's log."""
    lines = re.findall(r"runs as launch \w+; (.*)", log)
    times = [dict(re.findall(r"(\w+) (\d+) ms", line)) for line in lines]
    return [float(sum(int(phases[name]) for name in of_phases)) for phases in times]


def interval(differences: list[float], rounds: int = 10_000) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the differences' median."""
    chance = random.Random(1)
    medians = sorted(statistics.median(chance.choices(differences, k=len(differences))) for _ in range(rounds))
    return medians[int(0.025 * rounds)], medians[int(0.975 * rounds)]


def make_plain_hub(ours: Installation, folder: Path) -> Hub:
    """Return a hub with a plain DockerSpawner on the installation's Podman."""
    settings = load_settings(ours.state / "run" / "settings.json")
    folder.mkdir()
    plain = make_hub_settings(settings, folder, "container")
    more = PLAIN.format(
        image=IMAGE,
        instance=settings.instance,
        engine=settings.engine_url,
        files=open_files_limit(),
        processes=processes_limit(),
        hub_port=plain.hub_port,
    )
    return Hub(plain, "dockerspawner.DockerSpawner", more)


async def measure(folder: Path, pairs: int) -> dict[str, Any]:
    """Run the pairs in an empty folder and return the figures."""
    ours = Installation(folder / "ours", free_port())
    plain: Hub | None = None
    try:
        await asyncio.to_thread(ours.start)
        await asyncio.to_thread(ours.add_user, "alice")
        plain = make_plain_hub(ours, folder / "plain")
        await plain.start()
        headers = {"Authorization": f"token {ours.token('alice')}"}
        async with httpx.AsyncClient(base_url=f"{ours.url}hub/api/", headers=headers, timeout=120) as http:
            seconds = []
            for _ in range(pairs + 1):
                mine = await start_and_stop(http, {"profile": "cpu"})
                seconds.append((mine, await start_and_stop(plain.http, None)))
        return summary(seconds[1:], own_shares((ours.state / "log" / "hub.log").read_text())[1:])
    finally:
        if plain is not None:
            await plain.close()
        await asyncio.to_thread(ours.close)


def summary(seconds: list[tuple[float, float]], shares: list[float], target_ms: float = TARGET_MS) -> dict[str, Any]:
    """Return the figures; the first pair, which warms the machine up, is not among them."""
    differences = [mine - plain for mine, plain in seconds]
    low, high = interval(differences)
    median = statistics.median(shares)
    return {
        "pairs": len(seconds),
        "own_share_ms": {"median": median, "largest": max(shares), "target": target_ms, "met": median <= target_ms},
        "post_to_ready_s": {
            "ours": round(statistics.median(mine for mine, _ in seconds), 3),
            "plain": round(statistics.median(plain for _, plain in seconds), 3),
            "difference": round(statistics.median(differences), 3),
            "interval": [round(low, 3), round(high, 3)],
        },
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=10)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mlabhub-bench-") as folder:
        figures = asyncio.run(measure(Path(folder), arguments.pairs))
    print(json.dumps(figures))
    raise SystemExit(0 if figures["own_share_ms"]["met"] else 1)


if __name__ == "__main__":
    main()
