"""The reconciler's page over a service that runs: what differs, a dry run, the repair, and sides that do not answer."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
import pytest

from mlabhub.service import reconciler
from mlabhub.service.reconcile_rules import GRACE_S
from tests.access.lab import NAVIGATION
from tests.service.conftest import Running
from tests.service.test_api import _signed_cookie
from tests.service.test_reconciler import later, launched

HOSTILE = "<img src=x>\u202e"


async def opened(running: Running, path: str, who: str = "admin") -> httpx.Response:
    """Return a page as a browser gets it, the two steps to a question included."""
    headers = {"Cookie": _signed_cookie(running, running.tokens.cookie_name, f"t-{who}"), **NAVIGATION}
    answer = await running.http.get(path, headers=headers)
    if answer.status_code == 302:
        origin = running.settings.service_url.removesuffix(running.settings.service_prefix)
        answer = await running.http.get(origin + answer.headers["location"], headers=headers)
    return answer


async def press(running: Running, page: httpx.Response, **more: str) -> httpx.Response:
    """Press the button of a page that asks."""
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.text))
    cookie = f"{_signed_cookie(running, running.tokens.cookie_name, 't-admin')}; _xsrf={fields['_xsrf']}"
    return await running.http.post("repair", data={**fields, **more}, headers={"Cookie": cookie, **NAVIGATION})


@pytest.fixture
async def lost(running: Running) -> Running:
    """Return a service whose hub has lost a server in which somebody may work, and beside it something unknown."""
    await launched(running)
    await later(running)
    running.hub.lose("alice", "x")
    await later(running)
    await later(running)
    return running


async def test_what_differs_is_shown_with_what_a_repair_would_do(lost: Running) -> None:
    page = (await opened(lost, "reconciler")).text
    assert "Differences: 1." in page
    assert "the hub does not know it" in page
    assert "By a repair:" in page
    assert 'id="repair"' in page
    assert (await opened(lost, "reconciler", "alice")).status_code == 403


async def test_a_repair_asks_first_and_stands_in_the_audit(lost: Running) -> None:
    launch_id = next(iter(lost.backend.running))
    question = await opened(lost, "repair")
    assert "it ends, and what it held is given back" in question.text
    assert launch_id in lost.backend.running
    assert (await press(lost, question, confirm="made up")).headers["location"].endswith("stale=1")
    assert launch_id in lost.backend.running
    answer = await press(lost, question)
    assert answer.headers["location"].endswith("reconciler?done=repair")
    assert lost.backend.removed == [launch_id]
    page = (await opened(lost, "reconciler?done=repair")).text
    assert "Repaired." in page
    assert "removed" in page
    entries = (await lost.call("GET", "api/v1/audit", "admin", params={"act": "reconcile"})).json()["entries"]
    assert [(one["actor"], one["message"]) for one in entries] == [
        ("admin", "admin asked that what differs be repaired")
    ]
    gone = await opened(lost, "repair")
    assert gone.status_code == 404
    assert "nothing to repair any more" in gone.text


async def test_what_runs_without_reservation_is_removed_with_an_entry(running: Running) -> None:
    running.backend.run("01Z", "bob", "y", (), "exited")
    await later(running)
    entries = (await running.call("GET", "api/v1/audit", "admin", params={"actor": "reconciler"})).json()["entries"]
    assert [(one["act"], one["user"], one["launch_id"]) for one in entries] == [("remove", "bob", "01Z")]


async def test_where_a_side_does_not_answer_nothing_is_known_and_the_page_is_there(lost: Running) -> None:
    lost.backend.down = True
    await lost.service.reconciler.round()
    page = await opened(lost, "reconciler")
    assert page.status_code == 200
    assert "What differs is not known" in page.text
    assert "The engine does not answer." in page.text
    assert 'id="repair"' not in page.text
    assert (await opened(lost, "repair")).status_code == 503


async def test_a_side_that_hangs_holds_nobody(lost: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciler, "PATIENCE_S", 0.2)
    never = asyncio.Event()

    async def hangs() -> Any:
        await never.wait()

    monkeypatch.setattr(lost.backend, "servers", hangs)
    report = await lost.service.reconciler.look()
    assert "did not answer within" in str(report.error)
    assert (await opened(lost, "reconciler")).status_code == 200
    assert (await opened(lost, "repair")).status_code == 503


async def test_before_the_first_look_it_says_so(running: Running) -> None:
    assert "Nothing was compared yet" in (await opened(running, "reconciler")).text


async def test_names_that_attack_are_text(running: Running) -> None:
    running.backend.run(f"01{HOSTILE}", HOSTILE, HOSTILE, ("GPU-1",))
    running.world.clock = _ahead(running)
    await running.service.reconciler.look()
    page = await opened(running, "repair")
    for text in (page.text, (await opened(running, "reconciler")).text):
        assert "<img src=x>" not in text
        assert "\u202e" not in text
    assert "&lt;img" in page.text


def _ahead(running: Running) -> Any:
    began = running.world.clock
    return lambda: began() + GRACE_S + 1
