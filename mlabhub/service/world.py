"""Everything outside that the service works with, as parameters; tests and simulations put other things here.

Nothing below imports a clock, opens a file or a socket by itself; it takes its `World`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from mlabhub.client import HubServer, HubUser
from mlabhub.core.admission import Capacity
from mlabhub.core.identity import Identity
from mlabhub.core.profiles import Catalog, LaunchRequest
from mlabhub.core.quota_changes import QuotaChange
from mlabhub.errors import MLabError, NotFound
from mlabhub.inventory import Backend
from mlabhub.ledger import (
    Ledger,
    MemoryLedger,
    MemorySamples,
    MemoryUsage,
    Reservation,
    SampleStore,
    UsageStore,
)
from mlabhub.messages import Message
from mlabhub.service.census import Census
from mlabhub.service.changes import Changes
from mlabhub.service.disk import DiskUse
from mlabhub.service.disk_count import FILE as DISK_COUNT_FILE
from mlabhub.service.disk_count import DiskCount
from mlabhub.service.fetching import ImageFetcher
from mlabhub.service.forecasts import Forecasts
from mlabhub.service.idle.loop import IdleLoop
from mlabhub.service.idle.watching import Watch
from mlabhub.service.metrics import Metrics
from mlabhub.service.news import News, NoNews
from mlabhub.service.projection import Projection
from mlabhub.service.queue.loop import QueueLoop
from mlabhub.service.quota_notes import QuotaNotes
from mlabhub.service.usage.loop import UsageLoop
from mlabhub.service.writer import Writer
from mlabhub.settings import Settings


class Hub(Protocol):
    """The hub, as `mlabhub.client.HubClient` reaches it."""

    async def user(self, name: str, *, stopped: bool = False) -> HubUser: ...
    async def active_servers(self) -> tuple[HubServer, ...]: ...
    async def groups(self) -> tuple[str, ...]: ...
    async def start(self, user: str, server: str, *, display_name: str, user_options: dict[str, Any]) -> None: ...
    async def stop(self, user: str, server: str) -> None: ...
    async def last_told(self, user: str, server: str) -> Message | None: ...


class Accounts(Protocol):
    """Where numbers of users and groups come from, besides the ledger."""

    async def look_up(self, user: str, groups: Sequence[str]) -> IdentityFacts: ...


class IdentityFacts(Protocol):
    """What the machine says about a user and their groups; `choose` combines it with what the ledger remembers."""

    def choose(self, projection: Projection) -> Identity: ...


class CatalogInForce(Protocol):
    """The catalogue with the quotas in force now, its storage located.

    ``fault`` says why the folder's newest state is not in force; ``renewed`` is an older one with the quotas in force
    now, for a decision that is made later than it was prepared; ``configured`` is without ``changes``, the quotas that
    were changed at run time; ``contradictions`` say where folder and changes do not go together, and
    ``hopeless`` says why no quotas, now or ahead, could hold a request.
    """

    @property
    def fault(self) -> MLabError | None: ...

    @property
    def changes(self) -> Mapping[str, QuotaChange]: ...

    def __call__(self) -> Catalog: ...
    def configured(self) -> Catalog: ...
    def renewed(self, catalog: Catalog) -> Catalog: ...
    def contradictions(self) -> tuple[Message, ...]: ...
    def hopeless(self, request: LaunchRequest) -> Message | None: ...


class CapacitySource(Protocol):
    """What the machines have: `get` is never older than a short while, `look` asks anew."""

    async def get(self) -> Capacity: ...
    async def look(self) -> Capacity: ...


UNUSED_AFTER_S = 1800.0
"""How long a server was not used before its owner may be asked to give it back, unless the site says otherwise."""


@dataclass
class World:
    """The parts of one service process. ``in_flight`` are the launches that are being asked of the hub right now."""

    settings: Settings
    ledger: Ledger
    writer: Writer
    hub: Hub
    backend: Backend
    capacity: CapacitySource
    census: Census
    accounts: Accounts
    catalog: CatalogInForce
    clock: Callable[[], float]
    make_launch_id: Callable[[], str]
    metrics: Metrics
    disk: DiskUse
    in_flight: set[str] = field(default_factory=set)
    news: News = field(default_factory=NoNews)
    unused_after_s: Callable[[], float] = lambda: UNUSED_AFTER_S
    monotonic: Callable[[], float] = time.monotonic
    samples: SampleStore = field(default_factory=MemorySamples)
    usage: UsageStore = field(default_factory=lambda: MemoryUsage(MemoryLedger()))
    fetcher: ImageFetcher = field(init=False)
    queue: QueueLoop = field(init=False)
    idle: IdleLoop = field(init=False)
    quota_notes: QuotaNotes = field(init=False)
    forecasts: Forecasts = field(init=False)
    watch: Watch = field(init=False)
    disk_count: DiskCount = field(init=False)
    usage_loop: UsageLoop = field(init=False)

    def __post_init__(self) -> None:
        self.quota_notes = QuotaNotes(self)
        self.fetcher = ImageFetcher(self.backend.images, self.clock)
        self.queue = QueueLoop(self)
        self.idle = IdleLoop(self)
        self.forecasts = Forecasts(self)
        self.watch = Watch(self)
        self.disk_count = DiskCount(self.settings.state_dir / DISK_COUNT_FILE)
        self.usage_loop = UsageLoop(self)

    @property
    def changes(self) -> Changes:
        """What tells that somebody's server, the queue or a quota changed."""
        return self.writer.changes

    def note_decision(self, *, admitted: bool) -> None:
        """Count a decision on a launch."""
        self.metrics.decisions.labels("admit" if admitted else "refuse").inc()

    async def may_run(self, launch_id: str) -> bool:
        """Whether something of a launch that a spawner took runs, or the hub is at it; also where nobody can tell.

        A hub that refuses a start may be making the same one already: it was asked twice.
        """
        known = self.writer.projection.launch(launch_id)
        if known is None or known.redeemed is None:
            return False
        try:
            if await self._is_at_hub(known):
                return True
            found = await self.backend.servers()
        except MLabError:
            return True
        return any(server.launch_id == launch_id and server.state != "exited" for server in found)

    async def _is_at_hub(self, one: Reservation) -> bool:
        try:
            server = (await self.hub.user(one.user)).server(one.server)
        except NotFound:
            return False
        return server is not None and server.active and server.launch_id == one.launch_id
