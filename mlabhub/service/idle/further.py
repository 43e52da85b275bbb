"""What others know of servers' use: the hub's ``last_activity``, and what agents in servers say. None of it is trusted.

Guarantees: what is not known, because hub or agent are away or their word is too old, is absent, never a guess; nobody
waits for the hub for longer than `PATIENCE_S`, and it is not asked again before it answered.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from mlabhub.client import HubServer
from mlabhub.core.readings import TICK_S, Sample
from mlabhub.errors import MLabError

log = logging.getLogger(__name__)
PATIENCE_S = 3.0
OLDEST_S = 2.5 * TICK_S
"""An agent reports each minute: what it said longer ago than this says nothing of now."""


class Active(Protocol):
    """The hub, as far as it is asked here."""

    async def active_servers(self) -> tuple[HubServer, ...]: ...


class Report(Protocol):
    """What an agent said at one time, by the service's own clock."""

    @property
    def at(self) -> float: ...
    @property
    def input_at(self) -> float | None: ...
    @property
    def kernels_busy(self) -> int | None: ...
    @property
    def terminals_busy(self) -> int | None: ...


Latest = Callable[[str], Report | None]
"""Returns the last report of a launch."""


@dataclass(frozen=True)
class _Heard:
    """What the hub said, and when by a clock that never steps."""

    at: float = -math.inf
    servers: Mapping[str, HubServer] = field(default_factory=dict)


class Further:
    """Gathers it for each minute. ``latest`` is what knows the agents' reports, set once the service is made."""

    def __init__(self, hub: Active, monotonic: Callable[[], float]):
        self._hub = hub
        self._monotonic = monotonic
        self._heard = _Heard()
        self._asking: asyncio.Task[None] | None = None
        self.latest: Latest = lambda launch_id: None

    async def ask(self) -> None:
        """Ask the hub, and wait for a while; what it says later counts for the next minute."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(), name="activity")
        await asyncio.wait([self._asking], timeout=PATIENCE_S)

    async def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    def added(self, sample: Sample) -> Sample:
        """Return a sample with what others know of its launch."""
        more: dict[str, float | int | bool] = {}
        server = self._of_hub(sample)
        if server is not None and server.last_activity is not None:
            more["last_activity"] = server.last_activity
        report = self.latest(sample.launch_id)
        if report is not None and abs(sample.t - report.at) <= OLDEST_S:
            told = {"kernels_busy": report.kernels_busy, "terminals_busy": report.terminals_busy}
            if report.input_at is not None:
                more["input_age"] = max(0.0, sample.t - report.input_at)
            more.update({key: value for key, value in told.items() if value is not None})
        return replace(sample, more={**more, **sample.more})

    def _of_hub(self, sample: Sample) -> HubServer | None:
        if self._monotonic() - self._heard.at > OLDEST_S:
            return None
        server = self._heard.servers.get(sample.server)
        return server if server is not None and server.launch_id in (None, sample.launch_id) else None

    async def _ask(self) -> None:
        asked = self._monotonic()
        try:
            servers = await self._hub.active_servers()
        except MLabError as error:
            log.debug("What the hub knows of activity is not known: %s", error)
            return
        except Exception:  # whatever it is, what the hub knows is not known
            log.exception("What the hub knows of activity is not known")
            return
        self._heard = _Heard(asked, {f"{one.user}/{one.name}": one for one in servers})
