"""Usage as a page: its numbers and its picture, whose they are, and what is not read as it was not meant."""

from __future__ import annotations

import csv
import io
from datetime import date, timedelta
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser

from tests.pages.conftest import Login
from tests.pages.launcher import HOSTILE
from tests.pages.site import PREFIX, Site
from tests.pages.test_accessible import faults
from tests.pages.test_browser import NARROW, WIDE, open_page

pytestmark = pytest.mark.asyncio(loop_scope="session")
FORMULA = "=HYPERLINK(1)"


async def get(login: Login, who: str, path: str) -> str:
    page: httpx.Response = await (await login(who)).get(path)
    assert page.status_code == 200
    return page.text


async def test_administrators_see_all(login: Login, site: Site) -> None:
    site.usage.add(0, "alice", "vision", 10, 30, 2)
    site.usage.add(0, HOSTILE, FORMULA, 1, 1)
    site.usage.add(40, "bob", "nlp", 7, 0)
    text = await get(login, "root", "usage")
    assert "44 GPU-hours were allocated: 11 of them used (25 %), 31 held but idle (70 %), and of 2 it" in text
    assert "Of everybody." in text
    assert "<bdi>alice</bdi>" in text
    assert "bob" not in text
    assert "<img src=x" not in text
    assert " style=" not in text
    before = (date.today() - timedelta(days=40)).isoformat()
    text = await get(login, "root", f"usage?by=group&from={before}&to={before}")
    assert "<bdi>nlp</bdi>" in text
    assert "vision" not in text


async def test_others_see_their_own(login: Login, site: Site) -> None:
    site.usage.add(0, "alice", "vision", 10, 30)
    site.usage.add(0, "carol", "nlp", 1, 1)
    text = await get(login, "alice", "usage")
    assert "40 GPU-hours were allocated" in text
    assert "Of yourself." in text
    assert "carol" not in text
    assert "nlp" not in await get(login, "alice", "usage?by=group")


async def test_an_empty_ledger_and_wrong_days(login: Login, site: Site) -> None:
    text = await get(login, "alice", "usage")
    assert "Nobody held a GPU in these days." in text
    assert "Nothing is added up yet" in text
    for wrong in ("from=2026-02-30", "from=<script>", "to=0001-01-01", "from=2026-02-02&to=2026-02-01"):
        text = await get(login, "alice", f"usage?{wrong}")
        assert 'role="alert"' in text, wrong
        assert "<script>alert" not in text
    assert (await (await login("alice")).get("usage.csv?from=never")).status_code == 422


async def test_the_file_is_for_spreadsheets_and_runs_nothing(login: Login, site: Site) -> None:
    site.usage.add(0, FORMULA, "vision", 10, 30)
    client = await login("root")
    answer = await client.get("usage.csv?by=user")
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="usage-user-')
    rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))
    assert rows[1][:4] == [f"'{FORMULA}", "40.000000", "10.000000", "30.000000"]


async def test_much_is_cut_and_the_file_has_it(login: Login, site: Site) -> None:
    for number in range(103):
        site.usage.add(0, f"user{number}", "vision", 1, 1)
    text = await get(login, "root", "usage")
    assert text.count("<bdi>user") == 100
    assert "Behind these: 3 more." in text
    assert f'href="{PREFIX}usage.csv?by=user&amp;from=' in text


@pytest.mark.browser
async def test_the_picture_tells_what_is_pointed_at(browser: Browser, site: Site) -> None:
    site.usage.add(1, "alice", "vision", 10, 30, 2)
    site.usage.add(0, "alice", "vision", 5, 0)
    page = await open_page(await browser.new_context(viewport=WIDE), site, "usage", "root")
    box = await page.locator("#usage-chart .u-over").bounding_box()
    assert box is not None
    assert await page.locator(".mlab-usage-plot > svg").is_hidden()
    await page.mouse.move(box["x"] + box["width"] * 28.2 / 30, box["y"] + 50)
    told = page.locator("#usage-chart .u-legend")
    await told.get_by_text((await page.locator("#usage-days tbody th").all_text_contents())[-2]).wait_for()
    values = await told.locator(".u-value").all_text_contents()
    assert values[1:] == ["150", "2", "30", "10"]
    await page.click("#dark-theme-toggle")
    assert await page.locator("#usage-chart .u-legend").count() == 1
    await page.context.close()


@pytest.mark.browser
async def test_without_scripts_the_page_has_its_own_picture(browser: Browser, site: Site) -> None:
    site.usage.fill()
    context = await browser.new_context(viewport=WIDE, java_script_enabled=False)
    page = await context.new_page()
    await page.goto(f"{site.origin}/login-as/root?next={PREFIX}usage")
    await page.locator(".mlab-usage-plot > svg").wait_for()
    await page.locator("#usage-chart summary").click()
    assert await page.locator("#usage-days tbody tr").first.is_visible()
    await context.close()


@pytest.mark.browser
@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "light"), (NARROW, "dark")], ids=["wide", "narrow"])
async def test_axe_finds_nothing_and_nothing_sticks_out(browser: Browser, site: Site, size: Any, scheme: Any) -> None:
    site.usage.fill()
    context = await browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")
    for path in ("usage", "usage?by=day&lang=zh_CN", "usage?from=wrong"):
        page = await open_page(context, site, path, "root")
        await page.evaluate("document.querySelectorAll('details').forEach((one) => one.open = true)")
        assert await faults(page) == [], path
        assert await page.evaluate("document.documentElement.scrollWidth") <= size["width"], path
        await page.close()
    await context.close()
