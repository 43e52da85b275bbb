"""A pod as the cluster tells of it, read without trust in what is there.

Guarantees: pure; what is absent, or of another type than it should be, reads as nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mlabhub.cluster import labels
from mlabhub.core.quote import plain, quote_all
from mlabhub.core.units import parse_memory_gib
from mlabhub.messages import N_, Message

Json = Mapping[str, Any]
MOST_PLACES = 3


def at(data: object, *path: str) -> Any:
    """Return what is at a path of names; None where there is nothing."""
    for name in path:
        data = data.get(name) if isinstance(data, Mapping) else None
    return data


def items_at(data: object, *path: str) -> list[Json]:
    """Return the objects of the list at a path."""
    found = at(data, *path)
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, Sequence) else []


@dataclass(frozen=True)
class Container:
    """One container: its name, how it is, and how it was before its last start."""

    name: str
    image: str
    initial: bool
    status: Json

    @property
    def waiting(self) -> Json | None:
        """Why it does not run yet."""
        return at(self.status, "state", "waiting")

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return at(self.status, "state", "running") is not None

    @property
    def terminated(self) -> Json | None:
        """How it ended, the last time if it was started again."""
        return at(self.status, "state", "terminated") or at(self.status, "lastState", "terminated")

    @property
    def restarts(self) -> int:
        """How often it was started again."""
        count = self.status.get("restartCount")
        return count if isinstance(count, int) else 0


@dataclass(frozen=True)
class PodView:
    """One pod."""

    data: Json

    @property
    def name(self) -> str:
        """Its name."""
        return str(at(self.data, "metadata", "name") or "")

    @property
    def uid(self) -> str:
        """What no other pod has."""
        return str(at(self.data, "metadata", "uid") or "")

    @property
    def instance(self) -> str:
        """The label of the installation that made it."""
        return str(at(self.data, "metadata", "labels", labels.INSTANCE) or "")

    @property
    def launch(self) -> str:
        """The label of the launch that it was made for."""
        return str(at(self.data, "metadata", "labels", labels.LAUNCH) or "")

    @property
    def node(self) -> str:
        """The node that it was given; empty before."""
        return str(at(self.data, "spec", "nodeName") or "")

    @property
    def phase(self) -> str:
        """Where it is in its life."""
        return str(at(self.data, "status", "phase") or "")

    @property
    def reason(self) -> str:
        """Why it ended, if the cluster ended it."""
        return str(at(self.data, "status", "reason") or "")

    @property
    def text(self) -> str:
        """What the cluster says to that."""
        return str(at(self.data, "status", "message") or "")

    @property
    def ending(self) -> bool:
        """Whether somebody has asked for its end."""
        return bool(at(self.data, "metadata", "deletionTimestamp"))

    def condition(self, kind: str) -> Json:
        """Return a condition; empty if it has none of this kind."""
        return next((one for one in items_at(self.data, "status", "conditions") if one.get("type") == kind), {})

    @cached_property
    def containers(self) -> tuple[Container, ...]:
        """All containers, those that prepare the server first."""
        return (*self._containers("initContainer", True), *self._containers("container", False))

    def _containers(self, kind: str, initial: bool) -> Iterator[Container]:
        states = {str(one.get("name")): one for one in items_at(self.data, "status", f"{kind}Statuses")}
        for one in items_at(self.data, "spec", f"{kind}s"):
            name = str(one.get("name", ""))
            yield Container(name, str(one.get("image", "")), initial, states.get(name, {}))

    @cached_property
    def claims(self) -> tuple[str, ...]:
        """The names of its claims."""
        names = (at(one, "persistentVolumeClaim", "claimName") for one in items_at(self.data, "spec", "volumes"))
        return tuple(dict.fromkeys(str(name) for name in names if name))

    @property
    def mounts_something(self) -> bool:
        """Whether it has a volume that is not just made for it on its node."""
        kinds = ("persistentVolumeClaim", "nfs", "csi", "hostPath", "cephfs", "rbd", "iscsi", "fc")
        return any(one.get(kind) is not None for one in items_at(self.data, "spec", "volumes") for kind in kinds)

    def places(self, volume: str | None = None, claim: str | None = None) -> Message | str:
        """Say where a volume or a claim of it is mounted; of one that is not known, all that is not the node's own."""
        names = [str(one.get("name")) for one in items_at(self.data, "spec", "volumes") if _is(one, volume, claim)]
        if not names:
            names = [
                str(one.get("name"))
                for one in items_at(self.data, "spec", "volumes")
                if at(one, "persistentVolumeClaim") is not None
            ]
        paths = [
            str(mount.get("mountPath"))
            for one in items_at(self.data, "spec", "containers")
            for mount in items_at(one, "volumeMounts")
            if mount.get("name") in names
        ]
        if paths:
            return quote_all(dict.fromkeys(paths), MOST_PLACES)
        return Message.of(N_("the volume {name}"), name=plain(volume or claim or "-"))

    def memory_gib(self, container: str) -> float | None:
        """Return how much memory a container may use; None if nothing limits it."""
        for one in [*items_at(self.data, "spec", "containers"), *items_at(self.data, "spec", "initContainers")]:
            limit = at(one, "resources", "limits", "memory")
            if one.get("name") == container and limit is not None:
                return _gib(str(limit))
        return None


def _is(volume: Json, name: str | None, claim: str | None) -> bool:
    if name is not None:
        return volume.get("name") == name
    return claim is not None and at(volume, "persistentVolumeClaim", "claimName") == claim


def _gib(quantity: str) -> float | None:
    try:
        if quantity.isdigit():
            return int(quantity) / 2**30
        return parse_memory_gib(quantity)
    except ValueError:
        return None


def event_count(event: Json) -> int:
    """Return how often what an event says has happened."""
    count = event.get("count") or at(event, "series", "count")
    return count if isinstance(count, int) else 1
