"""What forecasts of waiting stand on: machines, runs and waiters of one scene, prepared once for all scenarios.

Guarantees: pure; a scene costs a look at each machine, run and waiter, and at each pair of a machine and a kind of
request.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mlabhub.core.quotas import Quotas
from mlabhub.core.sharing.model import Ask, Claim, Machine, Round, Run, Scene, Waiter
from mlabhub.core.sharing.shares import Shares
from mlabhub.core.units import to_micro

ENDING_S = 20.0
"""How long after it was told to end the room of a server is free."""

Counter = tuple[str, str]
"""A group's or a person's amount of one resource: ``g:vision`` and ``gpu:a100``."""


class Need(NamedTuple):
    """A limit that counts for a waiter, and how much of it they would take, in millionths."""

    counter: Counter
    amount: int
    bound: int


@dataclass(slots=True)
class Spot:
    """A machine: what is free of it now beyond what is claimed, and when it takes nothing."""

    name: str
    gpus: dict[str, int]
    cpu: int
    memory: int
    sort: int
    is_open: bool
    closed: list[tuple[float, float]] = field(default_factory=list)
    claims: list[tuple[int, Claim]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of request, and the spots that could ever hold it."""

    ask: Ask
    spots: tuple[int, ...]


@dataclass(slots=True)
class Board:
    """A scene, prepared. ``sorts`` are machines' restrictions: which profiles, and the most CPU that one server gets.

    ``order`` are the waiters that stay, next first; what is ``kept`` is not for those who are ``reserved`` out of it.
    ``charges`` are what a run or waiter counts for limits that matter. ``phases`` are when quotas change, and the needs
    of all waiters from then.
    """

    now: float
    spots: list[Spot]
    index: dict[str, int]
    sorts: list[tuple[int, frozenset[str] | None, frozenset[str]]]
    runs: Sequence[Run]
    order: list[Waiter]
    shapes: list[Shape]
    shape_of: list[int]
    usage: dict[Counter, int]
    charges: dict[str, tuple[tuple[Counter, int], ...]]
    phases: list[tuple[float, list[tuple[Need, ...]]]]
    bounds: list[tuple[float, Quotas]]
    kept: dict[str, int]
    reserved: list[bool]
    types: tuple[str, ...]
    shares: Shares


def make_board(scene: Scene, told: Round, quotas: Sequence[tuple[float, Quotas]] = ()) -> Board:
    """Prepare a scene after a round was planned on it. ``quotas`` are those in force from times to come."""
    spots, index, sorts = _spots(scene)
    waiters = {one.id: one for one in scene.waiters}
    runs, started = list(scene.runs), set()
    for start in told.starts:  # a round of a while ago may tell of some that have started
        if start.waiter in waiters:
            started.add(start.waiter)
            runs.append(_started(waiters[start.waiter], start.machine, start.gpu_type, scene.now))
            if start.machine in index:
                _take(spots[index[start.machine]], waiters[start.waiter].ask, start.gpu_type)
    order = _order(scene, told, started)
    shapes, shape_of = _shapes(order, spots, sorts, scene.machines, index)
    shares = Shares(scene.quotas, runs)
    bounds = [
        (-math.inf, scene.quotas),
        *sorted(((at, one) for at, one in quotas if at > scene.now), key=lambda one: one[0]),
    ]
    needs = [(at, [needs_of(waiter, waiter.ask, one) for waiter in order]) for at, one in bounds]
    board = Board(
        scene.now,
        spots,
        index,
        sorts,
        runs,
        order,
        shapes,
        shape_of,
        {},
        {},
        needs,
        bounds,
        {gpu_type: count for gpu_type, count in told.kept.items() if count},
        [told.blocked.get(one.id) == "reserve" or not is_owed(shares, one.group, one.ask) for one in order],
        tuple({gpu_type for machine in scene.machines for gpu_type in machine.gpus}),
        shares,
    )
    _count(board)
    places = {one.id: number for number, one in enumerate(order)}
    for claim in told.claims:
        if claim.waiter in places and claim.machine in index:
            _claim(spots[index[claim.machine]], places[claim.waiter], waiters[claim.waiter], claim)
    return board


def _order(scene: Scene, told: Round, started: set[str]) -> list[Waiter]:
    """Return those who stay, next first: in the round's order, then those who came after it."""
    places = {waiter: number for number, waiter in enumerate(told.order)}
    stay = (one for one in scene.waiters if one.id not in started)
    return sorted(stay, key=lambda one: (places.get(one.id, len(places)), one.since, one.id))


def is_owed(shares: Shares, group: str | None, ask: Ask) -> bool:
    """Whether a group may count on a request; of one for any type, of GPUs in all."""
    return shares.owed(group, ask.vector())


def _spots(scene: Scene) -> tuple[list[Spot], dict[str, int], list[tuple[int, frozenset[str] | None, frozenset[str]]]]:
    spots: list[Spot] = []
    sorts: dict[tuple[int, frozenset[str] | None, frozenset[str]], int] = {}
    for machine in scene.machines:
        sort = sorts.setdefault((machine.most_cpu, machine.profiles, machine.exceptions), len(sorts))
        closed = [
            (one.start, one.until)
            for one in scene.quotas.maintenance
            if one.until > scene.now and one.concerns(machine.name)
        ]
        shut = any(begin <= scene.now for begin, _ in closed)
        if not closed and machine.closes is not None:
            closed = [(machine.closes, math.inf)]
        if not machine.open and not shut:
            continue  # cordoned or dead: nobody knows until when
        spots.append(
            Spot(
                machine.name,
                dict(machine.free_gpus),
                machine.free_cpu,
                machine.free_memory,
                sort,
                not shut,
                sorted(closed),
            )
        )
    return spots, {spot.name: number for number, spot in enumerate(spots)}, list(sorts)


def _started(waiter: Waiter, machine: str, gpu_type: str | None, now: float) -> Run:
    """Return one that starts now, as a run."""
    ask = (
        waiter.ask
        if gpu_type is None
        else Ask(waiter.ask.gpus, gpu_type, waiter.ask.cpu, waiter.ask.memory, waiter.ask.profile)
    )
    return Run(waiter.id, waiter.user, waiter.group, ask, machine, now, 0.0)


def _take(spot: Spot, ask: Ask, gpu_type: str | None) -> None:
    if ask.gpus and gpu_type is not None:
        spot.gpus[gpu_type] = spot.gpus.get(gpu_type, 0) - ask.gpus
    spot.cpu -= ask.cpu
    spot.memory -= ask.memory


def _claim(spot: Spot, number: int, waiter: Waiter, claim: Claim) -> None:
    """Keep a machine's room for one who waits: what is free of it now, and what comes, until there is enough."""
    ask = waiter.ask
    if ask.gpus and claim.gpu_type is not None:
        spot.gpus[claim.gpu_type] = spot.gpus.get(claim.gpu_type, 0) - ask.gpus
    spot.cpu -= ask.cpu
    spot.memory -= ask.memory
    spot.claims.append((number, Claim(waiter.id, spot.name, claim.gpu_type, ask.gpus, ask.cpu, ask.memory)))


def _shapes(
    order: Iterable[Waiter],
    spots: Sequence[Spot],
    sorts: Sequence[tuple[int, frozenset[str] | None, frozenset[str]]],
    machines: Sequence[Machine],
    index: Mapping[str, int],
) -> tuple[list[Shape], list[int]]:
    gpus = {index[one.name]: one.gpus for one in machines if one.name in index}
    picky = any(profiles is not None or exceptions for _, profiles, exceptions in sorts)
    numbers: dict[object, int] = {}
    shapes: list[Shape] = []
    shape_of: list[int] = []
    for waiter in order:
        ask = waiter.ask
        key = (ask.gpus, ask.gpu_type, ask.cpu, ask.memory, ask.profile if picky else "", waiter.machines)
        number = numbers.get(key)
        if number is None:
            number = numbers[key] = len(shapes)
            fitting = [
                spot
                for spot in range(len(spots))
                if suits(sorts[spots[spot].sort], ask)
                and (waiter.machines is None or spots[spot].name in waiter.machines)
                and (not ask.gpus or any(gpus[spot].get(one, 0) >= ask.gpus for one in types_of(ask, gpus[spot])))
            ]
            shapes.append(Shape(ask, tuple(fitting)))
        shape_of.append(number)
    return shapes, shape_of


def types_of(ask: Ask, gpus: Iterable[str]) -> Iterable[str]:
    """Return the types of a machine's GPUs that may serve a request."""
    return gpus if ask.gpu_type is None else (ask.gpu_type,)


def suits(sort: tuple[int, frozenset[str] | None, frozenset[str]], ask: Ask) -> bool:
    """Whether machines of a sort ever take such a request."""
    most_cpu, profiles, exceptions = sort
    taken = ask.profile not in exceptions if profiles is None else ask.profile in profiles
    return taken and ask.cpu <= most_cpu


def needs_of(waiter: Waiter, ask: Ask, quotas: Quotas) -> tuple[Need, ...]:
    """Return the limits of the group and the hard caps of the person that count for a request."""
    return limits_for(waiter.user, waiter.group, ask, quotas)


def limits_for(user: str, group: str | None, ask: Ask, quotas: Quotas) -> tuple[Need, ...]:
    """Return the same for somebody who does not wait yet."""
    vector = ask.vector()
    found = []
    limit, caps = quotas.group_limit(group), quotas.user_limit(user, group)
    if limit:
        found += [Need((f"g:{group}", one), vector[one], to_micro(limit[one])) for one in vector if one in limit]
    if caps:
        soft = quotas.user_soft(user, group)
        found += [
            Need((f"u:{user}", one), vector[one], to_micro(caps[one]))
            for one in vector
            if one in caps and one not in soft
        ]
    return tuple(one for one in found if one.amount)


def charges_of(run: Run | Waiter, gpu_type: str | None) -> tuple[tuple[Counter, int], ...]:
    """Return what something counts for its group and its person."""
    vector = run.ask.vector(gpu_type)
    return tuple(
        ((f"{kind}:{name}", one), vector[one]) for kind, name in (("g", run.group), ("u", run.user)) for one in vector
    )


def _count(board: Board) -> None:
    """Count what limits matter to those who wait."""
    counters = {need.counter for _, needs in board.phases for one in needs for need in one}
    if not counters:
        return
    holders = {name for name, _ in counters}
    for run in board.runs:
        if f"g:{run.group}" not in holders and f"u:{run.user}" not in holders:
            continue
        board.charges[run.id] = tuple(one for one in charges_of(run, run.ask.gpu_type) if one[0] in counters)
        for counter, amount in board.charges[run.id]:
            board.usage[counter] = board.usage.get(counter, 0) + amount
    for waiter in board.order:
        # Of one that takes any type, the type's own limit is left out.
        board.charges[waiter.id] = tuple(one for one in charges_of(waiter, waiter.ask.gpu_type) if one[0] in counters)
