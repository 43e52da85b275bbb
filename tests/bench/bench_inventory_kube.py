"""The inventory of a large cluster: its first list, what it answers and how soon, while pods come and go.

    python -m tests.bench.bench_inventory_kube [--nodes 200] [--pods 3000] [--ours 300]

The API is a small one of our own in another process, over HTTP, with nodes and pods as large as real ones (8 kB a pod).
Prints one line of JSON: seconds to list everything and make the capacity of it (the best of three, which other programs
on the machine disturb least), of them this process's CPU, the process's memory afterwards and at
its peak, milliseconds to answer when nothing has changed, when one pod has, and to place a launch then, to list our own
servers afresh, and the part of one core that a hundred changes of pods a second take.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from mlabhub.core.admission import Holdings, decide
from mlabhub.core.gpu_types import GpuTypeSpec
from mlabhub.core.kubernetes import KubernetesSpec
from mlabhub.core.quotas import Quotas
from mlabhub.inventory.kube.backend import KubeBackend
from mlabhub.service.capacity import CapacityCache
from tests.core.examples import make_request
from tests.kube_api import Json, KubeApi, make_kube_settings, make_node, make_pod, make_server_pod

TARGET_ANSWER_MS = 20.0
TARGET_MEMORY_MB = 150.0
TARGET_RESYNC_S = 3.0
CHANGES_PER_S = 100
ROUNDS = 40
MIB = 2**20
SPEC = KubernetesSpec()
TYPES = {"a100": GpuTypeSpec(products=("A100",))}


def make_cluster(nodes: int, pods: int, ours: int) -> tuple[list[Json], list[Json]]:
    """Return nodes of 8 GPUs, and pods on them, some of them ours."""
    # What every real object carries besides, and nobody here reads.
    managed = [{"manager": "kubelet", "fieldsV1": {f"f:field-{n}": {"f:x": {}, "f:y": {}} for n in range(120)}}]
    made_nodes = [make_node(f"node-{n:03}", gpus=8, cpu="128", memory="1024Gi") for n in range(nodes)]
    made_pods = []
    for number in range(pods):
        node = f"node-{number % nodes:03}"
        if number < ours:
            pod = make_server_pod(f"user{number}", node=node, gpus=1, managedFields=managed, launch_id=f"L{number}")
        else:
            requests = {"cpu": f"{number % 7 * 250}m", "memory": f"{number % 9}Gi"}
            if number % 5 == 0:
                requests["nvidia.com/gpu"] = "1"
            pod = make_pod(
                f"p{number}", node, namespace=f"team-{number % 20}", requests=requests, managedFields=managed
            )
        made_pods.append(pod)
    return made_nodes, made_pods


async def serve(nodes: int, pods: int, ours: int) -> None:
    """Serve the API until standard input ends; each line there is a number of pods to change within a second."""
    api = KubeApi()
    made_nodes, made_pods = make_cluster(nodes, pods, ours)
    await api.put("nodes", *made_nodes)
    await api.put("pods", *made_pods)
    await api.start()
    print(api.port, flush=True)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    changed = 0
    while line := await reader.readline():
        count = int(line)
        for _ in range(count):
            pod = made_pods[ours + changed % (pods - ours)]
            changed += 1
            phase = "Succeeded" if (changed // (pods - ours)) % 2 == 0 else "Running"
            await api.put("pods", {**pod, "status": {"phase": phase}})
            await asyncio.sleep(1 / count)
        print("changed", flush=True)
    await api.stop()


def _peak_mb() -> float:
    """Return the most memory that this process had; what getrusage says is at least what its parent had."""
    (line,) = [one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


async def run(nodes: int = 200, pods: int = 3000, ours: int = 300, rounds: int = ROUNDS) -> dict[str, float]:
    """Measure."""
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.bench_inventory_kube", "--serve"),
        *("--nodes", str(nodes), "--pods", str(pods), "--ours", str(ours)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    port = int(await server.stdout.readline())

    async def change(count: int) -> None:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(f"{count}\n".encode())
        await server.stdin.drain()
        assert (await server.stdout.readline()).strip() == b"changed"

    try:
        with tempfile.TemporaryDirectory() as folder:
            return await _measure(Path(folder), port, change, rounds)
    finally:
        server.stdin.close()
        await server.wait()


async def _measure(folder: Path, port: int, change: Any, rounds: int) -> dict[str, float]:
    api = KubeApi()
    api.port = port
    settings, syncs, work = make_kube_settings(folder, api), [], []
    alone = psutil.Process().memory_info().rss / MIB
    for _ in range(3):
        backend = KubeBackend(settings, lambda: SPEC)
        began, cpu = time.perf_counter(), time.process_time()
        await backend.capacity()
        syncs.append(time.perf_counter() - began)
        work.append(time.process_time() - cpu)
        await backend.close()
    backend = KubeBackend(settings, lambda: SPEC)
    capacity = await backend.capacity()
    figures = {"nodes": float(len(capacity.nodes)), "gpus": float(len(capacity.gpus)), "resync_s": min(syncs)}
    figures["resync_cpu_s"] = min(work)
    figures["memory_alone_mb"] = alone
    figures["unchanged_ms"] = await _time(backend.capacity)
    changed: list[float] = []
    placed: list[float] = []
    cache = CapacityCache(backend.capacity, time.monotonic, lambda: TYPES, fresh_s=0)
    request = make_request(gpus=2, gpu_type="a100", cpu=4.0, memory_gib=16.0)
    holdings = Holdings()
    for _ in range(rounds):
        before = await backend.capacity()
        await change(1)
        while True:
            began = time.perf_counter()
            after = await backend.capacity()
            if after is not before:
                break
            await asyncio.sleep(0.005)
        changed.append(1000 * (time.perf_counter() - began))
        began = time.perf_counter()
        decision = decide(request, Quotas(), holdings, (), await cache.get(), 0.0)
        placed.append(1000 * (time.perf_counter() - began))
        assert decision.verdict == "admit"
    figures |= {"changed_ms": statistics.median(changed), "changed_most_ms": max(changed)}
    figures |= {"placed_ms": statistics.median(placed)}
    cpu = time.process_time()
    figures["servers_ms"] = await _time(backend.servers, 10)
    figures["servers_cpu_ms"] = 100 * (time.process_time() - cpu)
    figures["servers"] = float(len(await backend.servers()))
    cpu, began = time.process_time(), time.perf_counter()
    for _ in range(min(rounds, 5)):
        await change(CHANGES_PER_S)
    figures["churn_core_percent"] = 100 * (time.process_time() - cpu) / (time.perf_counter() - began)
    figures["memory_mb"] = psutil.Process().memory_info().rss / MIB
    figures["memory_peak_mb"] = _peak_mb()
    await backend.close()
    return {name: round(value, 3) for name, value in figures.items()}


async def _time(ask: Any, rounds: int = ROUNDS) -> float:
    """Return milliseconds for one answer, the median."""
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        await ask()
        took.append(1000 * (time.perf_counter() - began))
    return statistics.median(took)


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--pods", type=int, default=3000)
    parser.add_argument("--ours", type=int, default=300)
    parser.add_argument("--serve", action="store_true")
    said = parser.parse_args()
    if said.serve:
        asyncio.run(serve(said.nodes, said.pods, said.ours))
        return 0
    print(json.dumps(asyncio.run(run(said.nodes, said.pods, said.ours))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
