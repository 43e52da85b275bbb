"""A spawn on a cluster: our own share of it, POST to ready against a plain KubeSpawner, and the calls to the API.

    KUBECONFIG=... python -m tests.bench.bench_spawn_kube [--pairs 20]

Runs `mlabhub up --backend kube` and beside it a hub with a plain KubeSpawner, in one namespace, with the same image,
the same amounts and the same folder of the same claim, and starts and stops a server on each in turn, so that what else
the machine does disturbs both alike. Our own share is what `start()` spends, by a monotonic clock, on the gate, the
plan and its folders, the manifest, on judging the pod's way, and the confirmation. Calls are counted inside the hub and
the service; those by which they watch, which come with time and not with spawns, are told apart.
Prints one line of JSON; the difference comes with a bootstrap confidence interval of 95 %.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from mlabhub.core.units import parse_memory_gib
from mlabhub.settings import load_settings
from tests.bench import bench_spawn
from tests.bench.bench_spawn import own_shares, start_and_stop
from tests.cluster.conftest import NAS
from tests.cluster.site import CLAIM, Site, make_site, start_site
from tests.spawners.hub import Hub, make_hub_settings

TARGET_MS = 50.0
IMAGE = "localhost/mlabhub/base:latest"
OWN_PHASES = ("gate", "plan", "manifest", "follow", "verify", "held")
COUNTING = Path(__file__).parent / "count_calls"
PLAIN = """
c.JupyterHub.hub_bind_url = "http://0.0.0.0:{hub_port}"
c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 3}}
c.KubeSpawner.hub_connect_url = "http://{host}:{hub_port}"
c.KubeSpawner.namespace = "{namespace}"
c.KubeSpawner.image = "{image}"
c.KubeSpawner.image_pull_policy = "IfNotPresent"
c.KubeSpawner.cmd = ["jupyterhub-singleuser"]
c.KubeSpawner.uid = {uid}
c.KubeSpawner.gid = {uid}
c.KubeSpawner.environment = {{"HOME": "/mnt/user/alice"}}
c.KubeSpawner.cpu_limit = {cpu}
c.KubeSpawner.cpu_guarantee = {cpu}
c.KubeSpawner.mem_limit = "{memory}G"
c.KubeSpawner.mem_guarantee = "{memory}G"
c.KubeSpawner.container_security_context = {{"capabilities": {{"drop": ["ALL"]}}, "runAsNonRoot": True}}
c.KubeSpawner.pod_security_context = {{"seccompProfile": {{"type": "RuntimeDefault"}}}}
c.KubeSpawner.volumes = {{"home": {{"name": "home", "persistentVolumeClaim": {{"claimName": "{claim}"}}}}}}
c.KubeSpawner.volume_mounts = {{
    "home": {{"name": "home", "mountPath": "/mnt/user/alice", "subPath": "user/alice"}}
}}
"""


@contextmanager
def counted(folder: Path) -> Iterator[None]:
    """Have the processes that are started in the block note their calls in a folder."""
    folder.mkdir()
    os.environ.update(MLABHUB_BENCH_CALLS=str(folder), PYTHONPATH=str(COUNTING))
    try:
        yield
    finally:
        del os.environ["MLABHUB_BENCH_CALLS"], os.environ["PYTHONPATH"]


def make_plain_hub(ours: Site, folder: Path) -> Hub:
    """Return a hub with a plain KubeSpawner beside ours."""
    settings = load_settings(ours.state / "run" / "settings.json")
    folder.mkdir()
    plain = make_hub_settings(settings, folder, "kube")
    container = alices_container(ours)
    more = PLAIN.format(
        hub_port=plain.hub_port,
        host=settings.hub_host,
        namespace=ours.namespace,
        image=container["image"],
        uid=(ours.nas / "user" / "alice").stat().st_uid,
        cpu=cores_of(container["resources"]["limits"]["cpu"]),
        memory=parse_memory_gib(container["resources"]["limits"]["memory"]),
        claim=CLAIM,
    )
    return Hub(plain, "kubespawner.KubeSpawner", more)


def cores_of(quantity: str) -> float:
    """Return what the cluster made of an amount of CPUs, in cores."""
    return int(quantity.removesuffix("m")) / 1000 if quantity.endswith("m") else float(quantity)


def alices_container(ours: Site) -> dict[str, Any]:
    """Start a server of ours, once, and return its container: the plain one is made like it."""
    container: dict[str, Any] = ours.start_server("alice", profile="cpu")["spec"]["containers"][0]
    ours.stop_server("alice")
    ours.wait_clean()
    return container


def calls_between(folder: Path, spans: list[tuple[float, float]]) -> tuple[Counter[str], Counter[str]]:
    """Return the calls in some spans of time: those of spawns, and those that watch. Names of objects are left out."""
    spawning: Counter[str] = Counter()
    watching: Counter[str] = Counter()
    for file in folder.iterdir():
        for line in file.read_text().splitlines():
            moment, call = line.split(" ", 1)
            if any(begin <= float(moment) <= end for begin, end in spans):
                kind = kind_of(call)
                (watching if kind.startswith("GET") and kind.endswith(("s", "watch")) else spawning)[kind] += 1
    return spawning, watching


def kind_of(call: str) -> str:
    """Return method and resource of a call; a single object's resource is written with ``/NAME``."""
    method, path, *watch = call.split()
    parts = path.split("/namespaces/")[-1].split("/")[1 if "/namespaces/" in path else -1 :]
    return " ".join([method, parts[0] + ("/NAME" if len(parts) > 1 else ""), *watch])


async def measure(folder: Path, pairs: int) -> dict[str, Any]:
    """Run the pairs in an empty folder and return the figures."""
    ours = make_site(folder, Path(NAS), name="bench")
    plain: Hub | None = None
    seconds: list[tuple[float, float]] = []
    spans: tuple[list[tuple[float, float]], list[tuple[float, float]]] = ([], [])
    try:
        with counted(folder / "calls-ours"):
            await asyncio.to_thread(start_site, ours)
        await asyncio.to_thread(ours.add_user, "alice")
        plain = await asyncio.to_thread(make_plain_hub, ours, folder / "plain")
        with counted(folder / "calls-plain"):
            await plain.start()
        headers = {"Authorization": f"token {ours.token('alice')}"}
        async with httpx.AsyncClient(base_url=f"{ours.url}hub/api/", headers=headers, timeout=120) as http:
            for _ in range(pairs + 1):
                mine = await timed(http, {"profile": "cpu"}, spans[0])
                seconds.append((mine, await timed(plain.http, None, spans[1])))
        shares = own_shares(ours.log("hub"), OWN_PHASES)[2:]
        counts = [
            calls_between(folder / name, of[1:]) for name, of in zip(("calls-ours", "calls-plain"), spans, strict=True)
        ]
        return summary(seconds[1:], shares, counts)
    finally:
        if plain is not None:
            await plain.close()
        await asyncio.to_thread(ours.close)


async def timed(http: httpx.AsyncClient, options: dict[str, Any] | None, spans: list[tuple[float, float]]) -> float:
    """Start and stop a server; note from when to when that was."""
    began = time.time()
    seconds = await start_and_stop(http, options)
    spans.append((began, time.time()))
    return seconds


def summary(
    seconds: list[tuple[float, float]], shares: list[float], counts: list[tuple[Counter[str], Counter[str]]]
) -> dict[str, Any]:
    """Return the figures; the first pair, which warms everything up, is not among them."""
    (ours, our_watching), (plain, plain_watching) = counts
    per_spawn = {"ours": ours.total() / len(seconds), "plain": plain.total() / len(seconds)}
    return {
        **bench_spawn.summary(seconds, shares, TARGET_MS),
        "calls_per_start_and_stop": {**per_spawn, "met": per_spawn["ours"] <= per_spawn["plain"] + 1},
        "calls": {
            "ours": dict(ours),
            "plain": dict(plain),
            "watching_ours": dict(our_watching),
            "watching_plain": dict(plain_watching),
        },
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mlabhub-bench-") as folder:
        figures = asyncio.run(measure(Path(folder), arguments.pairs))
    print(json.dumps(figures))
    raise SystemExit(0 if figures["own_share_ms"]["met"] and figures["calls_per_start_and_stop"]["met"] else 1)


if __name__ == "__main__":
    main()
