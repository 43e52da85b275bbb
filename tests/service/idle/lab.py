"""A lab whose servers are used or stand idle: what their GPUs truly do is set, and the clocks are made."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlabhub.core.idle.patience import Patient
from mlabhub.core.idle.policy import Policy
from mlabhub.core.idle.samples import Sample, Samples
from mlabhub.core.profiles import Catalog
from mlabhub.core.readings import Sample as Tick
from mlabhub.ledger import IdleWarning, Ledger
from mlabhub.messages import Message
from mlabhub.service.idle.desk import IdleDesk
from mlabhub.service.idle.watching import Tick as Told
from mlabhub.service.views import Person
from tests.service.queue.lab import IMAGE, PROFILE, Lab

HOUR, MINUTE = 3600.0, 60.0
POLICY = {
    "like": "default",
    "with_gpu": {"window_minutes": 30},
    "without_gpu": {"window_minutes": 60},
    "grace_minutes": 15,
    "learns": False,
}


def make_catalog(*, rules: list[dict[str, Any]] | None = None, **policy: Any) -> Catalog:
    """Return a catalogue with one profile and one policy of idleness: half an hour, then a quarter of grace."""
    idle = {"policy": "site", "rules": rules or [], "policies": {"site": {**POLICY, **policy}}}
    return Catalog.model_validate({"profiles": [PROFILE], "images": [IMAGE], "quotas": {}, "idle": idle})


@dataclass
class Use:
    """What a server does: percent of its busiest GPU (None: nobody can read it), cores, and what it says of itself."""

    gpu: float | None = 0.0
    cores: float | None = 0.0
    work: int | None = None
    touched: float | None = None


@dataclass
class Meter:
    """Measures what servers do by ``use``. What was measured outlives the service, as the ledger's samples do."""

    lab: IdleLab
    use: dict[str, Use] = field(default_factory=dict)
    known: dict[str, Samples] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    fails: Exception | None = None
    looks: list[str] = field(default_factory=list)

    def subscribe(self, tick: Told) -> None:
        """Ticks are made by the lab."""

    def samples(self, launch_id: str) -> Samples | None:
        return self.known.get(launch_id)

    def reasons(self, launch_id: str) -> tuple[Message, ...]:
        return ()

    def usage(self, launch_id: str) -> Tick | None:
        return None

    def patient(self, policy: Policy, server: str) -> Patient | None:
        return None

    def heard_at(self, launch_id: str) -> float | None:
        return self.use.get(launch_id, Use()).touched

    async def look_now(self, launch_ids: Collection[str]) -> None:
        if self.fails is not None:
            raise self.fails
        for launch_id in launch_ids:
            self.looks.append(launch_id)
            self.measure(launch_id)

    def tick(self) -> None:
        """Measure all."""
        for one in self.lab.backend.running.values():
            if one.state == "running" and one.launch_id not in self.lost:
                self.measure(one.launch_id)

    def measure(self, launch_id: str, at: float | None = None) -> None:
        """Add a sample."""
        running, use = self.lab.backend.running.get(launch_id), self.use.get(launch_id, Use())
        if running is None:
            return
        gpus = len(running.gpus)
        self.known.setdefault(launch_id, Samples(launch_id)).add(
            Sample(
                self.lab.now if at is None else at,
                gpus=gpus,
                gpu_util=[use.gpu] * gpus if gpus else None,
                cpu_cores=use.cores,
                kernels_busy=use.work,
                input_age=None if use.touched is None else self.lab.now - use.touched,
            )
        )


class IdleLab(Lab):
    """One installation whose servers are judged."""

    def __init__(self, folder: Path, catalog: Catalog | None = None, memory: Ledger | None = None, **more: Any):
        super().__init__(folder, catalog or make_catalog(), memory=memory, **more)
        self.meter = Meter(self)

    async def boot(self) -> IdleLab:
        """Start the service."""
        await super().boot()
        self.world.writer._count = self.world.metrics.count
        self.world.watch = self.meter
        self.idle = self.world.idle
        self.idle_desk = IdleDesk(self.world)
        return self

    async def minutes(self, count: int = 1) -> None:
        """Let minutes go by, each with its samples and a look; reconciler and queue look as well."""
        for _ in range(count):
            await self.beat(MINUTE)
            self.meter.tick()
            await self.idle._tick(self.now)
            await self.settle()

    async def beat(self, seconds: float = 20.0) -> None:
        """Let a little time go by, without samples."""
        self.now += seconds
        self.mono += seconds
        await self.idle._tend()

    async def settle(self) -> None:
        """Let the hub do what it was asked."""
        await self.world.queue.hands.finish()
        await self.look()

    async def until_told(self, launch_id: str, most: int = 60) -> IdleWarning:
        """Let minutes go by until a warning was delivered."""
        for _ in range(most):
            warning = self.warning(launch_id)
            if warning is not None and warning.told is not None:
                return warning
            await self.minutes()
        raise AssertionError(f"no warning was delivered: {self.kind(launch_id)}")

    def warning(self, launch_id: str) -> IdleWarning | None:
        """Return the warning in force."""
        return self.projection.warnings.get(launch_id)

    def kind(self, launch_id: str) -> str:
        """Return the verdict of the last look."""
        standing = self.idle.standing(launch_id)
        return "" if standing is None else standing.verdict.kind.value

    def person(self, name: str, *, admin: bool = False) -> Person:
        """Return who asks."""
        return Person(name, admin=admin)
