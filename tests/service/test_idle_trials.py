"""A policy of idleness tried on what a service recorded, and what is wrong with one that was typed."""

from __future__ import annotations

import re
import time
from html import unescape
from typing import Any

import httpx
import pytest

from mlabhub.core.readings import Sample
from mlabhub.ledger import Reservation, SqlSamples
from tests.service.conftest import Running
from tests.service.logins import log_in
from tests.service.test_trials import look

HOUR = 3600.0


def record(running: Running) -> None:
    """Let alice's two GPUs have been idle for 5 hours after one of work, and bob's one at work for all 6."""
    ledger: Any = running.world.ledger
    first = 60.0 * (time.time() // 60) - 8 * HOUR
    for launch_id, user, group, gpus in (("LA", "alice", "vision", ("1", "2")), ("LB", "bob", "<i>", ("3",))):
        ledger.commit(
            [
                Reservation(
                    launch_id, user, "", "released", first, first + 6 * HOUR, first,
                    group=group, profile="gpu", gpu_type="a100", gpus=gpus, held=first, released=first + 6 * HOUR,
                )
            ]
        )  # fmt: skip
    store = SqlSamples(ledger)
    for minute in range(1, 361):
        t = first + 60.0 * minute
        busy = 90.0 if minute <= 60 else 0.0
        store.add(
            t,
            [
                Sample(t, "alice/", "LA", 2, (busy, busy), (1e9, 1e9), 0.0),
                Sample(t, "bob/", "LB", 1, (90.0,), (1e9,), 1.0),
            ],
        )


async def send(client: httpx.AsyncClient, **typed: str) -> httpx.Response:
    page = await client.get("idle/trial")
    xsrf = re.search(r'name="_xsrf" value="([^"]+)"', page.text)
    assert xsrf
    fields = {"policy": "", "aggressiveness": "", "days": "1", "text": "", "_xsrf": unescape(xsrf[1]), **typed}
    return await client.post("idle/trial", data=fields)


async def result(client: httpx.AsyncClient, page: httpx.Response) -> str:
    assert page.status_code == 303, page.text
    key = page.headers["location"].split("key=")[1]
    shown = await client.get("idle/trial", params={"key": key})
    headers = {"X-Xsrftoken": shown.text.split('data-xsrf="')[1].split('"')[0], "Sec-Fetch-Mode": "cors"}
    return await look(httpx_with(client, headers), f"idle/trial/parts?key={key}")


def httpx_with(client: httpx.AsyncClient, headers: dict[str, str]) -> Any:
    """Return something that asks as a script of the page does."""

    class Script:
        async def get(self, path: str) -> httpx.Response:
            return await client.get(path, headers={**headers, "Sec-Fetch-Dest": "empty"})

    return Script()


async def test_it_says_what_would_be_freed_and_who_interrupted(running: Running) -> None:
    record(running)
    async with log_in(running, "admin") as client:
        assert "Try another policy…" in (await client.get("idle")).text
        eager = await result(client, await send(client, aggressiveness="1"))
        freed = re.search(r"([\d.]+) GPU-hours would be freed instead of ([\d.]+), of ([\d.,]+) that were held", eager)
        assert freed
        assert float(freed[1]) > float(freed[2]) > 0
        assert "Servers stopped: 1 instead of 1; wanted again afterwards: 0 instead of 0." in eager
        assert "2 servers, 720 samples" in eager
        assert "&lt;i&gt;" in eager
        never = "policies: {never: {with_gpu: {stopped: false}}}\nrules: [{policy: never, groups: [vision]}]\n"
        kept = await result(client, await send(client, text=never))
        assert "0 GPU-hours would be freed instead of" in kept
        assert "Servers stopped: 0 instead of 1" in kept


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ({"text": "policies:\n  mine:\n    grace_minutes: soon\n"}, "Line 3: policies.mine.grace_minutes"),
        ({"text": "policies:\n\tmine: 1\n"}, "Line 2: is not YAML"),
        ({"text": "policy: nope # <b>\n"}, "Line 1: policy: there is no policy"),
        ({"text": "x" * 20_000}, "has 20000 characters"),
        ({"policy": "none-such"}, "There is no policy none-such."),
        ({"aggressiveness": "2"}, "Aggressiveness is a number from 0 to 1"),
        ({"aggressiveness": "nan"}, "Aggressiveness is a number from 0 to 1"),
        ({}, "Choose a policy, another aggressiveness, or type an idle.yaml."),
    ],
)
async def test_what_cannot_be_is_said_with_its_line(running: Running, typed: dict[str, str], told: str) -> None:
    async with log_in(running, "admin") as client:
        page = await send(client, **typed)
    assert (page.status_code, told in unescape(page.text)) == (422, True), page.text
    assert "<b>" not in page.text
    for value in typed.values():
        assert value.strip() in unescape(page.text), "what was typed stays"


async def test_who_may_not_and_what_is_not_known(running: Running) -> None:
    async with log_in(running, "alice") as client:
        assert (await client.get("idle/trial")).status_code == 403
    async with log_in(running, "admin") as client:
        assert (await client.get("idle/trial?key=none")).status_code == 404
        empty = await result(client, await send(client, policy="princeton"))
        assert "No samples of the last 1 days are kept." in empty
        assert (await client.post("idle/trial", data={"policy": "princeton"})).status_code == 403
