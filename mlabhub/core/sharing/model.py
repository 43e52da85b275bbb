"""What the rules of sharing are told, and what they answer.

Guarantees: values alone; amounts of CPU and memory are millionths of cores and GiB, so that sums are exact; times are
seconds since any epoch, the same for all of one scene. Live scenes and replayed ones are made of the same things.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mlabhub.core.quotas import Quotas
from mlabhub.core.units import CPU, GPU, GPU_PREFIX, MEMORY, SERVERS, to_micro

ONE = to_micro(1)


@dataclass(frozen=True, slots=True)
class Ask:
    """What one server takes. ``gpu_type`` None: any type will do, or it needs no GPU."""

    gpus: int
    gpu_type: str | None
    cpu: int
    memory: int
    profile: str = ""

    def vector(self, gpu_type: str | None = None) -> dict[str, int]:
        """Return the amounts in millionths, keyed as in quotas; ``gpu_type`` is what it was placed on."""
        vector = {CPU: self.cpu, MEMORY: self.memory, SERVERS: ONE}
        if self.gpus:
            vector[GPU] = self.gpus * ONE
            if (found := self.gpu_type or gpu_type) is not None:
                vector[GPU_PREFIX + found] = self.gpus * ONE
        return vector


@dataclass(frozen=True, slots=True)
class Waiter:
    """Somebody who waits. ``since`` survives a reclaim, ``reclaims`` counts those of this request.

    It is not looked at before ``not_before``. ``machines`` are those it may run on, None for all: GPUs chosen by id.
    Of one person's, those of higher ``priority`` come first. Nobody is told anew to give back for who may not ``ask``.
    """

    id: str
    user: str
    group: str | None
    ask: Ask
    since: float
    priority: int = 0
    reclaims: int = 0
    not_before: float = 0.0
    machines: frozenset[str] | None = None
    may_ask: bool = True


@dataclass(frozen=True, slots=True)
class Notice:
    """A borrower was told at ``at`` to give back until ``deadline``; ``waiter`` is for whom."""

    at: float
    deadline: float
    waiter: str


@dataclass(frozen=True, slots=True)
class Run:
    """Something that runs; ``ask.gpu_type`` is the type that it got.

    ``ends_by`` is when it ends at the latest, where its profile has a longest duration; ``idle_since`` when it was last
    used, where that is known. What is not ``reclaimable`` is never taken back. ``notice_s`` is how long before it is
    told. What is ``ending`` was told to stop already, and still counts.
    """

    id: str
    user: str
    group: str | None
    ask: Ask
    machine: str
    started: float
    notice_s: float
    reclaims: int = 0
    notice: Notice | None = None
    ends_by: float | None = None
    idle_since: float | None = None
    reclaimable: bool = True
    ending: bool = False


@dataclass(frozen=True, slots=True)
class Machine:
    """A node: what is free on it now, and what it has in all that may be handed out.

    ``free_cpu`` may be promised several times over; one server never gets more than ``most_cpu``. A machine that is not
    ``open`` gets nothing new. From ``closes`` on there is maintenance. ``profiles`` None: of every profile but
    ``exceptions``.
    """

    name: str
    gpus: Mapping[str, int]
    cpu: int
    memory: int
    free_gpus: Mapping[str, int]
    free_cpu: int
    free_memory: int
    most_cpu: int
    open: bool = True
    closes: float | None = None
    profiles: frozenset[str] | None = None
    exceptions: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Start:
    """Let a waiter start on a machine; ``borrowed``: beyond its group's guarantee, so that it may be taken back."""

    waiter: str
    machine: str
    gpu_type: str | None
    borrowed: bool


@dataclass(frozen=True, slots=True)
class NewNotice:
    """Tell a run to give back until ``deadline``, for a waiter."""

    run: str
    deadline: float
    waiter: str


@dataclass(frozen=True, slots=True)
class Claim:
    """Room on a machine that is kept for a waiter, as long as it waits."""

    waiter: str
    machine: str
    gpu_type: str | None
    gpus: int
    cpu: int
    memory: int


@dataclass(frozen=True)
class Round:
    """What is to be done now; the order within each part is the order of doing it.

    ``reclaims`` are runs whose notice has passed and that end now; their waiters start in a round after that.
    ``withdrawn`` are runs whose notice is taken back. ``claims`` keep room for those who were promised it. ``kept`` is
    how many GPUs of each type are not lent, beyond the claims. ``blocked`` says of each waiter that stays, in a word,
    what it waits for: ``limit`` (of its group), ``cap`` (its person's), ``room``, ``claimed`` (the room is promised to
    others), ``reserve`` (what is free is not lent), ``backoff``, ``maintenance``, ``restrained`` (others would have to
    give back, and are not told).
    """

    starts: tuple[Start, ...] = ()
    notices: tuple[NewNotice, ...] = ()
    withdrawn: tuple[str, ...] = ()
    reclaims: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()
    kept: Mapping[str, int] = field(default_factory=dict)
    blocked: Mapping[str, str] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    """Those who stay, next first: their positions."""


@dataclass(frozen=True)
class Scene:
    """All that a round is decided on."""

    machines: Sequence[Machine]
    runs: Sequence[Run]
    waiters: Sequence[Waiter]
    quotas: Quotas
    now: float
