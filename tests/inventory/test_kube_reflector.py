"""Watching an API that ends, stalls, lies, forgets and goes away: what is known is right soon, or known to be old."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlabhub.cluster.client import make_api_client
from mlabhub.inventory.kube.records import PodRecord, read_pod
from mlabhub.inventory.kube.reflector import LONGEST_PAUSE_S, PAGE, Reflector, pause_of
from tests.kube_api import KubeApi, make_kube_settings, make_pod, serve_api


@dataclass
class Watching:
    api: KubeApi
    reflector: Reflector[PodRecord]
    pauses: list[float]

    @property
    def names(self) -> set[str]:
        return {pod.name for pod in self.reflector.records.values()}

    async def until(self, true: Callable[[], Any], seconds: float = 5.0) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, (self.reflector.fault, self.names, self.api.calls)
            await asyncio.sleep(0.02)


@pytest.fixture
async def watching(tmp_path: Path) -> AsyncIterator[Watching]:
    async with serve_api() as api:
        client = await make_api_client(make_kube_settings(tmp_path, api))
        pauses: list[float] = []

        async def sleep(seconds: float) -> None:
            pauses.append(seconds)
            await asyncio.sleep(0.02)

        reflector: Reflector[PodRecord] = Reflector(
            client, "/api/v1/pods", read_pod, sleep=sleep, watch_s=1, margin_s=0.5
        )
        task = asyncio.create_task(reflector.run())
        try:
            yield Watching(api, reflector, pauses)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await client.close()


async def test_what_comes_changes_and_goes_is_followed(watching: Watching) -> None:
    await watching.reflector.first()
    assert (watching.names, watching.reflector.fault) == (set(), None)
    await watching.api.put("pods", make_pod("a"), make_pod("b", phase="Pending"))
    await watching.until(lambda: watching.names == {"a", "b"})
    version = watching.reflector.version
    await watching.api.put("pods", make_pod("b", phase="Running"))
    await watching.until(lambda: watching.reflector.version > version)
    assert {pod.name: pod.phase for pod in watching.reflector.records.values()} == {"a": "Running", "b": "Running"}
    await watching.api.take("pods", "pod-others-a")
    await watching.until(lambda: watching.names == {"b"})
    assert watching.reflector.lists == 1


async def test_what_does_not_matter_changes_nothing(watching: Watching) -> None:
    await watching.api.put("pods", make_pod("a"))
    await watching.until(lambda: watching.names == {"a"})
    version, record = watching.reflector.version, watching.reflector.records["pod-others-a"]
    await watching.api.put("pods", make_pod("a", status={"podIP": "10.0.0.1"}), make_pod("b"))
    await watching.until(lambda: watching.names == {"a", "b"})
    assert watching.reflector.version == version + 1
    assert watching.reflector.records["pod-others-a"] is record


async def test_a_long_list_comes_in_pages(watching: Watching) -> None:
    await watching.reflector.first()
    await watching.api.put("pods", *(make_pod(f"p{number}") for number in range(2 * PAGE + 1)))
    await watching.api.forget()
    watching.api.calls.clear()
    await watching.until(lambda: len(watching.names) == 2 * PAGE + 1 and "list pods" in watching.api.calls)
    assert watching.api.calls.count("list pods") == 3


async def test_quiet_watches_are_renewed_and_known_to_be_fresh(watching: Watching) -> None:
    await watching.reflector.first()
    await watching.until(lambda: watching.api.calls.count("watch pods") >= 3, 6)
    assert watching.reflector.lists == 1
    assert watching.reflector.age is not None
    assert watching.reflector.age < 1.5
    assert (watching.pauses, watching.reflector.fault) == ([], None)


async def test_what_was_forgotten_is_listed_anew(watching: Watching) -> None:
    await watching.reflector.first()
    await watching.api.stop()
    await watching.api.put("pods", make_pod("a"))
    await watching.api.forget()
    await watching.api.start()
    await watching.until(lambda: watching.names == {"a"})
    assert watching.reflector.lists == 2


async def test_a_watch_that_stalls_is_dropped(watching: Watching) -> None:
    await watching.reflector.first()
    watching.api.speaks.clear()
    await watching.api.put("pods", make_pod("a"))
    await watching.until(lambda: watching.reflector.fault is not None)
    assert isinstance(watching.reflector.fault, asyncio.TimeoutError)
    watching.api.speaks.set()
    await watching.until(lambda: watching.names == {"a"})
    assert watching.reflector.fault is None


async def test_an_api_that_is_away_is_waited_for(watching: Watching) -> None:
    await watching.api.put("pods", make_pod("a"))
    await watching.until(lambda: watching.names == {"a"})
    await watching.api.stop()
    await watching.until(lambda: len(watching.pauses) >= 8)
    assert watching.names == {"a"}
    age = watching.reflector.age
    assert age is not None
    assert age > 0.1
    assert max(watching.pauses) <= LONGEST_PAUSE_S
    assert watching.pauses[7] > watching.pauses[0]
    await watching.api.start()
    await watching.api.put("pods", make_pod("b"))
    await watching.until(lambda: watching.names == {"a", "b"} and watching.reflector.fault is None)


@pytest.mark.parametrize(
    "said", ["{not json", '{"type": "ADDED"}', '{"type": "ADDED", "object": {"metadata": []}}', "[1]"]
)
async def test_what_cannot_be_read_is_listed_anew(watching: Watching, said: str) -> None:
    await watching.reflector.first()
    watching.api.broken = said
    await watching.api.put("pods", make_pod("a"))
    await watching.until(lambda: watching.reflector.lists >= 2)
    watching.api.broken = ""
    await watching.until(lambda: watching.names == {"a"} and watching.reflector.fault is None)


async def test_an_error_in_the_stream_is_listed_anew(watching: Watching) -> None:
    await watching.reflector.first()
    watching.api.broken = '{"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}'
    await watching.api.put("pods", make_pod("a"))
    await watching.until(lambda: watching.reflector.lists >= 2)
    watching.api.broken = ""
    await watching.until(lambda: watching.names == {"a"})


@pytest.mark.parametrize("code", [403, 429, 500])
async def test_refusals_are_tried_again(watching: Watching, code: int) -> None:
    watching.api.refuse = code
    await watching.until(lambda: len(watching.pauses) >= 2)
    assert str(watching.reflector.fault) == f"{code} no"
    watching.api.refuse = None
    await watching.until(lambda: watching.reflector.fault is None)


def test_pauses_grow_and_differ() -> None:
    assert [pause_of(failures, lambda: 1.0) for failures in (1, 2, 3, 4, 5, 500)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert pause_of(500, lambda: 0.0) == LONGEST_PAUSE_S / 2
