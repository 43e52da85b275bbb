"""A change of quotas tried on what was recorded: the live rules with the quotas in force, and with the new ones.

Guarantees: both replays get the same requests and the same machines; a change counts from the beginning to the end of
the time that is replayed, whenever it is to begin or end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mlabhub.core.quota_changes import QuotaChange, effective
from mlabhub.core.quotas import Quotas
from mlabhub.core.sharing.model import Round, Scene
from mlabhub.errors import InvalidLaunch
from mlabhub.ledger import RecordedRuns, open_to_read
from mlabhub.messages import N_, Message, message_json
from mlabhub.replay import Report, Rules, Terms, Workload, live_rules, report, run
from mlabhub.replay.recorded import Recorded, Site, make_workload
from mlabhub.replay.terms import terms_of
from mlabhub.settings import Settings

if TYPE_CHECKING:  # the process of a trial loads this as well, and has no use for the service
    from mlabhub.service.world import World

DAY_S = 86_400.0
DAYS = (1, 7, 14)
MOST_REQUESTS = 20_000
TOO_MANY = N_("In {days} days {count} servers ran, more than the {most} that are replayed at once. Choose fewer days.")


@dataclass(frozen=True)
class QuotaTrial:
    """What is to be replayed; times are seconds since the epoch."""

    settings: Settings
    sites: tuple[Site, ...]
    now: float
    days: int
    before: Quotas
    after: Quotas
    terms: Mapping[str, Terms]

    def run(self, told: Callable[[float], None]) -> dict[str, Any]:
        """Replay both; return what came of them. Raises `MLabError`."""
        found = self._recorded()
        workload = found.workload
        if len(workload.requests) > MOST_REQUESTS:
            about = {"days": self.days, "count": len(workload.requests), "most": MOST_REQUESTS}
            raise InvalidLaunch(Message.of(TOO_MANY, about))
        reports = [
            _replay(workload, quotas, self.terms, lambda share, n=n: told((n + share) / 2))  # type: ignore[misc]
            for n, quotas in enumerate((self.before, self.after))
        ]
        return compared(found, *reports)

    def _recorded(self) -> Recorded:
        since, until = self.now - self.days * DAY_S, self.now
        with open_to_read(self.settings, "mlabhub trial") as ledger:
            runs = RecordedRuns(ledger)
            ran, left_out = runs.ran(since, until), runs.left_out(since, until)
        return make_workload(ran, self.sites, since, until, self.now, left_out)


async def make_quota_trial(world: World, made: tuple[QuotaChange, ...], days: int) -> QuotaTrial:
    """Return what is to be replayed for changes that are not made yet. Raises `Unavailable`."""
    capacity, catalog, now = await world.capacity.get(), world.catalog(), world.clock()
    lasting = tuple(replace(one, start=0.0, end=None) for one in made)
    after = effective(world.catalog.configured().quotas, (*world.catalog.changes.values(), *lasting), now)
    sites = tuple(
        Site(node.name, node.cpu, node.memory_gib, Counter(gpu.type for gpu in node.gpus if gpu.usable))
        for node in capacity.nodes
    )
    return QuotaTrial(world.settings, sites, now, days, catalog.quotas, after, terms_of(catalog))


def _replay(workload: Workload, quotas: Quotas, terms: Mapping[str, Terms], told: Callable[[float], None]) -> Report:
    first, last = (workload.requests[0].t, workload.requests[-1].t) if workload.requests else (0.0, 1.0)

    def rules(workload: Workload, quotas: Quotas) -> Rules:
        live = live_rules(workload, quotas)

        def plan(scene: Scene) -> Round:
            told((scene.now - first) / max(1.0, last - first))
            return live.plan(scene)

        return Rules(plan, live.back_off)

    return report(workload, quotas, run(workload, quotas, rules, terms))


def compared(found: Recorded, before: Report, after: Report) -> dict[str, Any]:
    """Return two reports side by side: seconds waited in all, GPU-hours, and counts; groups by name."""
    groups = sorted({*before.waits_by_group, *after.waits_by_group})
    return {
        "requests": before.requests,
        "notes": [message_json(note) for note in found.notes],
        "before": _figures(before),
        "after": _figures(after),
        "groups": [
            {"name": name, "before": _of_group(before, name), "after": _of_group(after, name)} for name in groups
        ],
    }


def _figures(one: Report) -> dict[str, Any]:
    return {
        "refused": one.refused,
        "reclaims": one.reclaims,
        "lost_gpu_hours": one.lost_gpu_hours,
        "owed_gpu_hours": one.debt_gpu_hours,
        "use": one.span.utilisation,
        "waited_s": one.waits.mean * one.waits.count,
        "unfinished": one.unfinished,
    }


def _of_group(one: Report, name: str) -> dict[str, Any]:
    waits = one.waits_by_group.get(name)
    return {
        "count": waits.count if waits else 0,
        "waited_s": waits.mean * waits.count if waits else 0.0,
        "longest_s": waits.longest if waits else 0.0,
        "owed_gpu_hours": one.debt_by_group.get(name, 0.0),
    }
