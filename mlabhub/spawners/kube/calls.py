"""The calls by which pods come and go, tried again while the cluster is away for a moment.

Guarantees: a call whose answer was lost does not make or remove anything twice; a pod is removed only if it is still
the one that was meant; what cannot be known is a `ClusterUnavailable`, never a guess.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from kubernetes_asyncio import client

from mlabhub.cluster.asking import CONFLICT, NOT_FOUND, Answer, ask
from mlabhub.cluster.client import AWAY
from mlabhub.spawners.kube.refusals import refusal_of, shortages
from mlabhub.spawners.kube.states import Pod
from mlabhub.spawners.kube.texts import last_lines

QUOTA_SECONDS = 5.0
"""How long a quota may take to notice that a pod has just gone."""
QUOTA_PAUSE = 0.3
LOG_SECONDS = 10.0
LOG_BYTES = 65536


class NameTaken(Exception):
    """A pod of this name is there already, and it is not this launch's."""


class PodCalls:
    """Makes, reads and removes pods of one namespace. ``patience_s``: how long a call is tried again."""

    def __init__(self, api: Any, namespace: str, patience_s: float):
        self._api = api
        self._namespace = namespace
        self._patience_s = patience_s

    async def create(self, manifest: Any, name: str, is_same: Callable[[Pod], bool]) -> None:
        """Make a pod; ``is_same`` tells whether one of that name is this very one, made by a call without an answer.

        Raises `NameTaken`, an `MLabError` with the cluster's reason, or `ClusterUnavailable`.
        """
        answer = await self._create(manifest)
        if answer.is_fine:
            return
        if answer.is_taken:
            found = await self.read(name)
            if found is not None and is_same(found):
                return
            raise NameTaken(name)
        raise refusal_of(answer.status, answer.said, self._namespace)

    async def _create(self, manifest: Any) -> Answer:
        """Return the first answer that will stay so; a quota's counting may lag behind."""
        began = time.monotonic()
        while True:
            answer = await self._ask(self._api.create_namespaced_pod, self._namespace, manifest)
            if answer.is_fine or not shortages(answer.said) or time.monotonic() - began > QUOTA_SECONDS:
                return answer
            await asyncio.sleep(QUOTA_PAUSE)

    async def read(self, name: str) -> Pod | None:
        """Return a pod as the cluster has it now, None if there is none. Raises `MLabError` if that is not known."""
        answer = await self._ask(self._api.read_namespaced_pod, name, self._namespace)
        if answer.status == NOT_FOUND:
            return None
        self._check(answer)
        return answer.body

    async def delete(self, name: str, uid: str, grace_seconds: int) -> None:
        """Ask for the end of that very pod; fine if it is gone. Raises `MLabError` if that cannot be asked."""
        body = client.V1DeleteOptions(grace_period_seconds=grace_seconds, preconditions=client.V1Preconditions(uid=uid))
        answer = await self._ask(self._api.delete_namespaced_pod, name, self._namespace, body=body)
        if answer.status not in (NOT_FOUND, CONFLICT):
            self._check(answer)

    async def log(self, name: str, container: str, lines: int) -> str:
        """Return the end of what a pod's container wrote, shortened; empty if that cannot be had."""
        try:
            return last_lines(await asyncio.wait_for(self._log(name, container, lines), LOG_SECONDS), lines)
        except AWAY:
            return ""

    async def _log(self, name: str, container: str, lines: int) -> str:
        # A person decides how long a line is.
        most = {"tail_lines": lines, "limit_bytes": LOG_BYTES}
        call = self._api.read_namespaced_pod_log
        response = await call(name, self._namespace, container=container, _preload_content=False, **most)
        text: bytes = await response.read()
        return text.decode("utf-8", "replace") if response.status < 400 else ""

    def _check(self, answer: Answer) -> None:
        if not answer.is_fine:
            raise refusal_of(answer.status, answer.said, self._namespace)

    async def _ask(self, call: Callable[..., Awaitable[Any]], *arguments: Any, **more: Any) -> Answer:
        return await ask(call, *arguments, patience_s=self._patience_s, **more)
