"""Follow a pod while it starts: what is new to tell, and when there is no hope left.

Guarantees: pure, time is given; each sentence is told once, trouble before progress. A start that cannot succeed has a
fault as soon as that is known; what may still come right has the time that `kubernetes.yaml` gives it, and no more. A
fault is never taken back. Nothing of an earlier pod of the same server is taken for this one's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlabhub.cluster.labels import launch_label
from mlabhub.core.kubernetes import KubernetesSpec
from mlabhub.core.plan import LaunchPlan
from mlabhub.core.quote import plain
from mlabhub.core.reasons import sentences
from mlabhub.errors import LaunchRefused, MLabError, NotNow
from mlabhub.messages import Message
from mlabhub.spawners.endings import say_ending
from mlabhub.spawners.kube import sayings as say
from mlabhub.spawners.kube.endings import DELETED, ending_of, ending_of_container, never_ran
from mlabhub.spawners.kube.pods import Container, PodView, at, event_count
from mlabhub.spawners.kube.sayings import Hope, Said
from mlabhub.spawners.kube.scheduling import read_scheduling
from mlabhub.spawners.kube.texts import clean, last_lines
from mlabhub.spawners.kube.words import say_container, say_event, say_waiting

SOON_SECONDS = 10
"""How long what is missing may be on its way: a Secret that something writes just now."""
PULL_SECONDS = 60
"""How long the node may take for its second try at an image."""
SCALE_SECONDS = 600
"""How long a node that the cluster adds may take."""
MOST_SAID = 3
"""How many sentences make up the last one."""
ANSWER_SECONDS = 3
"""How long the service may take to say what is short, before the scheduler's own words are told."""


@dataclass(frozen=True)
class Sight:
    """What one look brought.

    ``news`` is told in this order. ``short``: the service may be asked what there is too little of, and
    `StartWatch.explain` told its answer, again and again. ``log_of``: the container whose end of the log belongs to
    the fault.
    """

    news: tuple[Message, ...] = ()
    fault: MLabError | None = None
    node: str | None = None
    short: bool = False
    log_of: str | None = None


@dataclass
class _Trouble:
    """What stands in the way now, since when, and how often it was seen anew."""

    said: Said
    since: float
    tries: int = 1


@dataclass
class _Seen:
    """What is there now."""

    told: list[Said] = field(default_factory=list)
    troubles: list[tuple[Said, int]] = field(default_factory=list)
    short: bool = False


class StartWatch:
    """One start. Feed it whatever the reflectors have, as often as you like."""

    def __init__(self, plan: LaunchPlan, spec: KubernetesSpec, began: float):
        self._label = launch_label(plan.launch_id)
        self._spec = spec
        self._told: set[object] = set()
        self._troubles: dict[str, _Trouble] = {}
        self._last: Mapping[str, Any] | None = None
        self._unscheduled_since = began
        self._scheduled_since: float | None = None
        self._more_seconds = 0.0
        self._asked_since: float | None = None
        self._explained: Message | None = None
        self._fault: LaunchRefused | None = None
        self._log_of: str | None = None

    def explain(self, why: Message) -> None:
        """Take the service's answer to what is short."""
        self._explained = why

    def see(self, pod: Mapping[str, Any] | None, events: Sequence[Mapping[str, Any]], now: float) -> Sight:
        """Return what is new, and the fault if there is no hope left."""
        view = PodView(pod or {})
        if pod is not None and view.launch not in ("", self._label):
            return Sight(self._news([say.PREDECESSOR.of()]), self._fault)
        if pod is None:
            seen = _Seen()
            if self._last is not None:
                self._give_up(self._gone(self._mine(PodView(self._last), events)))
        else:
            if self._last is None:
                self._unscheduled_since = now  # Not before: an earlier pod may have taken its time to end.
            self._last = pod
            mine = self._mine(view, events)
            seen = self._look(view, mine, now)
            self._judge(view, seen, mine, now)
        news = self._news([one for one, _ in seen.troubles] + seen.told)
        return Sight(news, self._fault, view.node or None, seen.short, self._log_of)

    # -- what is there

    def _mine(self, view: PodView, events: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return the events of this pod and of its claims."""
        return [one for one in events if _is_about(one, view)]

    def _look(self, view: PodView, events: Sequence[Mapping[str, Any]], now: float) -> _Seen:
        seen = _Seen()
        begun = _has_begun(view) or any(event.get("reason") in _AFTER_MOUNT for event in events)
        scheduling = view.condition("PodScheduled").get("status") == "False"
        counts: dict[object, tuple[Said, int]] = {}
        for event in events:
            if scheduling and event.get("reason") == "FailedScheduling":
                continue  # The pod's own condition says how that is now.
            said = say_event(view, event)
            if said is None:
                continue
            counts[_key(said)] = (said, counts.get(_key(said), (said, 0))[1] + event_count(event))
            if said.saying is say.SCALING and _key(said) not in self._told:
                self._more_seconds = now - self._unscheduled_since + SCALE_SECONDS
        for said, count in counts.values():
            if said.hope is Hope.ALL:
                seen.told.append(said)
            elif _still(said, view, begun):
                seen.troubles.append((said, count))
        seen.troubles.extend((said, 1) for said in _waiting(view) if _key(said) not in counts)
        if view.node:
            seen.told.insert(0, say.SCHEDULED.of(node=plain(view.node)))
        else:
            self._look_at_scheduling(view, seen, now)
        if any(one.running for one in view.containers if not one.initial):
            seen.told.append(say.STARTED.of())
        return seen

    def _look_at_scheduling(self, view: PodView, seen: _Seen, now: float) -> None:
        """Put the service's words, which have numbers, before the scheduler's, which have none."""
        condition = view.condition("PodScheduled")
        if condition.get("reason") == "SchedulingGated":
            gates = ", ".join(str(one.get("name")) for one in at(view.data, "spec", "schedulingGates") or ())
            seen.troubles.append((say.GATED.of(gates=clean(gates, 120) or "-"), 1))
            return
        if condition.get("status") != "False":
            return
        found = read_scheduling(condition.get("message"), view.claims, view.places())
        seen.troubles = [one for one in seen.troubles if one[0].saying.code != say.NO_NODE.code]
        if not found.short:
            if all(one[0] != found.said for one in seen.troubles):
                seen.troubles.insert(0, (found.said, 1))
            return
        seen.short = True
        if self._asked_since is None:
            self._asked_since = now
        if self._explained is not None:
            seen.troubles.insert(0, (say.SHORT.of(why=self._explained), 1))
        elif now >= self._asked_since + ANSWER_SECONDS:
            seen.troubles.insert(0, (found.said, 1))

    # -- what it means

    def _judge(self, view: PodView, seen: _Seen, events: Sequence[Mapping[str, Any]], now: float) -> None:
        self._remember(seen, now)
        if (over := self._over(view, events)) is not None:
            self._give_up(over)
        elif view.node:
            if self._scheduled_since is None:
                self._scheduled_since = now
            self._judge_on_node(view, seen, now)
        else:
            self._judge_waiting(seen, now)

    def _remember(self, seen: _Seen, now: float) -> None:
        """Keep since when each trouble has been there; one that went away begins anew."""
        current = {said.saying.code: (said, count) for said, count in seen.troubles}
        self._troubles = {code: one for code, one in self._troubles.items() if code in current}
        for code, (said, count) in current.items():
            known = self._troubles.setdefault(code, _Trouble(said, now))
            known.said, known.tries = said, max(known.tries, count)

    def _over(self, view: PodView, events: Sequence[Mapping[str, Any]]) -> Said | None:
        """Return why the pod has ended, or is being ended by somebody else."""
        for container in view.containers:
            if container.initial and _is_over(container):
                return self._ended(view, container, say.PREPARING, say.PREPARING_SAYING)
        ending = ending_of(view.data, events)
        if ending is None:
            return None
        if ending.why == DELETED:
            return say.DELETED.of()
        main = next((one for one in view.containers if not one.initial and one.terminated), None)
        if main is not None and (ending.why is None or never_ran(main)):
            return self._ended(view, main, say.ENDED, say.ENDED_SAYING)
        return say.ENDED.of(ending=say_ending(ending))

    def _ended(self, view: PodView, container: Container, without: say.Saying, saying: say.Saying) -> Said:
        """Say how a container ended, with its last words where the cluster kept them."""
        if never_ran(container):
            return say_container(str((container.terminated or {}).get("message") or ""), container.image)
        ending = ending_of_container(view, container)
        values = {"ending": say_ending(ending), "container": plain(container.name)}
        if ending.why is not None:
            return without.of(values)
        words = last_lines((container.terminated or {}).get("message"))
        if words:
            return saying.of(values, words=words)
        self._log_of = container.name
        return without.of(values)

    def _judge_waiting(self, seen: _Seen, now: float) -> None:
        """Without a node: as long as the site lets it wait, longer where the cluster adds a node for it."""
        allowed = max(float(self._spec.unschedulable_seconds), self._more_seconds)
        if now < self._unscheduled_since + allowed:
            return
        said = [one for one, _ in seen.troubles] or [say.UNSCHEDULED.of()]
        known = self._explained if seen.short else None
        why = known or sentences([say.closed(one.message) for one in said[:MOST_SAID]])
        code = said[0].saying.code
        self._give_up(say.WAITED.of(seconds=int(allowed), why=why), code, passing=code in _PASSES)

    def _judge_on_node(self, view: PodView, seen: _Seen, now: float) -> None:
        for trouble in self._troubles.values():
            if now >= trouble.since + self._patience(trouble):
                self._fail(trouble, seen)
                return
        since = self._scheduled_since if self._scheduled_since is not None else now
        if now >= since + self._spec.mount_seconds and not self._troubles and _is_silent(view, seen):
            saying = say.SILENT_MOUNT if view.mounts_something else say.SILENT_NODE
            values = {"node": plain(view.node), "seconds": self._spec.mount_seconds, "places": view.places()}
            self._give_up(saying.of(values))

    def _patience(self, trouble: _Trouble) -> float:
        hope = trouble.said.hope
        if hope is Hope.AGAIN:
            return 0 if trouble.tries > 1 else PULL_SECONDS
        return {
            Hope.NONE: 0.0,
            Hope.SOON: SOON_SECONDS,
            Hope.MOUNT: float(self._spec.mount_seconds),
            Hope.LOST: float(self._spec.lost_node_seconds),
        }.get(hope, float(self._spec.unschedulable_seconds))

    def _fail(self, trouble: _Trouble, seen: _Seen) -> None:
        """Give up for this, with what else was said that explains it."""
        said = trouble.said
        beside = [one.message for one in seen.told if one.saying is say.SECRET_NOT_THERE]
        if said.saying is say.NOT_ALLOWED and beside:
            said = Said(said.saying, sentences([say.closed(said.message), *map(say.closed, beside)]))
        if said.hope is Hope.MOUNT:
            why = say.WAITED_MOUNT.of(seconds=self._spec.mount_seconds, why=say.closed(said.message))
            self._give_up(why, said.saying.code)
        else:
            self._give_up(said)

    def _gone(self, events: Sequence[Mapping[str, Any]]) -> Said:
        """Say why a pod that was there is not any more."""
        ending = ending_of(self._last or {}, events)
        return (
            say.DELETED.of()
            if ending is None or ending.why in (None, DELETED)
            else say.ENDED.of(ending=say_ending(ending))
        )

    def _give_up(self, said: Said, code: str = "", *, passing: bool = False) -> None:
        if self._fault is None:
            error = NotNow if passing else LaunchRefused
            self._fault = error(say.last(said), code=code or said.saying.code)

    def _news(self, all_said: Sequence[Said]) -> tuple[Message, ...]:
        new: list[Message] = []
        for said in all_said:
            if _key(said) not in self._told:
                self._told.add(_key(said))
                new.append(said.message)
        return tuple(new)


def _key(said: Said) -> object:
    """Return what two sentences have in common that tell the same: a second try may fail with other ports and times."""
    if said.hope in (Hope.AGAIN, Hope.MOUNT):
        return said.saying.code, tuple(value for value in said.message.values if value[0] != "text")
    return said.message


def _is_about(event: Mapping[str, Any], view: PodView) -> bool:
    about = at(event, "involvedObject") or {}
    if about.get("kind") == "PersistentVolumeClaim":
        return about.get("name") in view.claims
    if about.get("kind", "Pod") != "Pod":
        return False
    uid = about.get("uid")
    return uid == view.uid if uid and view.uid else about.get("name") == view.name


def _waiting(view: PodView) -> Iterator[Said]:
    for container in view.containers:
        said = say_waiting(view, container)
        if said is not None:
            yield said


def _has_begun(view: PodView) -> bool:
    """Whether its volumes are mounted and its network made: some container is past being created."""
    for container in view.containers:
        reason = at(container.waiting, "reason")
        if container.running or container.terminated or reason not in (None, "ContainerCreating", "PodInitializing"):
            return True
    return False


def _still(said: Said, view: PodView, begun: bool) -> bool:
    """Whether what an event told may still stand in the way."""
    if said.hope is Hope.NODE:
        return not view.node
    if said.hope is Hope.MOUNT:
        return not begun
    if said.hope is Hope.AGAIN:
        return any(at(one.waiting, "reason") in ("ErrImagePull", "ImagePullBackOff") for one in view.containers)
    if said.hope is Hope.LOST:
        return not any(one.running for one in view.containers)
    return True


def _is_over(container: Container) -> bool:
    code = (container.terminated or {}).get("exitCode")
    return isinstance(code, int) and code != 0 and not container.running


def _is_silent(view: PodView, seen: _Seen) -> bool:
    """Whether nothing at all has happened on the node."""
    return not _has_begun(view) and all(one.saying.code in _BEFORE_MOUNT for one in seen.told)


_PASSES = frozenset({say.NO_NODE.code, say.SHORT.code, say.UNSCHEDULED.code})
"""There was a node when the start was decided on, so somebody was faster, or closed it: there will be one again."""
_AFTER_MOUNT = frozenset({"Pulling", "Pulled", "Created", "Started"})
"""Reasons of events that come when volumes are mounted: while an image is fetched, the pod's status does not say so."""
_BEFORE_MOUNT = frozenset({say.SCHEDULED.code, say.ATTACHED.code, say.PREDECESSOR.code, say.SCALING.code})
