"""A small cluster in which time passes, for the tests of the rules: it does what rounds say and checks each of them.

Guarantees: after each round every invariant of the rules is checked against sums of its own, from what runs; a broken
one is an AssertionError that names it.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field, replace

from mlabhub.core.quotas import Quotas
from mlabhub.core.sharing.model import Ask, Machine, Notice, Run, Scene, Waiter
from mlabhub.core.sharing.past import Past
from mlabhub.core.sharing.policy import Policy
from mlabhub.core.sharing.rounds import plan_round
from mlabhub.core.units import to_micro


@dataclass(frozen=True)
class Job:
    """What somebody asks for, and how long it would run."""

    at: float
    id: str
    user: str
    group: str | None
    ask: Ask
    duration: float


@dataclass
class Report:
    """What came of it; times in seconds, sums in hours of GPUs."""

    waits: list[float] = field(default_factory=list)
    debt: float = 0.0
    lost: float = 0.0
    good: float = 0.0
    capacity: float = 0.0
    reclaims: int = 0
    notices: int = 0
    most_reclaims: int = 0
    unserved: int = 0
    rounds: int = 0
    kept: int = 0
    seconds: float = 0.0

    def line(self) -> str:
        waits = sorted(self.waits) or [0.0]
        return (
            f"good {self.good / self.capacity:.3f} debt {self.debt:7.1f} lost {self.lost:7.1f} "
            f"sum {self.debt + self.lost:7.1f} wait {sum(waits) / len(waits) / 60:6.1f} p95 "
            f"{waits[int(len(waits) * 0.95)] / 60:7.1f} max {waits[-1] / 3600:5.1f}h reclaims {self.reclaims:4d} "
            f"most {self.most_reclaims} notices {self.notices} unserved {self.unserved} rounds {self.rounds}"
        )


def make_machine(name: str, gpu_type: str, gpus: int, cpu: float, memory: float) -> Machine:
    count = {gpu_type: gpus} if gpus else {}
    cpus, gib = to_micro(cpu), to_micro(memory)
    return Machine(name, count, cpus, gib, dict(count), cpus, gib, cpus)


class Cluster:
    """Machines, runs and who waits; `step` passes the time to the next event."""

    def __init__(self, machines: list[Machine], quotas: Quotas, policy: Policy | None = None) -> None:
        self.machines = {one.name: one for one in machines}
        self.quotas = quotas
        self.policy = policy or Policy()
        self.past = Past()
        self.runs: dict[str, Run] = {}
        self.waiters: dict[str, Waiter] = {}
        self.jobs: dict[str, Job] = {}
        self.owed_since: dict[str, float] = {}
        self.report = Report()
        self.now = 0.0
        self.ends: list[tuple[float, int, str]] = []
        self.version: dict[str, int] = {}
        self.wakes: list[float] = []

    def submit(self, job: Job) -> None:
        self.jobs[job.id] = job
        self.waiters[job.id] = Waiter(job.id, job.user, job.group, job.ask, job.at)

    def put(self, run: Run, sign: int) -> None:
        one = self.machines[run.machine]
        gpus = dict(one.free_gpus)
        if run.ask.gpus:
            gpus[run.ask.gpu_type] -= sign * run.ask.gpus
        self.machines[run.machine] = replace(
            one,
            free_gpus=gpus,
            free_cpu=one.free_cpu - sign * run.ask.cpu,
            free_memory=one.free_memory - sign * run.ask.memory,
        )

    def end(self, run_id: str) -> Run:
        run = self.runs.pop(run_id)
        self.put(run, -1)
        return run

    def scene(self) -> Scene:
        return Scene(
            list(self.machines.values()), list(self.runs.values()), list(self.waiters.values()), self.quotas, self.now
        )

    def settle(self) -> None:
        """Make rounds until nothing is left to be done now."""
        served: set[str] = set()
        for _ in range(100):
            scene = self.scene()
            self.past = self.past.after(scene)
            made = plan_round(scene, self.past, self.policy)
            self.report.rounds += 1
            self.report.kept += bool(made.kept)
            assert served <= {start.waiter for start in made.starts}, (
                "somebody gave back, and their owner did not start"
            )
            served = {self.runs[run_id].notice.waiter for run_id in made.reclaims}
            self.check_answer(scene, made)
            self.apply(made)
            if not made.reclaims and not made.withdrawn:
                return
        raise AssertionError("rounds without end")

    def apply(self, made) -> None:
        for start in made.starts:
            waiter = self.waiters.pop(start.waiter)
            ask = replace(waiter.ask, gpu_type=start.gpu_type)
            notice = self.quotas.notice_seconds
            run = Run(
                waiter.id, waiter.user, waiter.group, ask, start.machine, self.now, notice, reclaims=waiter.reclaims
            )
            self.runs[run.id] = run
            self.put(run, 1)
            self.report.waits.append(self.now - waiter.since)
            version = self.version[run.id] = self.version.get(run.id, 0) + 1
            heapq.heappush(self.ends, (self.now + self.jobs[run.id].duration, version, run.id))
        self.check_machines()
        for told in made.withdrawn:
            assert self.runs[told].notice is not None
            self.runs[told] = replace(self.runs[told], notice=None)
        for told in made.notices:
            run = self.runs[told.run]
            assert run.notice is None
            assert told.deadline >= self.now + run.notice_s
            self.report.notices += 1
            self.runs[told.run] = replace(run, notice=Notice(self.now, told.deadline, told.waiter))
            heapq.heappush(self.wakes, told.deadline)
        for run_id in made.reclaims:
            run = self.runs[run_id]
            assert run.notice is not None
            assert run.notice.deadline <= self.now
            self.check_beyond(run)
            assert run.reclaims < min(self.policy.max_reclaims, self.quotas.max_reclaims), "taken back too often"
            self.end(run_id)
            self.report.reclaims += 1
            self.report.lost += run.ask.gpus * (self.now - run.started) / 3600
            again = self.now + self.policy.back_off(run.reclaims + 1)
            heapq.heappush(self.wakes, again)
            job = self.jobs[run_id]
            self.version[run_id] += 1
            self.report.most_reclaims = max(self.report.most_reclaims, run.reclaims + 1)
            self.waiters[run_id] = Waiter(
                run.id, run.user, run.group, job.ask, job.at, reclaims=run.reclaims + 1, not_before=again
            )

    def check_answer(self, scene, made) -> None:
        """Everybody who waits starts or is told why not, and nobody is decided on twice."""
        starts = [start.waiter for start in made.starts]
        assert sorted([*starts, *made.blocked]) == sorted(self.waiters), "each once"
        assert sorted(made.order) == sorted(made.blocked), "places"
        acts = [*made.withdrawn, *made.reclaims, *(one.run for one in made.notices)]
        assert len(set(acts)) == len(acts), "one act on a run in a round"
        for waiter in scene.waiters:
            assert waiter.id not in starts or waiter.not_before <= self.now, "not before its time"
        open_ones = {one.name for one in scene.machines if one.open}
        assert all(start.machine in open_ones for start in made.starts), "a machine that takes nothing"
        assert {claim.machine for claim in made.claims} <= open_ones
        by_user: dict[str, dict[str, int]] = {}
        for run in scene.runs:
            sums = by_user.setdefault(run.user, {})
            for resource, amount in run.ask.vector().items():
                sums[resource] = sums.get(resource, 0) + amount
        before = {group: self.used(group) for group in (*self.quotas.groups, None)}
        for start in made.starts:
            waiter = self.waiters[start.waiter]
            vector = waiter.ask.vector(start.gpu_type)
            limits = [(before.setdefault(waiter.group, {}), self.quotas.group_limit(waiter.group), frozenset())]
            caps = self.quotas.user_limit(waiter.user, waiter.group)
            soft = self.quotas.user_soft(waiter.user, waiter.group)
            limits.append((by_user.setdefault(waiter.user, {}), caps, soft))
            for used, limit, lenient in limits:
                for resource, amount in vector.items():
                    used[resource] = used.get(resource, 0) + amount
                    bound = limit.get(resource) if resource not in lenient else None
                    assert bound is None or not amount or used[resource] <= to_micro(bound), "a limit or cap"

    def used(self, group: str | None) -> dict[str, int]:
        sums: dict[str, int] = {}
        for run in self.runs.values():
            if run.group == group:
                for resource, amount in run.ask.vector().items():
                    sums[resource] = sums.get(resource, 0) + amount
        return sums

    def check_machines(self) -> None:
        for machine in self.machines.values():
            assert machine.free_memory >= 0, "memory of a machine"
            assert machine.free_cpu >= 0, "CPU of a machine"
            assert all(free >= 0 for free in machine.free_gpus.values()), "GPUs of a machine"

    def check_beyond(self, run: Run) -> None:
        quota = self.quotas.groups.get(run.group)
        guaranteed = quota.guaranteed if quota else {}
        used = self.used(run.group)
        assert used["gpu"] > to_micro(guaranteed.get("gpu", 0)), "reclaimed within the guarantee"
        typed = f"gpu:{run.ask.gpu_type}"
        if typed in guaranteed:
            assert used[typed] > to_micro(guaranteed[typed]), "reclaimed within the guarantee of a type"

    def account(self, until: float) -> None:
        """Count the debt until then."""
        for group, quota in self.quotas.groups.items():
            waiting = [one for one in self.waiters.values() if one.group == group and one.ask.gpus]
            if not waiting or not quota.guaranteed:
                continue
            used = self.used(group)
            for one in sorted(waiting, key=lambda one: one.since):
                vector = one.ask.vector()
                keys = [k for k in vector if k in quota.guaranteed and vector[k]]
                owed = any(k.startswith("gpu") for k in keys) and all(
                    used.get(k, 0) + vector[k] <= to_micro(quota.guaranteed[k]) for k in keys
                )
                if not owed:
                    self.owed_since.pop(one.id, None)
                    continue
                for k, amount in vector.items():
                    used[k] = used.get(k, 0) + amount
                begin = self.owed_since.setdefault(one.id, self.now) + self.quotas.notice_seconds
                self.report.debt += one.ask.gpus * max(0.0, until - max(begin, self.now)) / 3600


def replay(machines, quotas, jobs, policy=None, cluster_type=Cluster) -> Report:
    """Let the jobs come; return what came of it when the last one has come (and all was served that can be)."""
    cluster = cluster_type(machines, quotas, policy)
    jobs = sorted(jobs, key=lambda one: (one.at, one.id))
    last = jobs[-1].at
    gpus = sum(sum(one.gpus.values()) for one in machines)
    index = 0
    while True:
        times = [jobs[index].at] if index < len(jobs) else []
        while cluster.ends and cluster.version.get(cluster.ends[0][2]) != cluster.ends[0][1]:
            heapq.heappop(cluster.ends)
        times += [cluster.ends[0][0]] if cluster.ends else []
        times += [cluster.wakes[0]] if cluster.wakes else []
        if not times:
            break
        at = min(times)
        cluster.account(at)
        cluster.now = at
        while index < len(jobs) and jobs[index].at <= at:
            cluster.submit(jobs[index])
            index += 1
        while cluster.ends and cluster.ends[0][0] <= at:
            _, version, run_id = heapq.heappop(cluster.ends)
            if cluster.version.get(run_id) == version:
                run = cluster.end(run_id)
                del cluster.version[run_id]
                cluster.report.good += run.ask.gpus * (min(at, last) - min(run.started, last)) / 3600
                cluster.owed_since.pop(run_id, None)
        while cluster.wakes and cluster.wakes[0] <= at:
            heapq.heappop(cluster.wakes)
        cluster.settle()
    cluster.report.unserved = len(cluster.waiters)
    cluster.report.capacity = gpus * last / 3600
    return cluster.report


def make_jobs(rng: random.Random, groups, types, days, load, gpus_total, sizes=(1, 1, 1, 2, 2, 4, 8), untyped=0.2):
    """Heavy-tailed durations, bursts by group, a mixture of sizes."""
    jobs = []
    mean = 2.2 * 3600 * (sum(sizes) / len(sizes))
    rate = load * gpus_total / mean / len(groups)
    for group in groups:
        at = 0.0
        while at < days * 86400:
            burst = rng.random() < 0.15
            at += rng.expovariate(rate) * (0.2 if not burst else 4.0)
            quiet = rng.random() < 0.01
            at += rng.expovariate(1 / 86400) if quiet else 0.0
            count = rng.choice(sizes) if rng.random() > 0.15 else 0
            duration = min(4 * 86400, 600 * rng.paretovariate(0.9)) if rng.random() < 0.7 else rng.uniform(60, 14400)
            gpu_type = None if not count or rng.random() < untyped else rng.choice(types)
            ask = Ask(count, gpu_type, to_micro(4 + 8 * count), to_micro(16 + 64 * count))
            jobs.append(Job(at, f"{group}-{len(jobs)}", f"{group}{rng.randrange(8)}", group, ask, duration))
    return [one for one in jobs if one.at < days * 86400]
