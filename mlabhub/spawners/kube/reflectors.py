"""What the hub knows of its pods and their events, by watching.

Guarantees: a watch is taken up again however long the cluster was away; one whose connection died silently is noticed
within half a minute. What is known may be late, so nobody takes a pod for gone by it alone.
"""

from __future__ import annotations

import asyncio
from typing import Any

from kubespawner.reflector import ResourceReflector
from kubespawner.spawner import EventReflector, PodReflector
from traitlets import Int

AGAIN_SECONDS = 1.0


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


class ServerPods(_Patient, PodReflector):
    """The pods of one installation's servers, by ``NAMESPACE/NAME``."""


class ServerEvents(_Patient, EventReflector):
    """The events of the namespace's pods."""

    def of_pod(self, uid: str) -> list[dict[str, Any]]:
        """Return the events of one pod."""
        return [event for event in self.resources.values() if event.get("involvedObject", {}).get("uid") == uid]
