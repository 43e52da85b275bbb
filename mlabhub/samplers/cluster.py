"""How busy GPUs and CPUs of a cluster's servers are, as a Prometheus has it from DCGM's exporter and from cAdvisor.

Guarantees: no round raises, and each ends within about twice the patience. What Prometheus does not tell, tells
wrongly, or has not told for too long is None with its reason in words. Measurements of before a server started do not
count, and several of the same thing count once. A round speaks for the window that ends now: begin one for each tick.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from mlabhub.core.readings import Reading, Watched
from mlabhub.messages import Message
from mlabhub.samplers.cadvisor import CPU, Cadvisor
from mlabhub.samplers.dcgm import SELECTOR, Dcgm
from mlabhub.samplers.prometheus import Prometheus, Untold
from mlabhub.samplers.series import Series, Terms


class ClusterSampler:
    """Reads all servers of a cluster with two or three questions."""

    def __init__(self, prometheus: Prometheus, terms: Terms | None = None):
        self._prometheus = prometheus
        self._terms = terms or Terms()

    async def sample(self, watched: Iterable[Watched], now: float) -> tuple[Reading, ...]:
        """Return readings of every server: of its GPUs, if it holds any, and of its cores."""
        watched = tuple(watched)
        holders = tuple(one for one in watched if one.gpus)
        gpus, cores = await asyncio.gather(self._gpus(holders, now), self._cores(watched, now))
        return (*gpus, *cores)

    async def _gpus(self, holders: Sequence[Watched], now: float) -> list[Reading]:
        if not holders:
            return []
        try:
            told = await self._prometheus.query(self._over_range(SELECTOR), now)
        except Untold as untold:
            return [self._unknown(one, now, untold.message) for one in holders]
        return await asyncio.to_thread(self._of_gpus, told, holders, now)

    def _of_gpus(self, told: Iterable[Series], holders: Sequence[Watched], now: float) -> list[Reading]:
        dcgm = Dcgm(told)
        return [dcgm.reading(one, self._terms, now) for one in holders]

    async def _cores(self, watched: Sequence[Watched], now: float) -> list[Reading]:
        """Ask under either name of the label: the second is for scrapes that have such a label of their own."""
        if not watched:
            return []
        spaces = json.dumps("|".join(sorted({re.escape(one.namespace) for one in watched})))
        try:
            for label in ("namespace", "exported_namespace"):
                query = self._over_range(f"{CPU}{{{label}=~{spaces}}}")
                cadvisor = await asyncio.to_thread(Cadvisor, await self._prometheus.query(query, now))
                if cadvisor.knows(watched):
                    break
        except Untold as untold:
            return [self._unknown(replace(one, gpus=()), now, untold.message) for one in watched]
        return await asyncio.to_thread(self._of_cores, cadvisor, watched, now)

    def _of_cores(self, cadvisor: Cadvisor, watched: Sequence[Watched], now: float) -> list[Reading]:
        return [cadvisor.reading(one, self._terms, now) for one in watched]

    def _over_range(self, selector: str) -> str:
        return f"{selector}[{int(self._terms.range_s * 1000)}ms]"

    def _unknown(self, one: Watched, now: float, reason: Message) -> Reading:
        nothing = (None,) * len(one.gpus)
        return Reading(one.server, one.launch_id, now, nothing, nothing, span_s=self._terms.window_s, reasons=(reason,))
