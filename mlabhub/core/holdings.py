"""Who holds what, indexed so that one decision among thousands of servers costs the same as among ten.

Guarantees: every active state counts (`pending`, `held`, `stopping`, `unknown`); adding the same holding twice counts
it once; a GPU has at most one holder; sums are exact, in whatever order holdings came and went. Adding, removing and
every question take a time that does not grow with the number of holdings, but for those that list some of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, KeysView, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from mlabhub.core.capacity import Node
from mlabhub.core.units import amounts, from_micro, to_micro
from mlabhub.errors import MLabError

State = Literal["pending", "held", "stopping", "unknown", "released"]
ACTIVE_STATES: frozenset[str] = frozenset({"pending", "held", "stopping", "unknown"})


@dataclass(frozen=True)
class Holding:
    """What one server holds. ``gpu_type`` is the type of its GPUs as they were placed."""

    user: str
    server: str
    launch_id: str
    group: str | None
    cpu: float
    memory_gib: float
    gpu_type: str | None
    gpus: tuple[str, ...]
    node: str | None
    state: str = "held"

    @property
    def amounts(self) -> dict[str, float]:
        """The vector of resources, as in quotas."""
        return amounts(self.cpu, self.memory_gib, self.gpu_type, len(self.gpus))


@dataclass
class Usage:
    """A sum of resource vectors, the launches it is made of, and each user's part of it."""

    micro: dict[str, int] = field(default_factory=dict)
    launches: dict[str, None] = field(default_factory=dict)
    by_user: dict[str, dict[str, int]] = field(default_factory=dict)

    def get(self, resource: str) -> int:
        """Return the amount in millionths."""
        return self.micro.get(resource, 0)

    def change(self, holding: Holding, vector: Mapping[str, int], sign: int) -> None:
        """Add (1) or take away (-1) one launch."""
        for resource, amount in vector.items():
            self.micro[resource] = self.micro.get(resource, 0) + sign * amount
            parts = self.by_user.setdefault(resource, {})
            parts[holding.user] = parts.get(holding.user, 0) + sign * amount
            if not parts[holding.user]:
                del parts[holding.user]
        if sign > 0:
            self.launches[holding.launch_id] = None
        else:
            self.launches.pop(holding.launch_id, None)

    def holders(self, resource: str) -> dict[str, float]:
        """Return who holds how much of a resource."""
        return {user: from_micro(part) for user, part in self.by_user.get(resource, {}).items()}

    def as_amounts(self) -> dict[str, float]:
        """Return the amounts, without those that are zero."""
        return {resource: from_micro(amount) for resource, amount in self.micro.items() if amount}


@dataclass
class Kept:
    """What somebody computed from the holdings on all nodes, and the nodes on which these changed since."""

    value: Any
    stale: set[str] = field(default_factory=set)


_NOTHING = Usage()


class Holdings:
    """The active holdings of an installation. ``kept`` is for what is computed from all of them, by whoever does."""

    def __init__(self, holdings: Iterable[Holding] = ()) -> None:
        self._by_launch: dict[str, Holding] = {}
        self._by_server: dict[tuple[str, str], str] = {}
        self._by_gpu: dict[str, str] = {}
        self._groups: dict[str, Usage] = {}
        self._users: dict[str, Usage] = {}
        self._nodes: dict[str, Usage] = {}
        self._notes: dict[str, dict[Any, Any]] = {}
        self._noted_gpus: dict[str, str] = {}
        self.kept: dict[Any, Kept] = {}
        for holding in holdings:
            self.add(holding)

    def __len__(self) -> int:
        return len(self._by_launch)

    def __iter__(self) -> Iterator[Holding]:
        return iter(self._by_launch.values())

    def __contains__(self, launch_id: object) -> bool:
        return launch_id in self._by_launch

    def add(self, holding: Holding) -> None:
        """Count a holding, or take over its new state if it is counted already; one that is released is removed.

        Raises
        ------
        MLabError
            One of its GPUs has another holder, or the same launch is held with other amounts: a fault of ours.
        """
        if holding.state not in ACTIVE_STATES:
            self.remove(holding.launch_id)
            return
        known = self._by_launch.get(holding.launch_id)
        if known is not None:
            if replace(known, state=holding.state) != holding:
                raise MLabError(f"The launch {holding.launch_id} is held already, with other amounts.")
            self._by_launch[holding.launch_id] = holding
            return
        self._check_gpus(holding)
        self._by_launch[holding.launch_id] = holding
        self._by_server[holding.user, holding.server] = holding.launch_id
        for uuid in holding.gpus:
            self._by_gpu[uuid] = holding.launch_id
        self._change(holding, 1)

    def remove(self, launch_id: str) -> Holding | None:
        """Stop counting a launch; return what it held, or None if it was not counted."""
        holding = self._by_launch.pop(launch_id, None)
        if holding is None:
            return None
        if self._by_server.get((holding.user, holding.server)) == launch_id:
            del self._by_server[holding.user, holding.server]
        for uuid in holding.gpus:
            del self._by_gpu[uuid]
        self._change(holding, -1)
        return holding

    def get(self, launch_id: str) -> Holding | None:
        """Return what a launch holds."""
        return self._by_launch.get(launch_id)

    def of_server(self, user: str, server: str) -> Holding | None:
        """Return what a user's server of this name holds."""
        launch_id = self._by_server.get((user, server))
        return None if launch_id is None else self._by_launch[launch_id]

    def holder_of(self, uuid: str) -> Holding | None:
        """Return who holds a GPU."""
        launch_id = self._by_gpu.get(uuid)
        return None if launch_id is None else self._by_launch[launch_id]

    def is_free(self, uuid: str) -> bool:
        """Whether nobody holds a GPU."""
        return uuid not in self._by_gpu

    @property
    def gpus(self) -> KeysView[str]:
        """Every GPU that is held."""
        return self._by_gpu.keys()

    def group(self, group: str) -> Usage:
        """Return what a group's members hold on its account."""
        return self._groups.get(group, _NOTHING)

    def user(self, user: str) -> Usage:
        """Return what a user holds."""
        return self._users.get(user, _NOTHING)

    def node(self, node: str) -> Usage:
        """Return what is held on a node."""
        return self._nodes.get(node, _NOTHING)

    def notes(self, node: Node) -> dict[Any, Any]:
        """Return where to keep what was computed from the holdings on a node: it is empty again when they change."""
        notes = self._notes.get(node.name)
        if notes is None:
            notes = self._notes[node.name] = {}
            self._noted_gpus.update((gpu.uuid, node.name) for gpu in node.gpus)
        return notes

    def holdings_of(self, usage: Usage) -> Iterator[Holding]:
        """Return the holdings that a usage is made of, oldest first."""
        return (self._by_launch[launch_id] for launch_id in usage.launches)

    def _check_gpus(self, holding: Holding) -> None:
        if len(set(holding.gpus)) != len(holding.gpus):
            raise MLabError(f"The launch {holding.launch_id} lists a GPU twice.")
        for uuid in holding.gpus:
            if uuid in self._by_gpu:
                raise MLabError(f"The GPU {uuid} would be held twice: by {self._by_gpu[uuid]} and {holding.launch_id}.")

    def _change(self, holding: Holding, sign: int) -> None:
        nodes = {holding.node or "", *(self._noted_gpus.get(uuid, "") for uuid in holding.gpus)}
        for node in nodes:
            self._notes.pop(node, None)
        for kept in self.kept.values():
            kept.stale |= nodes
        vector = {resource: to_micro(amount) for resource, amount in holding.amounts.items()}
        keys = ((self._users, holding.user), (self._groups, holding.group), (self._nodes, holding.node))
        for usages, key in keys:
            if key is None:
                continue
            usage = usages.setdefault(key, Usage())
            usage.change(holding, vector, sign)
            if not usage.launches:
                del usages[key]
