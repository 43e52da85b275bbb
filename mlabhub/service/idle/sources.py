"""Who is asked how busy servers are: this machine's driver and kernel, or a cluster's Prometheus.

Guarantees: nothing is opened before it is needed; where nobody can tell, each server has a reading that says why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlabhub.core.kubernetes import KubernetesSpec, PrometheusSpec
from mlabhub.core.readings import Reading, Watched
from mlabhub.inventory import BackendServer
from mlabhub.messages import N_, Message
from mlabhub.samplers import Asked, ClusterSampler, CpuSampler, InThread, NvmlSampler, Prometheus, SimulatedUse
from mlabhub.samplers.rounds import EVERY_S
from mlabhub.samplers.simulated import FILE
from mlabhub.settings import Settings

CLUSTER_EVERY_S = 20.0
"""On a cluster there is something to ask once a minute only; so late the minute's last measurements are in."""

NO_PROMETHEUS = N_("kubernetes.yaml names no Prometheus, so nobody knows how busy servers are.")


async def _nothing() -> None:
    """Close nothing."""


@dataclass(frozen=True)
class Sources:
    """Samplers that are asked every ``every_s`` seconds, and such that are asked once a minute."""

    often: Sequence[Asked] = ()
    each_tick: Sequence[Asked] = ()
    every_s: float = EVERY_S
    close: Callable[[], Awaitable[None]] = _nothing


def make_sources(settings: Settings, get_spec: Callable[[], KubernetesSpec]) -> Sources:
    """Return those of an installation; ``get_spec`` returns ``kubernetes.yaml`` as it is in force."""
    if settings.backend == "kube":
        told = ToldByPrometheus(lambda: get_spec().prometheus)
        return Sources(each_tick=[told], every_s=CLUSTER_EVERY_S, close=told.close)
    if settings.simulate_gpus:
        return Sources([InThread(SimulatedUse(settings.state_dir / FILE)), InThread(CpuSampler())])
    nvml = NvmlSampler()
    return Sources([InThread(nvml), InThread(CpuSampler())], close=lambda: asyncio.to_thread(nvml.close))


def watched_of(server: BackendServer) -> Watched:
    """Return a server as samplers find it."""
    return Watched(
        server=f"{server.user}/{server.server_name}",
        launch_id=server.launch_id,
        gpus=server.gpus,
        container=server.container,
        pid=server.pid,
        pod=server.pod,
        namespace=server.namespace,
        started=server.started or 0.0,
    )


class ToldByPrometheus:
    """Asks the Prometheus that ``kubernetes.yaml`` names now."""

    def __init__(self, get_spec: Callable[[], PrometheusSpec | None]):
        self._get_spec = get_spec
        self._spec: PrometheusSpec | None = None
        self._prometheus: Prometheus | None = None

    async def sample(self, watched: Iterable[Watched], now: float) -> tuple[Reading, ...]:
        """Return readings of every server."""
        spec = self._get_spec()
        if spec != self._spec:
            await self.close()
            self._spec = spec
        if spec is None:
            return tuple(_unknown(one, now) for one in watched)
        if self._prometheus is None:
            token, authority = (None if file is None else Path(file) for file in (spec.token_file, spec.ca_file))
            self._prometheus = Prometheus(spec.url, token_file=token, ca_file=authority)
        return await ClusterSampler(self._prometheus).sample(watched, now)

    async def close(self) -> None:
        """Close the connections."""
        prometheus, self._prometheus = self._prometheus, None
        if prometheus is not None:
            await prometheus.close()


def _unknown(one: Watched, now: float) -> Reading:
    nothing = (None,) * len(one.gpus)
    return Reading(one.server, one.launch_id, now, nothing, nothing, reasons=(Message(NO_PROMETHEUS),))
