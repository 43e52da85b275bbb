"""A change of quotas tried on what a service recorded: in a process of its own, bounded, and told in words."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import pytest

from mlabhub.i18n import get_translator
from mlabhub.ledger import Reservation
from mlabhub.service.pages.trial_words import make_trial_view
from mlabhub.service.trials import Trials, desk
from tests.service.conftest import Running
from tests.service.logins import log_in
from tests.service.test_notify_service import until

CHANGE = '{"group":"vision","limit":{"gpu:a100":8},"reason":"deadline"}'
HOUR = 3600.0


def ran(number: int, user: str, began: float, came: float, group: str = "vision") -> Reservation:
    """Return a server with 4 GPUs that came, waited, and ran for an hour."""
    return Reservation(
        f"L{number}", user, f"s{number}", "released", came, began + HOUR, came,
        group=group, profile="gpu", gpu_type="a100", gpus=("1", "2", "3", "4"), cpu=1.0, memory_gib=2.0,
        held=began, released=began + HOUR,
    )  # fmt: skip


async def record(running: Running) -> None:
    """Let vision, which may hold 6 GPUs, have waited an hour for each second server of 4, of 20."""
    first = time.time() - 3 * 86400
    for pair in range(10):
        came = first + pair * 4 * HOUR
        running.world.ledger.commit([ran(2 * pair, "alice", came, came), ran(2 * pair + 1, "bob", came + HOUR, came)])
    running.world.ledger.commit([ran(100, "carol", first + 2 * HOUR, first + 2 * HOUR, group="nlp<b>")])


async def look(client: Any, path: str) -> str:
    """Look at a trial until it is over."""
    for _ in range(600):
        told = (await client.get(path)).json()
        if not told["moves"]:
            return str(told["parts"]["trial"])
        await asyncio.sleep(0.1)
    raise AssertionError(told)


async def test_it_says_who_would_have_waited_less(running: Running) -> None:
    await record(running)
    async with log_in(running, "admin") as client:
        asked = await client.get("change-quota", params={"change": CHANGE}, follow_redirects=True)
        assert "quotas/trial?change=" in asked.text
        page = await client.get("quotas/trial", params={"change": CHANGE, "days": "7"})
        assert "Replaying what was recorded" in page.text
        headers = {"X-Xsrftoken": page.text.split('data-xsrf="')[1].split('"')[0], "Sec-Fetch-Mode": "cors"}
        client.headers.update({**headers, "Sec-Fetch-Dest": "empty"})
        told = await look(client, f"quotas/trial/parts?change={CHANGE}&days=7")
        assert "vision would have waited 10 h less." in told
        assert "21 requests of the last 7 days" in told
        assert "−10 h" in told
        assert "nlp&lt;b&gt;" in told
        again = time.monotonic()
        assert await look(client, f"quotas/trial/parts?change={CHANGE}&days=7") == told
        assert time.monotonic() - again < 5, "what came of it is kept"
        none = await look(client, f"quotas/trial/parts?change={CHANGE}&days=1")
        assert "Nothing that ran then is recorded." in none


async def test_it_is_for_administrators_and_for_changes_that_can_be(running: Running) -> None:
    async with log_in(running, "alice") as client:
        assert (await client.get("quotas/trial", params={"change": CHANGE})).status_code == 403
    async with log_in(running, "admin") as client:
        wrong = CHANGE.replace("8", "-1")
        assert (await client.get("quotas/trial", params={"change": wrong})).status_code == 422


async def test_one_at_a_time_and_none_that_nobody_waits_for() -> None:
    now = 0.0
    sleeps = (sys.executable, "-c", "import time; print('{\"progress\": 0.5}', flush=True); time.sleep(600)")
    trials = Trials(lambda: now, sleeps, most_s=100.0)

    async def make() -> str:
        return "job"

    assert (await trials.ask("ann", "a", make)).state == "runs"
    assert (await trials.ask("bob", "b", make)).state == "waits"
    first = trials._running
    assert first is not None
    await until(lambda: first.progress == 0.5)
    assert (await trials.ask("ann", "a", make)).progress == 0.5
    assert (await trials.ask("ann", "c", make)).state == "runs", "another wish ends one's own"
    assert first.task is not None
    assert first.task.cancelled()
    now = desk.UNWANTED_S + 1
    await until(lambda: trials._running is None)
    assert (await trials.ask("bob", "b", make)).state == "runs"
    now += 101
    second = trials._running
    assert second is not None
    second.asked = now
    await until(lambda: trials._running is None)
    late = await trials.ask("bob", "b", make)
    assert (late.state, "given up" in str(late.fault)) == ("failed", True)
    await trials.ask("bob", "d", make)
    await trials.close()
    assert trials._running is None


@pytest.mark.parametrize("code", ["raise SystemExit(3)", "print('nonsense', flush=True)"])
async def test_one_that_breaks_is_said_to_have_broken(code: str) -> None:
    trials = Trials(time.monotonic, (sys.executable, "-c", code))

    async def make() -> str:
        return "job"

    await trials.ask("ann", "a", make)
    await until(lambda: trials._running is None)
    told = await trials.ask("ann", "a", make)
    assert (told.state, "without a result" in str(told.fault)) == ("failed", True)


def test_what_makes_no_difference_is_said_to_make_none() -> None:
    figures = {"refused": 0, "reclaims": 1, "lost_gpu_hours": 0.0, "owed_gpu_hours": 0.0, "use": 0.5}
    group = {"count": 3, "waited_s": 40.0, "longest_s": 40.0, "owed_gpu_hours": 0.0}
    more = {**group, "waited_s": 90.0}
    result = {
        "requests": 3, "notes": [], "before": figures, "after": figures,
        "groups": [{"name": "", "before": group, "after": more}],
    }  # fmt: skip
    view = make_trial_view(result, get_translator("en"))
    assert (view.lead, view.rows[0].difference) == (["Nobody would have waited noticeably more or less."], "±0")
    assert view.rows[0].name == "Whoever has no group"
