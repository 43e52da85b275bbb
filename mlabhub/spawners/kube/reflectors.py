"""What the hub knows of its pods and their events, by watching.

Guarantees: a watch is taken up again however long the cluster was away; one whose connection died silently is noticed
within half a minute. What is known may be late, so nobody takes a pod for gone by it alone.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kubespawner.reflector import ResourceReflector
from kubespawner.spawner import EventReflector, PodReflector
from traitlets import Int

from mlabhub.spawners.kube.pods import at

AGAIN_SECONDS = 1.0
SORT_SECONDS = 0.2
SORT_PAUSE = 20
"""How many times as long as it took it rests: of an hour with thousands of starts there are tens of thousands."""

MOST_GONE = 1000
"""How many pods that are gone are remembered."""

Event = Mapping[str, Any]
Pod = Mapping[str, Any]


class _Patient(ResourceReflector):
    """A reflector that never gives up; KubeSpawner's own does after a minute, and says nothing from then on."""

    request_timeout = Int(25, help="Seconds until a watch that says nothing counts as dead.").tag(config=True)

    async def _watch_and_update(self) -> None:
        while True:
            await super()._watch_and_update()
            if self._stopping:
                return
            self.log.warning("mlabhub: the watch of %s gave up and is begun again", self.kind)
            await asyncio.sleep(AGAIN_SECONDS)


class Remembering(dict[str, Pod]):
    """Pods by name, and how those were that are gone: their last status says why."""

    def __init__(self, pods: Mapping[str, Pod], before: Remembering | None = None):
        super().__init__(pods)
        self.gone: dict[str, Pod] = {} if before is None else before.gone
        for name, pod in () if before is None else before.items():
            if name not in self:
                self._remember(name, pod)

    def pop(self, name: str, *default: Any) -> Any:
        """Take a pod out, remembering it."""
        if name in self:
            self._remember(name, self[name])
        return super().pop(name, *default)

    def _remember(self, name: str, pod: Pod) -> None:
        self.gone.pop(name, None)
        self.gone[name] = pod
        while len(self.gone) > MOST_GONE:
            del self.gone[next(iter(self.gone))]


class ServerPods(_Patient, PodReflector):
    """The pods of one installation's servers, by ``NAMESPACE/NAME``."""

    def last(self, name: str) -> Pod | None:
        """Return a pod as it is, or as it was when it was last there."""
        gone: Mapping[str, Pod] = getattr(self.resources, "gone", {})
        found: Pod | None = self.resources.get(name) or gone.get(name)
        return found

    async def _list_and_update(self, resource_version: str | None = None) -> Any:
        before = self.resources
        version = await super()._list_and_update(resource_version)
        self.resources = Remembering(self.resources, before if isinstance(before, Remembering) else None)
        return version


class Sorting:
    """Events by what they are about, sorted anew as often as costs little of the time. ``clock`` is monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._again_at = float("-inf")
        self._sorted: Mapping[tuple[str, str], Sequence[Event]] = {}

    def of(self, events: Mapping[str, Event]) -> Mapping[tuple[str, str], Sequence[Event]]:
        """Return them by kind and name of what they are about; those of a moment ago if that is soon enough."""
        began = self._clock()
        if began >= self._again_at:
            found: defaultdict[tuple[str, str], list[Event]] = defaultdict(list)
            for event in events.values():
                found[str(at(event, "involvedObject", "kind")), str(at(event, "involvedObject", "name"))].append(event)
            self._sorted = found
            self._again_at = began + max(SORT_SECONDS, SORT_PAUSE * (self._clock() - began))
        return self._sorted


class ServerEvents(_Patient, EventReflector):
    """The events of the namespace, sorted by what they are about; so seldom that a hundred starts may ask often."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sorting = Sorting()

    def about(self, pod: str, claims: Sequence[str]) -> list[Event]:
        """Return the events of a pod's name, and of claims."""
        known = self._sorting.of(self.resources)
        names = (("Pod", pod), *(("PersistentVolumeClaim", claim) for claim in claims))
        return [event for name in names for event in known.get(name, ())]
