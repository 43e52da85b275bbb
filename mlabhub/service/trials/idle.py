"""A policy of idleness tried on recorded samples: the live code with the policy in force, and with another one.

Guarantees: both replays get the same samples; each server is judged by the policy that holds for its profile and group
at the moment of the trial. What ran is replayed until it really ended: what the policy in force stopped has no samples
after that.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlabhub.catalog import read_idle
from mlabhub.core.idle.file import Idle
from mlabhub.core.idle.policy import Policy
from mlabhub.errors import InvalidLaunch, NotFound
from mlabhub.ledger import RecordedRuns, SqlSamples, open_to_read
from mlabhub.messages import N_, Message
from mlabhub.replay.idle import Outcome, Recording, Totals, run
from mlabhub.replay.idle.reader import Launch, in_order
from mlabhub.replay.recorded import Ran
from mlabhub.service.idle.learning import row_of
from mlabhub.settings import Settings

if TYPE_CHECKING:  # the process of a trial loads this as well, and has no use for the service
    from mlabhub.service.trials.desk import Standing, Trials
    from mlabhub.service.views import Person
    from mlabhub.service.world import World

DAY_S = 86_400.0
DAYS = (1, 2, 7, 30)
MOST_SAMPLES = 10_000_000
MOST_TEXT = 16_384
MOST_KEPT = 50
READING = 0.4
"""The share of the whole time that reading the samples takes."""

TOO_MANY = N_("There are more than {most} samples in {days} days. Choose fewer days.")
NO_SAMPLES = N_("No samples of the last {days} days are kept.")
TOO_LONG = N_("The policy has {count} characters, and may have {most}.")
NO_POLICY = N_("There is no policy {name}.")
NOT_HERE = N_("This trial is not known any more. Fill in the form again.")


@dataclass(frozen=True)
class Choice:
    """Which policy holds: by the rules of ``idle``, or that ``name`` for all. ``aggressiveness`` None: as it says."""

    idle: Idle
    name: str = ""
    aggressiveness: float | None = None

    def policy_for(self, profile: str, group: str | None, now: float) -> Policy:
        """Return what holds for a server."""
        policy = self.idle.named(self.name) if self.name else self.idle.policy_for(profile, group, now)
        return policy if self.aggressiveness is None else policy.at(self.aggressiveness)


@dataclass(frozen=True)
class Spec:
    """What somebody wants to try; ``text`` is the ``idle.yaml`` that they typed, empty if they chose a policy."""

    name: str
    aggressiveness: float | None
    days: int
    text: str

    @property
    def key(self) -> str:
        """What it is called in addresses."""
        return hashlib.sha256(repr(self).encode(errors="surrogatepass")).hexdigest()[:24]


@dataclass(frozen=True)
class IdleTrial:
    """What is to be replayed."""

    settings: Settings
    now: float
    days: int
    before: Choice
    after: Choice

    def run(self, told: Callable[[float], None]) -> dict[str, Any]:
        """Replay both; return what came of them. Raises `MLabError`."""
        recording, launches = self._recorded(lambda share: told(READING * share))
        outcomes = []
        for number, choice in enumerate((self.before, self.after)):
            policies = [
                choice.policy_for(one.profile if one else "", one.group if one else None, self.now) for one in launches
            ]
            begun = READING + (1 - READING) / 2 * number
            outcomes.append(run(recording, policies, told=lambda share, b=begun: told(b + 0.3 * share)))  # type: ignore[misc]
        return compared([one.group or "" if one else "" for one in launches], *outcomes)

    def _recorded(self, told: Callable[[float], None]) -> tuple[Recording, list[Ran | None]]:
        """Read the samples, and of which launches they are."""
        since, until = self.now - self.days * DAY_S, self.now
        launches: dict[str, Launch] = {}
        count = 0
        with open_to_read(self.settings, "mlabhub trial") as ledger:
            known = {one.launch_id: one for one in RecordedRuns(ledger).ran(since, until)}
            for piece in SqlSamples(ledger).pieces(since, until):
                for sample in piece:
                    launch = launches.get(sample.launch_id)
                    if launch is None:
                        launch = launches[sample.launch_id] = Launch(sample.server)
                    launch.samples.add(row_of(sample))
                    launch.ended = "end" in sample.more
                count += len(piece)
                if count > MOST_SAMPLES:
                    raise InvalidLaunch(Message.of(TOO_MANY, most=MOST_SAMPLES, days=self.days))
                if piece:
                    told((piece[-1].t - since) / (until - since))
        if not launches:
            raise NotFound(Message.of(NO_SAMPLES, days=self.days))
        recorded = list(launches.values())
        return Recording(recorded, in_order(recorded)), [known.get(launch_id) for launch_id in launches]


class IdleTrials:
    """Keeps what people want to try, and tries it."""

    def __init__(self, world: World, trials: Trials):
        self._world = world
        self._trials = trials
        self._specs: OrderedDict[tuple[str, str], tuple[Spec, Choice]] = OrderedDict()

    @property
    def names(self) -> list[str]:
        """The policies that can be chosen."""
        return list(self._world.catalog().idle.names)

    async def keep(self, person: Person, spec: Spec) -> str:
        """Take a wish; return its key. Raises `InvalidCatalog` with the faults of what was typed, `InvalidLaunch`."""
        if len(spec.text) > MOST_TEXT:
            raise InvalidLaunch(Message.of(TOO_LONG, count=len(spec.text), most=MOST_TEXT), key="text")
        in_force = self._world.catalog().idle
        idle = await asyncio.to_thread(read_idle, spec.text) if spec.text else in_force
        if spec.name and spec.name not in idle.names:
            raise InvalidLaunch(Message.of(NO_POLICY, name=spec.name), key="policy")
        self._specs[person.name, spec.key] = (spec, Choice(idle, spec.name, spec.aggressiveness))
        while len(self._specs) > MOST_KEPT:
            self._specs.popitem(last=False)
        return spec.key

    async def ask(self, person: Person, key: str) -> tuple[Spec, Standing]:
        """Return how far a trial is. Raises `NotFound` for one that nobody kept."""
        known = self._specs.get((person.name, key))
        if known is None:
            raise NotFound(NOT_HERE)
        spec, choice = known

        async def make() -> IdleTrial:
            world = self._world
            return IdleTrial(world.settings, world.clock(), spec.days, Choice(world.catalog().idle), choice)

        return spec, await self._trials.ask(person.name, f"idle {key}", make)


def compared(groups: list[str], before: Outcome, after: Outcome) -> dict[str, Any]:
    """Return two outcomes side by side, in all and by group; ``groups`` are those of the launches."""
    parts: dict[str, tuple[list[Totals], list[Totals]]] = {}
    for name, one, other in zip(groups, before.by_launch, after.by_launch, strict=True):
        found = parts.setdefault(name, ([], []))
        found[0].append(one)
        found[1].append(other)
    return {
        "before": before.totals.to_dict(),
        "after": after.totals.to_dict(),
        "groups": [
            {"name": name, "before": Totals.of(one).to_dict(), "after": Totals.of(other).to_dict()}
            for name, (one, other) in sorted(parts.items())
        ],
    }
