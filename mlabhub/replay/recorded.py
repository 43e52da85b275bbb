"""What an installation recorded, as a workload: who asked for what, when, and for how long it ran.

Guarantees: pure. One request is one launch, however often it was taken back before it could end: it counts from when it
was first asked for, with the time of its last run. What ran when the time begins is there from the beginning, with what
was left of it. Nothing is made up: who left the queue before their turn, or waits still, has no length that anybody
knows, and is counted and left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from mlabhub.messages import N_, Message
from mlabhub.replay.model import Node, Request, Workload

LEFT_OUT = N_(
    "{count} requests left the queue, were refused or wait still; how long they would have run is not known, and they "
    "are left out."
)
STILL_RUN = N_("{count} servers run still; they count with the time that they have run until now.")
SPLIT = N_("{count} machines have GPUs of several types; each type counts as a machine of its own, with its part.")
NOTHING = N_("Nothing that ran then is recorded.")


@dataclass(frozen=True, slots=True)
class Ran:
    """A launch that ran. Times are seconds since the epoch; ``ended`` is None while it runs.

    ``came`` is when it was first asked for, ``gpu_type`` what was asked for (None: any). ``again_of`` is the launch
    that was taken back and that it goes on for, empty if there is none.
    """

    launch_id: str
    user: str
    group: str | None
    profile: str
    gpu_type: str | None
    gpus: int
    cpu: float
    memory_gib: float
    came: float
    started: float
    ended: float | None
    priority: int = 0
    again_of: str = ""


@dataclass(frozen=True)
class Recorded:
    """A workload that was recorded, and what is to be known of it."""

    workload: Workload
    left_out: int
    running: int
    split: int

    @property
    def notes(self) -> tuple[Message, ...]:
        """Say what is not as it was."""
        told = ((LEFT_OUT, self.left_out), (STILL_RUN, self.running), (SPLIT, self.split))
        notes = [Message.of(text, count=count) for text, count in told if count]
        return tuple(notes) if self.workload.requests else (Message(NOTHING), *notes)


@dataclass(frozen=True)
class Site:
    """A machine as it is now: its GPUs by type."""

    name: str
    cpu: float
    memory_gib: float
    gpus: Mapping[str, int]


def make_workload(
    ran: Iterable[Ran], sites: Iterable[Site], since: float, until: float, now: float, left_out: int = 0
) -> Recorded:
    """Return what came, or ran, from ``since`` until ``until`` as a workload on the machines that there are."""
    machines = tuple(sites)
    launches = [one for one in ran if one.came < until and (one.ended is None or one.ended > since)]
    goes_on = {one.again_of for one in launches}
    kept = [one for one in launches if one.launch_id not in goes_on]
    requests = sorted((_request(one, since, now) for one in kept), key=lambda one: (one.t, one.id))
    nodes = tuple(node for one in machines for node in nodes_of(one))
    running = sum(one.ended is None for one in kept)
    return Recorded(Workload(nodes, tuple(requests)), left_out, running, sum(len(one.gpus) > 1 for one in machines))


def nodes_of(site: Site) -> tuple[Node, ...]:
    """Return a machine as the nodes of a workload, which have GPUs of one type each."""
    types = {gpu_type: count for gpu_type, count in sorted(site.gpus.items()) if count}
    if len(types) < 2:
        gpu_type = next(iter(types), None)
        return (Node(site.name, gpu_type, sum(types.values()), site.cpu, site.memory_gib),)
    whole = sum(types.values())
    one = Node(site.name, None, 0, site.cpu, site.memory_gib)
    return tuple(
        replace(
            one,
            name=f"{site.name} ({gpu_type})",
            gpu_type=gpu_type,
            gpus=count,
            cpu=site.cpu * count / whole,
            memory_gib=site.memory_gib * count / whole,
        )
        for gpu_type, count in types.items()
    )


def _request(one: Ran, since: float, now: float) -> Request:
    ended = max(one.started, now) if one.ended is None else one.ended
    return Request(
        t=max(one.came, since),
        id=one.launch_id,
        user=one.user,
        group=one.group,
        gpu_type=one.gpu_type if one.gpus else None,
        gpus=one.gpus,
        cpu=one.cpu,
        memory_gib=one.memory_gib,
        duration_s=max(0.0, ended - max(one.started, since)),
        interactive=True,
        profile=one.profile,
        priority=one.priority,
    )
