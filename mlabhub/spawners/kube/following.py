"""Follow a starting pod, and let the service know and say what only it does: where it is, and what is short.

Guarantees: the service hears of another node than the plan's before the server counts as started; it is asked once what
there is too little of, and nothing waits for that answer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from mlabhub.client import ServiceClient
from mlabhub.core.kubernetes import KubernetesSpec
from mlabhub.core.plan import LaunchPlan
from mlabhub.errors import MLabError
from mlabhub.messages import Message
from mlabhub.spawners.kube.watching import Sight, StartWatch

log = logging.getLogger(__name__)


class Follower:
    """One start of a plan. Close it at the end."""

    def __init__(self, plan: LaunchPlan, spec: KubernetesSpec, service: ServiceClient):
        self._plan = plan
        self._service = service
        self._watch = StartWatch(plan, spec, time.monotonic())
        self._node = plan.node
        self._question: asyncio.Task[Message | None] | None = None
        self._is_answered = False

    async def see(self, pod: Mapping[str, Any] | None, events: Sequence[Mapping[str, Any]]) -> Sight:
        """Return what one look brings. Raises `MLabError` if the service does not take the node that it is on."""
        self._take_answer()
        sight = self._watch.see(pod, events, time.monotonic())
        plan = self._plan
        if sight.short and self._question is None:
            self._question = asyncio.ensure_future(self._service.short(plan.user, plan.server_name, plan.launch_id))
        if sight.node and sight.node != self._node and sight.fault is None:
            await self._service.placed(plan.user, plan.server_name, plan.launch_id, sight.node)
            self._node = sight.node
        return sight

    def close(self) -> None:
        """Ask no more."""
        if self._question is not None:
            self._question.cancel()

    def _take_answer(self) -> None:
        if self._question is None or not self._question.done() or self._is_answered:
            return
        self._is_answered = True
        try:
            answer = self._question.result()
        except MLabError as error:
            log.warning("What is short for launch %s is not known: %s", self._plan.launch_id, error.log_text)
            return
        if answer is not None:
            self._watch.explain(answer)
