"""How good forecasts are: the made workloads replayed, each one's range told when it began to wait, then compared.

    python -m tests.bench.bench_ranges [WORKLOAD ...]

Prints one line of JSON a workload: how many began to wait once there was a day of history, how many of them were told
a range, the share of these whose turn came in it, before it and after it, and how wide ranges and how far off their
middles were (median, in seconds). The history is what ended before; nobody knows the durations of what runs.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mlabhub.core.corrections import Range, Reckoned, learn
from mlabhub.core.durations import Durations, Kind, Lasting
from mlabhub.core.quotas import Quotas
from mlabhub.core.sharing.model import Round, Run, Scene
from mlabhub.core.waits import Outlook
from mlabhub.replay.engine import Rules, live_rules, run
from mlabhub.replay.model import Workload
from mlabhub.replay.workloads import Made, day_and_night, full_nodes, heavy_tail, mixed_types, owners_return

DAY_S = 86400.0
MADE = (heavy_tail, day_and_night, mixed_types, owners_return, full_nodes)


@dataclass
class Watch:
    """Sees every round of a replay: learns from what ended, tells each new one that waits a range."""

    rules: Rules
    since: float
    durations: Durations = field(default_factory=Durations)
    runs: dict[str, Run] = field(default_factory=dict)
    told: dict[str, tuple[float, Range]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    reckoned: dict[str, Reckoned] = field(default_factory=dict)
    over: list[Reckoned] = field(default_factory=list)

    def plan(self, scene: Scene) -> Round:
        """Plan a round as the rules do, and look."""
        made = self.rules.plan(scene)
        now = {run.id: run for run in scene.runs}
        for name in self.runs.keys() - now.keys():
            one = self.runs[name]
            if one.notice is None:  # what was taken back tells nothing of how long it would have lasted
                self.durations.add(kind_of(one), scene.now - one.started)
        for start in made.starts:
            if start.waiter in self.reckoned:
                self.over.append(self.reckoned.pop(start.waiter)._replace(started=scene.now))
        self.runs = now
        fresh = [name for name in made.order if name not in self.seen]
        self.seen.update(fresh)
        if fresh and scene.now >= self.since:
            lasting = Lasting(self.durations, ((kind_of(one), scene.now - one.started) for one in scene.runs))
            outlook = Outlook(scene, made, lasting, correction=learn(self.over, self._waiting(made, scene.now)))
            for name in fresh:
                self.told[name] = (scene.now, outlook.wait_of(name))
                self.reckoned[name] = Reckoned(scene.now, outlook.reckoned_of(name), scene.now)
        return made

    def _waiting(self, made: Round, now: float) -> list[Reckoned]:
        return [self.reckoned[name]._replace(started=now) for name in made.order if name in self.reckoned]


def kind_of(one: Run) -> Kind:
    """Return its like."""
    return Kind(one.user, one.group, one.ask.profile, one.ask.gpus > 0)


def measure(made: Made) -> dict[str, Any]:
    """Replay a workload and compare."""
    watches: list[Watch] = []

    def make_rules(workload: Workload, quotas: Quotas) -> Rules:
        rules = live_rules(workload, quotas)
        watches.append(Watch(rules, workload.requests[0].t + DAY_S))
        return Rules(watches[0].plan, rules.back_off)

    outcome = run(made.workload, made.quotas, make_rules)
    starts: dict[str, list[float]] = {}
    for event in outcome.events:
        if event.event == "started":
            starts.setdefault(event.id, []).append(event.t)
    pairs = []
    for name, (at, found) in watches[0].told.items():
        start = next((one for one in starts.get(name, ()) if one >= at), None)
        if start is not None:
            pairs.append((at, found, start))
    return summed(made.name, pairs)


def summed(name: str, pairs: Sequence[tuple[float, Range, float]]) -> dict[str, Any]:
    """Return the figures."""
    known = [(at, one.earliest, one.latest, start) for at, one, start in pairs if one.earliest and one.latest]
    early = sum(start < first - 1 for _, first, _, start in known)
    late = sum(start > last + 1 for _, _, last, start in known)
    count = max(1, len(known))
    return {
        "workload": name,
        "waited": len(pairs),
        "told": len(known),
        "within": round((len(known) - early - late) / count, 3),
        "earlier": round(early / count, 3),
        "later": round(late / count, 3),
        "wait_s": round(statistics.median(start - at for at, _, _, start in known)) if known else None,
        "width_s": round(statistics.median(last - first for _, first, last, _ in known)) if known else None,
        "error_s": round(statistics.median(abs(start - (first + last) / 2) for _, first, last, start in known))
        if known
        else None,
    }


if __name__ == "__main__":
    for make in MADE:
        one = make()
        if not sys.argv[1:] or one.name in sys.argv[1:]:
            print(json.dumps(measure(one)), flush=True)
