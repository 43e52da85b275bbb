"""What must be so at every moment, whatever happened: looked at after each step, on accounts of the simulator's own.

The accounts are kept from what was committed and from what the machines run, never from what the service believes.
A launch counts for its group from the commit that admits it; what machines and quotas were is remembered a while, as
the service may decide on what was so some moments ago.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mlabhub.core.capacity import Node
from mlabhub.core.quota_changes import effective
from mlabhub.core.quotas import Quotas
from mlabhub.ledger import AuditEntry, QueueEntry, QuotaChange, ReclaimNotice, Record, Reservation

OLD_S = 75.0
"""As long ago as what a decision stands on may be: capacity that is asked for every 10 s, of slow machines."""
EPSILON = 1e-6
OVER = ("left", "refused", "given_back", "claimed")


@dataclass
class Told:
    """A notice: when it was given by the steady clock, how long it was, and how far the wall clock went ahead since."""

    notice: ReclaimNotice
    at: float
    ahead: float
    life: int


@dataclass
class Accounts:
    """What is known for sure. ``now`` and ``wall`` are the steady and the wall clock."""

    configured: Quotas
    waits_again: bool = True
    reservations: dict[str, Reservation] = field(default_factory=dict)
    entries: dict[str, QueueEntry] = field(default_factory=dict)
    changes: dict[str, QuotaChange] = field(default_factory=dict)
    told: dict[str, Told] = field(default_factory=dict)
    active: dict[str, Reservation] = field(default_factory=dict)
    servers: dict[tuple[str, str], str] = field(default_factory=dict)
    holders: dict[str, str] = field(default_factory=dict)
    ran: set[str] = field(default_factory=set)
    accepted: dict[str, str] = field(default_factory=dict)
    nodes: list[tuple[float, Mapping[str, Node]]] = field(default_factory=list)
    running: dict[str, tuple[str, tuple[str, ...], float, float]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    now: float = 0.0
    wall: float = 0.0
    ahead: float = 0.0
    life: int = 0
    broken: str = ""
    to_follow: list[str] = field(default_factory=list)
    """What was taken back, and is to wait again."""
    walls: list[tuple[float, float]] = field(default_factory=list)
    """When the wall clock was set by how much: what was decided just before then was so by the other time."""

    # -- what is committed

    def commit(self, records: Iterable[Record]) -> None:
        """Take over what became durable."""
        records = tuple(records)
        reclaimed = {one.launch_id for one in records if isinstance(one, AuditEntry) and one.act == "reclaim"}
        for record in records:
            if isinstance(record, Reservation):
                self._reservation(record, reclaimed)
            elif isinstance(record, QueueEntry):
                self._entry(record)
            elif isinstance(record, QuotaChange):
                self.changes[record.change_id] = record
                self.counts["quota changes"] += 1
            elif isinstance(record, ReclaimNotice):
                self._notice(record)
        for record in records:
            if isinstance(record, QueueEntry) and record.state == "started":
                one = self.reservations.get(record.launch_id)
                self.must(one is not None and one.active, f"{record.launch_id} started from the queue with nothing")

    def _reservation(self, one: Reservation, reclaimed: set[str]) -> None:
        before = self.reservations.get(one.launch_id)
        self.reservations[one.launch_id] = one
        if not one.active:
            self._forget(one)
            return
        if before is not None and not before.active:
            taken = before.redeemed is not None and one.state == "pending"
            self.must(not taken, f"{one.launch_id} was given to a spawner once, and is given away again")
        if one.launch_id in reclaimed:
            self._reclaim(one)
        name, key = (one.user, one.server), self.active.get(one.launch_id)
        self.must(self.servers.get(name, one.launch_id) == one.launch_id, f"two launches of {name}")
        if key is not None and (key.gpus, key.node) != (one.gpus, one.node):
            self._forget(key)
        for uuid in one.gpus:
            holder = self.holders.setdefault(uuid, one.launch_id)
            self.must(holder == one.launch_id, f"{uuid} is given to {one.launch_id} and {holder}")
        self.servers[name] = one.launch_id
        self.active[one.launch_id] = one
        if (before is None or not before.active) and one.state == "pending":
            self.counts["starts"] += 1
            self._admitted(one)

    def _forget(self, one: Reservation) -> None:
        known = self.active.pop(one.launch_id, None)
        if known is None:
            return
        self.servers.pop((known.user, known.server), None)
        for uuid in known.gpus:
            self.holders.pop(uuid, None)

    def _admitted(self, one: Reservation) -> None:
        """A new launch keeps its group within its limit, its person within caps, its node within what there is."""
        moments = self._moments(one.created)
        for name, mine in ((one.group, self._of_group(one.group)), (one.user, self._of_user(one.user))):
            allowed = [self._limits(one, name, moment) for moment in moments]
            touched = _sum((one,))  # what it does not take may be beyond a limit that was lowered
            good = any(
                all(mine[key] <= most + EPSILON for key, most in limit.items() if touched[key]) for limit in allowed
            )
            self.must(good, f"{one.launch_id} brings {name} to {dict(mine)}, beyond {allowed}")
        used: Counter[str] = Counter()
        for other in self.active.values():
            if other.node == one.node:
                used.update({"gpu": len(other.gpus), "cpu": other.cpu, "memory": other.memory_gib})  # type: ignore[dict-item]
        overcommit = self.configured.cpu_overcommit
        good = any(
            node.schedulable
            and used["cpu"] <= node.cpu * overcommit + EPSILON
            and used["memory"] <= node.memory_gib + EPSILON
            and {gpu.uuid for gpu in node.gpus if gpu.usable} >= set(one.gpus)
            for nodes in self._recent_nodes()
            if (node := nodes.get(one.node)) is not None
        )
        self.must(good, f"{one.launch_id} brings {one.node} to {dict(used)}, or it takes nothing new")
        windows = [(at, self.configured.maintenance_of(one.node, at)) for at in (*moments, one.created - OLD_S)]
        begun = all(window is not None and window.start <= at for at, window in windows)
        self.must(not begun, f"{one.launch_id} starts on {one.node} in its maintenance")

    def _moments(self, at: float) -> set[float]:
        """Return the times by the wall clock by which something may have been decided that is durable now."""
        return {at, self.wall, *(self.wall - by for when, by in self.walls if when > self.now - OLD_S)}

    def _limits(self, one: Reservation, name: str | None, moment: float) -> Mapping[str, float]:
        quotas = effective(self.configured, tuple(self.changes.values()), moment)
        return quotas.user_limit(one.user, one.group) if name == one.user else quotas.group_limit(name)

    def _of_group(self, group: str | None) -> Counter[str]:
        return _sum(one for one in self.active.values() if one.group == group)

    def _of_user(self, user: str) -> Counter[str]:
        return _sum(one for one in self.active.values() if one.user == user)

    def _recent_nodes(self) -> Iterable[Mapping[str, Node]]:
        for at, nodes in reversed(self.nodes):
            yield nodes
            if at < self.now - OLD_S:
                return

    def _entry(self, entry: QueueEntry) -> None:
        before = self.entries.get(entry.launch_id)
        if before is None:
            self.counts["waited"] += 1
            self.must(entry.state == "waiting", f"{entry.launch_id} came into the queue as {entry.state}")
        elif before.state in OVER:
            self.must(entry.state == before.state, f"{entry.launch_id} was {before.state}, and is {entry.state}")
        if entry.state in ("left", "refused", "given_back"):
            self.must(entry.reason is not None, f"{entry.launch_id} ended without a reason")
        self.entries[entry.launch_id] = entry

    # -- what is taken back

    def _notice(self, notice: ReclaimNotice) -> None:
        if notice.state != "given":
            return
        self.counts["notices"] += 1
        known = self.told.get(notice.launch_id)
        if known is None or known.notice.at != notice.at:
            self.told[notice.launch_id] = Told(notice, self.now, self.ahead, self.life)

    def _reclaim(self, one: Reservation) -> None:
        """Nobody gives back before their notice is over, nor from a group within its guarantee."""
        self.counts["reclaims"] += 1
        told = self.told.pop(one.launch_id, None)
        if told is None:
            self.must(False, f"{one.launch_id} is taken back without a notice")
            return
        passed = self.now - told.at
        if told.life != self.life:  # another service knows only what the wall clock says
            passed += self.ahead - told.ahead
        if self.waits_again and one.origin != "adopted":
            self.to_follow.append(one.launch_id)
        length = self.configured.notice_seconds
        self.must(
            passed >= length - EPSILON, f"{one.launch_id} is taken back {passed} s after it was told, not {length}"
        )
        self.must(one.reclaims < self.configured.max_reclaims, f"{one.launch_id} is taken back again and again")
        used = _sum(other for other in self.active.values() if other.group == one.group and not self._gone(other, one))
        for moment in self._moments(one.changed):
            group = effective(self.configured, tuple(self.changes.values()), moment).groups.get(one.group or "")
            sure = group.guaranteed if group is not None else {}
            keys = ["gpu", *(key for key in (f"gpu:{one.gpu_type}",) if key in sure)]
            if all(used[key] > sure.get(key, 0) for key in keys):
                return
        self.must(False, f"{one.launch_id} is taken back, but {one.group} is within its guarantee: {dict(used)}")

    def _gone(self, other: Reservation, one: Reservation) -> bool:
        return other.state == "stopping" and other.launch_id != one.launch_id

    # -- what runs

    def runs(self, launch_id: str, node: Node, gpus: tuple[str, ...], cpu: float, memory_gib: float) -> None:
        """A server begins to run: once, on GPUs of its own, on a node with room, for a launch that counts."""
        self.must(launch_id not in self.ran, f"{launch_id} started twice")
        self.ran.add(launch_id)
        for other, (_, theirs, _, _) in self.running.items():
            self.must(not set(theirs) & set(gpus), f"{launch_id} and {other} run with the same GPU")
        self.running[launch_id] = (node.name, gpus, cpu, memory_gib)
        here = [one for one in self.running.values() if one[0] == node.name]
        sums = sum(one[2] for one in here), sum(one[3] for one in here)
        self.must(sums[0] <= node.cpu * self.configured.cpu_overcommit + EPSILON, f"{node.name} runs {sums[0]} CPU")
        self.must(sums[1] <= node.memory_gib + EPSILON, f"{node.name} runs {sums[1]} GiB")
        one = self.reservations.get(launch_id)
        self.must(one is not None and one.active, f"{launch_id} runs, and nothing counts it")
        assert one is not None
        self.must(one.gpus == gpus and one.node == node.name, f"{launch_id} runs elsewhere than it counts")
        of_group = Counter(other.group for key in self.running if (other := self.reservations.get(key)) is not None)
        self.counts["most at once"] = max(self.counts["most at once"], sum(of_group.values()))

    def ends(self, launch_id: str) -> None:
        """A server is gone."""
        self.running.pop(launch_id, None)

    def knows(self, launch_id: str) -> None:
        """Somebody was told that a launch starts or waits: from now on it is never lost."""
        self.accepted[launch_id] = "told"
        known = launch_id in self.reservations or launch_id in self.entries
        self.must(known, f"{launch_id} was answered, and is not durable")

    def must(self, good: bool, sentence: str) -> None:
        """Note the first thing that is not so. It is not raised here: the service would take it for its own fault."""
        if not good and not self.broken:
            self.broken = sentence


def _sum(found: Iterable[Reservation]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for one in found:
        sums["servers"] += 1
        sums["gpu"] += len(one.gpus)
        sums["cpu"] += one.cpu  # type: ignore[assignment]
        sums["memory_gib"] += one.memory_gib  # type: ignore[assignment]
        if one.gpu_type:
            sums[f"gpu:{one.gpu_type}"] += len(one.gpus)
    return sums
