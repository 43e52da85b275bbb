"""Quotas as pages, over a whole service: who sees which, and what an administrator changes and takes back."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import httpx
import pytest

from tests.service.conftest import Running
from tests.service.logins import log_in
from tests.service.test_quota_changes import change, usage

HOSTILE = "<img src=x onerror=alert(1)>"


def form_of(page: httpx.Response) -> dict[str, str]:
    """Return the fields of the form that changes a quota."""
    text = page.text.split('id="quota-form"', 1)[1].split("</form>", 1)[0]
    fields = re.findall(r'<input[^>]* name="([^"]+)"(?:[^>]*? value="([^"]*)")?', text)
    return {unescape(name): unescape(value) for name, value in fields}


def hidden(page: httpx.Response) -> dict[str, str]:
    """Return the hidden fields of the page that asks."""
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.text)
    return {name: unescape(value) for name, value in found}


async def send(client: httpx.AsyncClient, path: str, **typed: str) -> httpx.Response:
    """Open a quota, write into its form, and send that; return what comes then."""
    fields = form_of(await client.get(path))
    return await client.get("quotas/form", params={**fields, **typed}, follow_redirects=True)


async def confirm(client: httpx.AsyncClient, page: httpx.Response, act: str) -> httpx.Response:
    """Press the button of the page that asks."""
    return await client.post(act, data=hidden(page), follow_redirects=True)


async def test_a_person_sees_their_groups_and_themselves(running: Running) -> None:
    await change(running, group="vision", guaranteed={"gpu:a100": 4}, reason=HOSTILE)
    await change(running, group="nlp", limit={"gpu": 2}, reason="secret")
    async with log_in(running, "alice") as client:
        text = (await client.get("quotas")).text
        assert "0 of 6 used · 4 guaranteed" in text
        assert "nlp" not in text
        assert "secret" not in text
        assert "quotas/form" not in (await client.get("quotas/of?group=vision")).text
        assert "<img src=x" not in text
        assert "&lt;img src=x" in text
        assert (await client.get("quotas/of?person=alice")).status_code == 200
        for other in ("group=nlp", "group=none", "person=bob", "person=none", "person=", ""):
            assert (await client.get(f"quotas/of?{other}")).status_code == 404, other
        assert (await client.get("quotas/form?group=vision&limit.gpu=3")).status_code == 403
        assert (await client.get("undo-quota?change=01A", follow_redirects=True)).status_code == 403


async def test_an_administrator_changes_a_quota_and_takes_it_back(running: Running) -> None:
    async with log_in(running, "admin") as client:
        typed = {"limit.gpu:a100": "8", "guaranteed.gpu:a100": "4", "reason": "deadline {week}"}
        page = await send(client, "quotas/of?group=vision", **typed)
        assert "Change the quota of vision?" in page.text
        for said in ("Limit, A100: 8", "Guaranteed, A100: 4", "deadline {week}", "for good", "at once"):
            assert said in page.text, said
        assert (await usage(running))["limit"] == {"gpu:a100": 6.0}, "asking changes nothing"
        done = await confirm(client, page, "change-quota")
        assert "The quota was changed." in done.text
        assert (await usage(running))["limit"] == {"gpu:a100": 8.0}
        undo = re.findall(r'href="[^"]*(undo-quota\?change=[^"]+)"', done.text)
        assert len(undo) == 2
        asked = await client.get(unescape(undo[0]), follow_redirects=True)
        assert "Undo the change of the quota of vision?" in asked.text
        assert "The change was undone." in (await confirm(client, asked, "undo-quota")).text
        history = (await running.call("GET", "api/v1/quotas/changes", "admin")).json()["changes"]
        assert sorted(one["state"] for one in history) == ["in force", "undone"]
        assert {one["author"] for one in history} == {"admin"}


async def test_what_somebody_changed_meanwhile_is_not_written_over(running: Running) -> None:
    async with log_in(running, "admin") as client:
        fields = form_of(await client.get("quotas/of?group=vision"))
        await change(running, group="vision", limit={"gpu:a100": 7}, reason="first")
        mine = {**fields, "limit.gpu:a100": "9", "reason": "second"}
        late = await client.get("quotas/form", params=mine, follow_redirects=True)
        assert late.status_code == 409
        assert "Somebody changed limit gpu:a100 of &#34;vision&#34; meanwhile: it was 6" in late.text
        page = await send(client, "quotas/of?group=vision", **{"limit.gpu:a100": "9", "reason": "third"})
        await change(running, group="vision", limit={"gpu:a100": 8}, reason="while it was asked")
        refused = await confirm(client, page, "change-quota")
        assert refused.status_code == 409
    assert (await usage(running))["limit"] == {"gpu:a100": 8.0}


@pytest.mark.parametrize(
    ("typed", "status", "told"),
    [
        ({"limit.gpu:a100": "many", "reason": "x"}, 422, "limit.gpu:a100 cannot be"),
        ({"limit.gpu:a100": "-7", "reason": "x"}, 422, "would leave less than nothing"),
        ({"limit.gpu:a100": "nan", "reason": "x"}, 422, "cannot be"),
        ({"limit.gpu:a100": "8", "reason": " "}, 422, "Give a reason"),
        ({"reason": "x"}, 422, "Every number is as it was."),
        ({"limit.gpu:a100": "8", "reason": "x", "until": "2001-01-01T00:00"}, 422, "which is past"),
        ({"limit.gpu:a100": "8", "reason": "x", "from": "never"}, 422, "is no time"),
        ({"guaranteed.gpu:a100": "7", "reason": "x"}, 409, "would have a contradiction"),
    ],
)
async def test_what_cannot_be_is_said_beside_what_was_typed(
    running: Running, typed: dict[str, str], status: int, told: str
) -> None:
    async with log_in(running, "admin") as client:
        page = await send(client, "quotas/of?group=vision", **typed)
    assert (page.status_code, told in page.text) == (status, True), page.text
    kept = form_of(page)
    assert {name: kept[name] for name in typed} == typed
    assert (await usage(running))["limit"] == {"gpu:a100": 6.0}


async def test_a_persons_cap_for_a_while(running: Running) -> None:
    async with log_in(running, "admin") as client:
        first = await client.get("quotas/of?person=alice")
        assert "as for everybody" in first.text
        typed = {"cap.gpu": "2", "reason": "shares", "until": "2099-01-01T08:00"}
        await confirm(client, await send(client, "quotas/of?person=alice", **typed), "change-quota")
        own = await usage(running, "alice", of="users")
        assert own["limit"]["gpu"] == 2.0
        assert (await client.get("quotas/of?person=nobody")).status_code == 404
        assert "alice" in (await client.get("quotas?q=ALI")).text
        assert "Nobody of that name." in (await client.get("quotas?q=zzz")).text
        assert (await client.get("quotas?page=99999999999")).status_code == 200


@pytest.mark.parametrize("change", ["", "{", "[]", '{"group": 3}', '{"group":"none","limit":{"gpu":1},"reason":"x"}'])
async def test_an_address_that_was_made_up(running: Running, change: str) -> None:
    async with log_in(running, "admin") as client:
        for act in ("change-quota", "undo-quota"):
            page = await client.get(act, params={"change": change}, follow_redirects=True)
            assert page.status_code in (404, 422)
            assert "Traceback" not in page.text


async def test_a_change_needs_the_page_that_asks(running: Running) -> None:
    body: Any = '{"group":"vision","limit":{"gpu:a100":9},"reason":"x"}'
    async with log_in(running, "admin") as client:
        xsrf = re.search(r'data-xsrf="([^"]+)"', (await client.get("quotas")).text)
        assert xsrf
        sent = {"change": body, "user": "admin", "_xsrf": unescape(xsrf[1]), "confirm": "made up"}
        assert "It was answered already" not in (await client.post("change-quota", data=sent)).text
        assert (await client.post("change-quota", data={**sent, "_xsrf": "x"})).status_code == 403
    assert (await usage(running))["limit"] == {"gpu:a100": 6.0}
