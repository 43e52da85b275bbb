"""Follow a starting pod, and let the service know and say what only it does: where it is, and what is short.

Guarantees: the service hears of another node than the plan's before the server counts as started; nothing waits for it
to say what there is too little of.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from mlabhub.client import ServiceClient
from mlabhub.core.kubernetes import KubernetesSpec
from mlabhub.core.plan import LaunchPlan
from mlabhub.messages import Message
from mlabhub.spawners.kube.explaining import Explainer
from mlabhub.spawners.kube.watching import Sight, StartWatch


class Follower:
    """One start of a plan. Close it at the end."""

    def __init__(self, plan: LaunchPlan, spec: KubernetesSpec, service: ServiceClient):
        self._plan = plan
        self._service = service
        self._watch = StartWatch(plan, spec, time.monotonic())
        self._explainer = Explainer(self._watch, self._ask)
        self._node = plan.node

    async def see(self, pod: Mapping[str, Any] | None, events: Sequence[Mapping[str, Any]]) -> Sight:
        """Return what one look brings. Raises `MLabError` if the service does not take the node that it is on."""
        sight = self._watch.see(pod, events, time.monotonic())
        self._explainer.note(sight)
        if sight.node and sight.node != self._node and sight.fault is None:
            plan = self._plan
            await self._service.placed(plan.user, plan.server_name, plan.launch_id, sight.node)
            self._node = sight.node
        return sight

    def close(self) -> None:
        """Ask no more."""
        self._explainer.close()

    async def _ask(self) -> Message | None:
        plan = self._plan
        return await self._service.short(plan.user, plan.server_name, plan.launch_id)
