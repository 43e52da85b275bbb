"""The map of all GPUs: what is there, who holds each, how busy it is; now, or at a moment of the last day.

Guarantees: pure. What is not known is None, and never zero or idle. Of a moment that is over nobody knows which GPUs
could have been had, so that what was not held then is ``unheld`` and not ``free``. A GPU that is held and that its
machine does not list (any more) stands on the map all the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

from mlabhub.core.capacity import Capacity, Gpu, Node
from mlabhub.core.gpu_types import GpuTypeSpec, display_name_of
from mlabhub.core.holdings import Usage
from mlabhub.core.placement import free_count
from mlabhub.core.privacy import Viewer
from mlabhub.core.readings import PROOF_PERCENT
from mlabhub.core.units import GPU_PREFIX, to_micro
from mlabhub.messages import Message

BUSY_PERCENT = 50.0
"""From here on a GPU is busy; from `PROOF_PERCENT` on it does light work; below that it is idle."""

State = Literal[
    "held", "reserved", "free", "closed", "sick", "outside", "unknown", "taken", "divided", "unheld"
]  # fmt: skip
STATES: tuple[State, ...] = get_args(State)
"""``reserved``: for a launch that starts. ``closed``: on a machine that takes no new servers. ``outside``: used from
outside of the hub; ``unknown``: nobody can tell whether it is. ``taken``: on a cluster, by pods of others."""

Load = Literal["busy", "light", "idle"]


class Hold(NamedTuple):
    """A launch that holds GPUs. ``starting`` until its server runs; ``idle_since`` only where a policy says so."""

    launch_id: str
    user: str
    group: str | None
    server: str
    display_name: str
    profile: str
    since: float
    starting: bool
    idle_since: float | None


class Spot(NamedTuple):
    """One GPU on the map, or one slice of a divided one. ``number`` is its index on its machine, where it has one.

    ``percent`` is the highest use of a minute.
    """

    uuid: str
    number: int | None
    type: str
    type_name: str
    mig: str
    parent: str
    memory_gib: float | None
    simulated: bool
    healthy: bool
    state: State
    percent: float | None
    hold: Hold | None
    health: tuple[Message, ...] = ()


class Place(NamedTuple):
    """One machine on the map. ``gone``: it held something, and is not there (any more).

    CPUs are handed out ``cpu_overcommit`` times, and ``cpu_free`` counts each as often. Of a moment that is over, and
    of a machine that is gone, nothing free is known (None).
    """

    name: str
    schedulable: bool
    cpu: float | None
    cpu_free: float | None
    memory_gib: float | None
    memory_gib_free: float | None
    spots: tuple[Spot, ...]
    notes: tuple[Message, ...] = ()
    gpu_fault: Message | None = None
    gone: bool = False
    cpu_overcommit: float = 1.0

    @property
    def kind(self) -> str:
        """The names of the types of its GPUs, empty where it has none."""
        return " + ".join(dict.fromkeys(spot.type_name for spot in self.spots if not spot.parent))

    def seen_by(self, viewer: Viewer) -> frozenset[str]:
        """Return the launches here whose holders a person may know."""
        holds = (spot.hold for spot in self.spots if spot.hold is not None)
        return frozenset(one.launch_id for one in holds if viewer.may_know(one.user, one.group))


@dataclass(frozen=True)
class Held:
    """A launch with what it holds where, as the ledger has it."""

    hold: Hold
    gpus: tuple[str, ...]
    gpu_type: str | None
    node: str
    cpu: float
    memory_gib: float


@dataclass(frozen=True)
class Ground:
    """What a map is made of. ``uses`` returns the percent of each GPU of a launch, in the order of those held.

    ``past``: it is about a moment that is over. ``overcommit`` is how many times CPUs are handed out.
    """

    capacity: Capacity
    held: Sequence[Held]
    uses: Callable[[str], Sequence[float | None]]
    types: Mapping[str, GpuTypeSpec] = field(default_factory=dict)
    overcommit: float = 1.0
    past: bool = False


def load_of(percent: float | None) -> Load | None:
    """Return how busy a GPU is, in one word."""
    if percent is None:
        return None
    return "busy" if percent >= BUSY_PERCENT else "light" if percent >= PROOF_PERCENT else "idle"


def make_map(ground: Ground) -> tuple[Place, ...]:
    """Return all machines in the order of the capacity, and those that are gone after them."""
    found: dict[str, tuple[Hold, float | None]] = {}
    by_node: dict[str, list[Held]] = {}
    for one in ground.held:
        uses = ground.uses(one.hold.launch_id)
        known = uses if len(uses) == len(one.gpus) else (None,) * len(one.gpus)
        found.update(zip(one.gpus, ((one.hold, percent) for percent in known), strict=True))
        by_node.setdefault(one.node, []).append(one)
    listed = {gpu.uuid for node in ground.capacity.nodes for gpu in node.gpus}
    places = [_place(node, by_node.pop(node.name, []), found, listed, ground) for node in ground.capacity.nodes]
    gone = (_gone(name, held, found, listed, ground) for name, held in sorted(by_node.items()))
    return (*places, *(place for place in gone if place.spots))


_Found = Mapping[str, tuple[Hold, float | None]]


def _place(node: Node, held: Sequence[Held], found: _Found, listed: Collection[str], ground: Ground) -> Place:
    taken = frozenset[str]() if ground.past else _taken(node, held, found)
    spots = tuple(_spot(gpu, node, found.get(gpu.uuid), taken, ground) for gpu in node.gpus)
    cpu_free = memory_free = None
    if not ground.past:
        cpu_free = max(0.0, (node.cpu - node.cpu_taken) * ground.overcommit - sum(one.cpu for one in held))
        memory_free = max(0.0, node.memory_gib - node.memory_gib_taken - sum(one.memory_gib for one in held))
    return Place(
        name=node.name,
        schedulable=node.schedulable or ground.past,
        cpu=node.cpu,
        cpu_free=cpu_free,
        memory_gib=node.memory_gib,
        memory_gib_free=memory_free,
        spots=(*spots, *_unlisted(held, found, listed, ground)),
        notes=() if ground.past else node.notes,
        gpu_fault=None if ground.past else node.gpu_fault,
        cpu_overcommit=ground.overcommit,
    )


def _gone(name: str, held: Sequence[Held], found: _Found, listed: Collection[str], ground: Ground) -> Place:
    return Place(name, False, None, None, None, None, _unlisted(held, found, listed, ground), gone=True)


def _unlisted(held: Sequence[Held], found: _Found, listed: Collection[str], ground: Ground) -> tuple[Spot, ...]:
    """Return the GPUs that launches hold and no machine lists."""
    missing = ((one, uuid) for one in held for uuid in one.gpus if uuid not in listed)
    return tuple(
        Spot(
            uuid=uuid,
            number=None,
            type=one.gpu_type or "",
            type_name=display_name_of(one.gpu_type, ground.types) if one.gpu_type else "",
            mig="",
            parent="",
            memory_gib=None,
            simulated=False,
            healthy=True,
            state="reserved" if one.hold.starting else "held",
            percent=found[uuid][1],
            hold=one.hold,
        )
        for one, uuid in missing
    )


def _spot(
    gpu: Gpu, node: Node, found: tuple[Hold, float | None] | None, taken: Collection[str], ground: Ground
) -> Spot:
    hold, percent = found or (None, None)
    if hold is not None and percent is None and not ground.past:
        percent = gpu.utilisation
    return Spot(
        uuid=gpu.uuid,
        number=gpu.index,
        type=gpu.type,
        type_name=display_name_of(gpu.type, ground.types),
        mig=gpu.mig,
        parent=gpu.parent,
        memory_gib=gpu.memory_gib,
        simulated=gpu.simulated,
        healthy=gpu.healthy or ground.past,
        state=_state_then(gpu, hold) if ground.past else _state(gpu, node, hold, taken),
        percent=percent,
        hold=hold,
        health=() if ground.past else gpu.health,
    )


def _state(gpu: Gpu, node: Node, hold: Hold | None, taken: Collection[str]) -> State:
    if hold is not None:
        return "reserved" if hold.starting else "held"
    if not gpu.healthy:
        return "sick"
    if gpu.divided:
        return "divided"
    if gpu.uuid in taken:
        return "taken"
    if gpu.busy is not False:
        return "outside" if gpu.busy else "unknown"
    return "free" if node.schedulable else "closed"


def _state_then(gpu: Gpu, hold: Hold | None) -> State:
    return "held" if hold is not None else "divided" if gpu.divided else "unheld"


def _taken(node: Node, held: Sequence[Held], found: _Found) -> frozenset[str]:
    """Return as many of a node's slots that nobody holds as are not to be had, the last ones."""
    if not node.counted:
        return frozenset()
    taken: set[str] = set()
    counts = Counter(one.gpu_type for one in held for _ in one.gpus)
    usage = Usage({f"{GPU_PREFIX}{gpu_type}": to_micro(count) for gpu_type, count in counts.items()})
    for gpu_type, gpus in node.usable.items():
        unheld = [gpu.uuid for gpu in gpus if gpu.uuid not in found]
        taken.update(unheld[free_count(node, gpu_type, len(unheld), usage) :])
    return frozenset(taken)


def counts_of(places: Iterable[Place]) -> dict[State, int]:
    """Return how many GPUs are in each state; of a divided one its slices count, and not the whole."""
    counts = Counter(spot.state for place in places for spot in place.spots)
    return {state: counts[state] for state in STATES if state != "divided"}
