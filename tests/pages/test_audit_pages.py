"""The audit for administrators and one's own history, as pages: searched, paged through, taken along, never changed."""

from __future__ import annotations

import csv
import io
import json
import re
from html import unescape
from typing import Any

import pytest
from playwright.async_api import Browser

from mlabhub.ledger import AuditEntry
from mlabhub.messages import Message
from tests.pages.conftest import Login
from tests.pages.launcher import HOSTILE
from tests.pages.site import Site
from tests.pages.test_accessible import faults
from tests.pages.test_browser import NARROW, WIDE, open_page

pytestmark = pytest.mark.asyncio(loop_scope="session")
DAY_S = 86400.0
START = 1_796_000_000.0  # in 2026


def entries(count: int = 60) -> list[AuditEntry]:
    """Return what alice and bob were decided on, one every hour."""
    asked = "{actor} asked for it"
    return [
        AuditEntry(START + 3600 * n, "root", "stop", Message.of(asked, actor="root"), ("alice", "bob")[n % 2], f"s{n}")
        for n in range(count)
    ]


def hostile() -> AuditEntry:
    return AuditEntry(START, HOSTILE, "odd act", Message.of("{x}", x=f"\u202e{HOSTILE}"), HOSTILE, HOSTILE)


async def test_administrators_search_it(site: Site, login: Login) -> None:
    site.ledger.commit(entries())
    root = await login("root")
    page = (await root.get("audit")).text
    assert page.count('class="mlab-trail-time"') == 50
    assert "root asked for it" in page
    found = (await root.get("audit", params={"user": "alice", "server": "s4", "act": "stop"})).text
    assert found.count('class="mlab-trail-time"') == 1
    assert 'value="alice"' in found
    assert "No entry is like that." in (await root.get("audit", params={"text": "nobody says this"})).text
    assert (await (await login("alice")).get("audit")).status_code == 403


async def test_one_page_leads_to_the_next_until_all_were_seen(site: Site, login: Login) -> None:
    site.ledger.commit(entries(120))
    root, seen = await login("root"), 0
    address = "audit?actor=root"
    for _ in range(4):
        page = (await root.get(address)).text
        seen += page.count('class="mlab-trail-time"')
        older = re.search(r'id="older" rel="next" href="([^"]+)"', page)
        if older is None:
            break
        address = site.origin + unescape(older[1])
    assert seen == 120
    assert 'id="newest"' in page


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"from": "yesterday"}, "from cannot be &#34;yesterday&#34;: write a day such as 2026-12-01"),
        ({"to": "2026-02-30"}, "to cannot be &#34;2026-02-30&#34;"),
        ({"from": "9" * 300}, "from cannot be"),
        ({"text": "x" * 300}, "What is asked for in text has 300 characters; names and texts have 255 at most."),
        ({"before": "-1"}, "limit and before must be whole numbers above 0."),
    ],
)
@pytest.mark.parametrize("path", ["audit", "history"])
async def test_what_cannot_be_read_is_said_in_the_form(
    login: Login, path: str, asked: dict[str, str], said: str
) -> None:
    page = await (await login("root")).get(path, params=asked)
    assert page.status_code == 422
    assert said in page.text
    assert 'id="search"' in page.text


async def test_a_day_is_meant_whole(site: Site, login: Login) -> None:
    site.ledger.commit(entries(72))
    root = await login("root")
    whole = (await root.get("audit", params={"from": "2026-11-30", "to": "2026-11-30"})).text
    assert whole.count('class="mlab-trail-time"') == 24


async def test_it_is_taken_along_as_csv_and_as_lines_of_json(site: Site, login: Login) -> None:
    formula = AuditEntry(START, "root", "keep", Message.of("{reason}", reason='=HYPERLINK("http://x")'), "@alice", "-1")
    site.ledger.commit([*entries(5000), formula])
    root = await login("root")
    answer = await root.get("audit/export", params={"format": "csv"})
    assert answer.headers["content-disposition"] == 'attachment; filename="audit.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [int(row["number"]) for row in rows] == list(range(5001, 0, -1))
    first = rows[0]
    assert (first["user"], first["server"], first["message"]) == ("'@alice", "'-1", '\'=HYPERLINK("http://x")')
    lines = (await root.get("audit/export", params={"format": "jsonl", "user": "bob"})).text.splitlines()
    assert len(lines) == 2500
    assert json.loads(lines[-1])["message"] == "root asked for it"
    assert (await (await login("alice")).get("audit/export")).status_code == 403
    wrong = await root.get("audit/export", params={"format": "xls"})
    assert (wrong.status_code, "There are: csv, jsonl." in wrong.text) == (422, True)


async def test_ones_own_is_said_in_ones_own_language_and_names_nobody_else(site: Site, login: Login) -> None:
    refused = Message.of("{group} holds {used}: {holders}", group="vision", used=4, holders="zqbob 2")
    site.ledger.commit([*entries(4), AuditEntry(START + DAY_S, "alice", "refuse", refused, "alice", "s9")])
    alice = await login("alice", **{"Accept-Language": "zh-CN"})
    page = (await alice.get("history")).text
    assert page.count('class="mlab-trail-time"') == 3
    assert "s9" in page
    assert "s1<" not in page
    assert "zqbob" not in page
    assert "我的历史" in page
    for text in ("zqbob", "holds"):  # what is found would tell as much as the sentence
        found = (await alice.get("history", params={"text": text, "user": "bob"})).text
        assert ("s9" in found, 'id="none"' in found, 'id="unread"' in found) == (False, True, True)
    assert "zqbob" in (await (await login("root")).get("audit?user=alice")).text


async def test_ones_own_is_searched_by_text_and_paged_through(site: Site, login: Login) -> None:
    site.ledger.commit([*entries(240), AuditEntry(START, "root", "keep", Message.of("{why}", why="Zq"), "bob", "s")])
    alice = await login("alice")
    page = (await alice.get("history", params={"text": "ROOT asked"})).text
    assert page.count('class="mlab-trail-time"') == 50
    assert 'value="ROOT asked"' in page
    older = re.search(r'id="older" rel="next" href="([^"]+)"', page)
    assert older is not None
    assert "text=ROOT" in older[1]
    assert 'id="none"' in (await alice.get("history", params={"text": "zq"})).text


async def test_hostile_names_are_text(site: Site, login: Login) -> None:
    site.ledger.commit([hostile()])
    root = await login("root")
    page = (await root.get("audit")).text
    for told in (page, (await root.get("audit/export")).text):
        assert "\u202e" not in told
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page


@pytest.mark.browser
@pytest.mark.parametrize(
    ("size", "scheme", "locale"), [(WIDE, "light", "en-US"), (NARROW, "dark", "zh-CN")], ids=["wide", "narrow"]
)
async def test_axe_finds_nothing_and_nothing_is_wider_than_the_page(
    browser: Browser, site: Site, size: Any, scheme: Any, locale: str
) -> None:
    site.ledger.commit([*entries(), hostile()])
    context = await browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce", locale=locale)
    for user, path in (("root", "audit"), ("root", "audit?from=x"), ("alice", "history"), ("carol", "history")):
        page = await open_page(context, site, path, user)
        assert await faults(page) == [], path
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        await page.close()
    await context.close()
