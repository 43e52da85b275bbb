"""What the rules of sharing are told: machines, runs and waiters, made of the ledger and of what there is.

Guarantees: pure; whatever holds something counts, whether or not anybody knows that it runs; what nobody can tell is
never reclaimable; a waiter who cannot start whatever happens (its server's name is in use, its GPUs are held by others)
has no machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

from mlabhub.core.capacity import Capacity, Node
from mlabhub.core.holdings import Holdings
from mlabhub.core.placement import free_count
from mlabhub.core.profiles import Catalog, LaunchRequest, Profile
from mlabhub.core.sharing.model import Ask, Machine, Notice, Run, Scene, Waiter
from mlabhub.core.units import CPU, GPU, GPU_PREFIX, MEMORY, to_micro
from mlabhub.core.waiting import Waiting
from mlabhub.ledger import QueueEntry, Reservation
from mlabhub.service.projection import Projection

NOWHERE: frozenset[str] = frozenset()
STEP_S = 60.0
"""What changed so long after now did so before the clock was set back; no wait of a while counts that was set then."""


class Known(NamedTuple):
    """A run, and what it was made of."""

    launch: Reservation
    catalog: Catalog
    run: Run


@dataclass(frozen=True)
class Facts:
    """What the ledger and the inventory do not say.

    ``deadlines`` are those of notices by launch, as the service's own clock has them (see `deadlines`); where one is
    absent, the ledger's counts. ``idle_since`` is when a launch was last used, where that is known. ``skipped`` is
    an entry that does not take part. For the ``restrained`` people nobody is told anew to give back.
    """

    deadlines: Mapping[str, float] = field(default_factory=dict)
    idle_since: Mapping[str, float] = field(default_factory=dict)
    skipped: str | None = None
    restrained: frozenset[str] = frozenset()


def scene_of(
    projection: Projection,
    catalog: Catalog,
    capacity: Capacity,
    facts: Facts,
    now: float,
    known: dict[str, Known] | None = None,
) -> Scene:
    """Return what a round is decided on. The catalogue's quotas are those in force at ``now``.

    ``known`` are the runs of a scene before this one, by launch: those that are the same still are taken from there.
    """
    holdings, quotas = projection.holdings, catalog.quotas
    closes = closing_times(catalog, capacity, now)
    return Scene(
        machines=tuple(
            _machine(node, holdings, quotas.cpu_overcommit, closes.get(node.name), now) for node in capacity.nodes
        ),
        runs=tuple(_runs(projection, catalog, facts, {} if known is None else known)),
        waiters=tuple(_waiters(projection, capacity, facts, now)),
        quotas=quotas,
        now=now,
    )


def request_of(entry: QueueEntry) -> LaunchRequest:
    """Return what an entry asks for, as far as deciding needs it: it is resolved anew before it starts."""
    return LaunchRequest(
        user=entry.user,
        server_name=entry.server,
        profile=entry.profile,
        image=entry.image,
        image_reference="",
        group=entry.group,
        gpu_type=entry.gpu_type,
        gpus=entry.gpus,
        gpu_ids=entry.gpu_ids,
        cpu=entry.cpu,
        memory_gib=entry.memory_gib,
        shm_gib=0.0,
        pids=0,
        sudo=False,
    )


@lru_cache(20_000)
def waiting_of(entry: QueueEntry, blocked: str | None) -> Waiting | None:
    """Return an entry as somebody who waits, as soft caps count them; None for who is in nobody's way.

    ``blocked`` is what the last round said of it. Who is at a cap of their own waits for nobody.
    """
    if entry.state != "waiting" or blocked in ("cap", "backoff"):
        return None
    lacks = {GPU_PREFIX + entry.gpu_type if entry.gpu_type else GPU} if entry.gpus else {CPU, MEMORY}
    return Waiting(request_of(entry), entry.since, frozenset(lacks), in_group=blocked == "limit")


def closing_times(catalog: Catalog, capacity: Capacity, now: float) -> dict[str, float]:
    """Return when maintenance begins on the nodes that have any before them; what has begun is at or before ``now``."""
    windows = ((node.name, catalog.quotas.maintenance_of(node.name, now)) for node in capacity.nodes)
    return {name: window.start for name, window in windows if window is not None}


def notice_seconds(catalog: Catalog, profile: Profile | None) -> float:
    """Return how long a launch of a profile is told before it is taken back."""
    own = profile.notice_seconds if profile is not None else None
    return catalog.quotas.notice_seconds if own is None else own


def ends_by(one: Reservation, profile: Profile | None) -> float | None:
    """Return when a launch ends at the latest, where its profile has a longest duration."""
    hours = profile.longest_hours if profile is not None else None
    return None if hours is None else (one.ready or one.held or one.created) + 3600.0 * hours


def may_be_reclaimed(one: Reservation, profile: Profile | None) -> bool:
    """Whether a launch may be taken back: what is on its way, or what nobody can tell about, never is."""
    return one.state == "held" and (profile is None or profile.reclaimable)


def _machine(node: Node, holdings: Holdings, overcommit: float, closes: float | None, now: float) -> Machine:
    notes, key = holdings.notes(node), ("machine", overcommit)
    kept: tuple[Node, Machine] | None = notes.get(key)
    if kept is None or kept[0] is not node:
        kept = notes[key] = (node, _make_machine(node, holdings, overcommit))
    machine = kept[1]
    if closes is None and machine.open == node.schedulable:
        return machine
    return replace(machine, closes=closes, open=node.schedulable and (closes is None or closes > now))


def _make_machine(node: Node, holdings: Holdings, overcommit: float) -> Machine:
    usage, held = holdings.node(node.name), holdings.gpus
    cpu = int((node.cpu_micro - to_micro(node.cpu_taken)) * overcommit)
    memory = node.memory_micro - to_micro(node.memory_gib_taken)
    free = {
        gpu_type: free_count(node, gpu_type, sum(gpu.uuid not in held for gpu in gpus), usage)
        for gpu_type, gpus in node.usable.items()
    }
    return Machine(
        name=node.name,
        gpus={one: max(0, len(gpus) - node.gpus_taken.get(one, 0)) for one, gpus in node.usable.items()},
        cpu=cpu,
        memory=memory,
        free_gpus=free,
        free_cpu=max(0, cpu - usage.get(CPU)),
        free_memory=max(0, memory - usage.get(MEMORY)),
        most_cpu=node.cpu_micro,
        open=node.schedulable,
        profiles=None if node.for_all else node.exceptions,
        exceptions=node.exceptions if node.for_all else frozenset(),
    )


def _runs(projection: Projection, catalog: Catalog, facts: Facts, known: dict[str, Known]) -> Iterator[Run]:
    """Yield what runs, and keep in ``known`` what was made of it."""
    before, notices, idle = dict(known), projection.notices, facts.idle_since
    known.clear()
    for one in projection:
        launch_id = one.launch_id
        kept = before.get(launch_id)
        if kept is None or kept.launch is not one or kept.catalog is not catalog:
            kept = Known(one, catalog, _run(one, catalog))
        known[launch_id] = kept
        notice = notices.get(launch_id)
        if notice is None and launch_id not in idle:
            yield kept.run
            continue
        told = None
        if notice is not None and notice.entry:  # one without an entry is about a longest duration
            told = Notice(notice.at, facts.deadlines.get(launch_id, notice.deadline), notice.entry)
        yield replace(kept.run, notice=told, idle_since=idle.get(launch_id))


def _run(one: Reservation, catalog: Catalog) -> Run:
    profile = catalog.profiles_by_slug.get(one.profile)
    return Run(
        id=one.launch_id,
        user=one.user,
        group=one.group,
        ask=Ask(len(one.gpus), one.gpu_type, to_micro(one.cpu), to_micro(one.memory_gib), one.profile),
        machine=one.node,
        started=one.held or one.created,
        notice_s=notice_seconds(catalog, profile),
        reclaims=one.reclaims,
        ends_by=ends_by(one, profile),
        reclaimable=may_be_reclaimed(one, profile),
        ending=one.state == "stopping",
    )


def _waiters(projection: Projection, capacity: Capacity, facts: Facts, now: float) -> Iterator[Waiter]:
    for entry in projection.queue.values():
        if entry.state == "waiting" and entry.launch_id != facts.skipped:
            waiter = waiter_of(entry, projection, capacity, now)
            yield replace(waiter, may_ask=False) if entry.user in facts.restrained else waiter


def waiter_of(entry: QueueEntry, projection: Projection, capacity: Capacity, now: float) -> Waiter:
    """Return an entry as the rules see it."""
    return Waiter(
        id=entry.launch_id,
        user=entry.user,
        group=entry.group,
        ask=Ask(entry.gpus, entry.gpu_type, to_micro(entry.cpu), to_micro(entry.memory_gib), entry.profile),
        since=entry.since,
        priority=entry.priority,
        reclaims=entry.reclaims,
        not_before=entry.not_before if entry.changed < now + STEP_S else 0.0,
        machines=_machines(entry, projection, capacity),
    )


def _machines(entry: QueueEntry, projection: Projection, capacity: Capacity) -> frozenset[str] | None:
    """Return where an entry can start; GPUs that were chosen by id have to be free."""
    if projection.of_server(entry.user, entry.server) is not None:
        return NOWHERE
    if entry.gpu_ids is None:
        return None
    gpus = [capacity.gpus.get(uuid) for uuid in entry.gpu_ids]
    free = [gpu for gpu in gpus if gpu is not None and gpu.usable and projection.holdings.is_free(gpu.uuid)]
    nodes = {gpu.node for gpu in free}
    return frozenset(nodes) if len(free) == len(gpus) and len(nodes) == 1 else NOWHERE


def order_of(queue: Mapping[str, QueueEntry], decided: Sequence[str]) -> tuple[str, ...]:
    """Return the entries that wait, next first: those in the order that a round left, and then who came since."""
    waiting = {launch_id: entry for launch_id, entry in queue.items() if entry.state == "waiting"}
    known = [launch_id for launch_id in decided if launch_id in waiting]
    fresh = sorted(waiting.keys() - set(known), key=lambda one: (waiting[one].since, one))
    return (*known, *fresh)


def room_of(capacity: Capacity) -> tuple[object, ...]:
    """Return what there is to be had, as a value: what is measured, and how it is called, changes all the time."""
    return tuple(
        (
            node.name,
            node.schedulable,
            node.cpu - node.cpu_taken,
            node.memory_gib - node.memory_gib_taken,
            tuple((gpu_type, len(gpus)) for gpu_type, gpus in node.usable.items()),
            tuple(node.gpus_taken.items()),
        )
        for node in capacity.nodes
    )
