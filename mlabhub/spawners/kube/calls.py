"""The calls by which pods come and go, tried again while the cluster is away for a moment.

Guarantees: a call whose answer was lost does not make or remove anything twice; a pod is removed only if it is still
the one that was meant; what cannot be known is a `ClusterUnavailable`, never a guess.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
from kubernetes_asyncio import client

from mlabhub.cluster.client import unreachable
from mlabhub.errors import MLabError
from mlabhub.spawners.kube.pods import Pod
from mlabhub.spawners.kube.refusals import CONFLICT, NOT_FOUND, is_busy_quota, message_of_body, refusal_of

CALL_SECONDS = 10.0
"""How long one call may take."""
PAUSES = (0.2, 0.5, 1.0, 2.0, 3.0)
BUSY = frozenset({429, 500, 502, 503, 504})
_AWAY = (aiohttp.ClientError, asyncio.TimeoutError, OSError)


class NameTaken(Exception):
    """A pod of this name is there already, and it is not this launch's."""


@dataclass(frozen=True)
class _Answer:
    status: int
    body: bytes

    @property
    def said(self) -> str:
        return message_of_body(self.body)

    @property
    def is_passing(self) -> bool:
        """Whether the same call may well be answered otherwise in a moment."""
        return self.status in BUSY or is_busy_quota(self.status, self.said)


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
        answer = await self._patiently(
            lambda **more: self._api.create_namespaced_pod(self._namespace, manifest, **more)
        )
        if answer.status < 400:
            return
        if answer.status == CONFLICT and not answer.is_passing:
            found = await self.read(name)
            if found is not None and is_same(found):
                return
            raise NameTaken(name)
        raise refusal_of(answer.status, answer.body, self._namespace)

    async def read(self, name: str) -> Pod | None:
        """Return a pod as the cluster has it now, None if there is none. Raises `ClusterUnavailable`."""
        answer = await self._patiently(lambda **more: self._api.read_namespaced_pod(name, self._namespace, **more))
        if answer.status == NOT_FOUND:
            return None
        self._check(answer)
        pod: Pod = json.loads(answer.body)
        return pod

    async def delete(self, name: str, uid: str, grace_seconds: int) -> None:
        """Ask for the end of that very pod; fine if it is gone. Raises `ClusterUnavailable`."""
        body = client.V1DeleteOptions(grace_period_seconds=grace_seconds, preconditions=client.V1Preconditions(uid=uid))
        call = self._api.delete_namespaced_pod
        answer = await self._patiently(lambda **more: call(name, self._namespace, body=body, **more))
        if answer.status not in (NOT_FOUND, CONFLICT):
            self._check(answer)

    def _check(self, answer: _Answer) -> None:
        if answer.status in BUSY:
            raise unreachable(MLabError(answer.said or f"HTTP {answer.status}"))
        if answer.status >= 400:
            raise refusal_of(answer.status, answer.body, self._namespace)

    async def _patiently(self, call: Callable[..., Awaitable[Any]]) -> _Answer:
        """Return the first answer that will stay so, else the last one. Raises `ClusterUnavailable` without any."""
        give_up = time.monotonic() + self._patience_s
        attempt = 0
        while True:
            late = time.monotonic() >= give_up
            try:
                # Unread by the client's own models, which take longer than the call.
                answer = await asyncio.wait_for(_ask(call), CALL_SECONDS)
                if late or not answer.is_passing:
                    return answer
            except _AWAY as error:
                if late:
                    raise unreachable(error) from error
            await asyncio.sleep(PAUSES[min(attempt, len(PAUSES) - 1)])
            attempt += 1


async def _ask(call: Callable[..., Awaitable[Any]]) -> _Answer:
    answer = await call(_preload_content=False)
    return _Answer(answer.status, await answer.read())
