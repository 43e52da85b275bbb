"""The map as JSON: what ``GET gpus/map`` answers, machine by machine."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from mlabhub.core.gpu_map import Load, Place, Spot, State, load_of
from mlabhub.messages import Message
from mlabhub.service.cluster_map.drawing import View
from mlabhub.service.json_views import to_json


@dataclass(frozen=True)
class MapGpu:
    """One GPU on the map. What is told of its holder is null for those who may not know them, its use with it.

    ``utilisation`` (percent) is the highest of a minute, ``load`` the same in a word: ``busy`` from 50 on, ``light``
    from 10 on, else ``idle``; null where it is not known. ``idle_since`` is since when its server counts as idle.
    ``state``: ``held``, ``reserved`` (for a server that starts), ``free``, ``closed`` (the machine takes no new
    servers), ``sick``, ``outside`` (used from outside of the hub), ``unknown`` (nobody can tell whether it is),
    ``taken`` (by pods that are not this hub's), ``divided`` (its slices stand for it), ``unheld`` (not held then).
    """

    uuid: str
    index: int | None
    type: str
    type_name: str
    mig: str
    parent: str
    memory_gib: float | None
    simulated: bool
    healthy: bool
    health: tuple[Message, ...]
    state: State
    utilisation: float | None = None
    load: Load | None = None
    user: str | None = None
    server_name: str | None = None
    display_name: str | None = None
    group: str | None = None
    profile: str | None = None
    since: float | None = None
    idle_since: float | None = None


@dataclass(frozen=True)
class MapNode:
    """One machine on the map. ``gone``: it held something, and is not there any more. Null is not known.

    CPUs are handed out ``cpu_overcommit`` times, so that ``cpu_free`` may be more than ``cpu``.
    """

    name: str
    schedulable: bool
    gone: bool
    cpu: float | None
    cpu_free: float | None
    cpu_overcommit: float
    memory_gib: float | None
    memory_gib_free: float | None
    notes: tuple[Message, ...]
    gpu_fault: Message | None
    gpus: tuple[MapGpu, ...]


def make_node(place: Place, seen: Collection[str] | None) -> MapNode:
    """Return a machine for those who may know the holders of the launches ``seen``, None for all."""
    return MapNode(
        name=place.name,
        schedulable=place.schedulable,
        gone=place.gone,
        cpu=place.cpu,
        cpu_free=place.cpu_free,
        cpu_overcommit=place.cpu_overcommit,
        memory_gib=place.memory_gib,
        memory_gib_free=place.memory_gib_free,
        notes=place.notes,
        gpu_fault=place.gpu_fault,
        gpus=tuple(_gpu(spot, seen) for spot in place.spots),
    )


def _gpu(spot: Spot, seen: Collection[str] | None) -> MapGpu:
    about = (spot.uuid, spot.number, spot.type, spot.type_name, spot.mig, spot.parent, spot.memory_gib)
    known = (*about, spot.simulated, spot.healthy, spot.health, spot.state)
    hold = spot.hold
    if hold is None or not (seen is None or hold.launch_id in seen):
        return MapGpu(*known)
    return MapGpu(
        *known,
        utilisation=spot.percent,
        load=load_of(spot.percent),
        user=hold.user,
        server_name=hold.server,
        display_name=hold.display_name,
        group=hold.group,
        profile=hold.profile,
        since=hold.since,
        idle_since=hold.idle_since,
    )


class JsonPen:
    """Draws machines as JSON."""

    key = "json"
    form = None

    def draw(self, place: Place, seen: Collection[str] | None) -> str:
        """Return a machine."""
        return to_json(make_node(place, seen)).decode()

    def compose(self, view: View) -> bytes:
        """Return the answer of ``GET gpus/map``."""
        tick = view.tick
        head = to_json({"made": tick.made, "at": tick.past, "gpus": tick.counts}).decode()
        return f'{head[:-1]},"nodes":[{",".join(one.text for one in view.drawn)}]}}'.encode()
