"""A browser on the pages: axe-core finds nothing, nothing is wider than a phone, the form works by keyboard."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Browser, Page

from tests.pages.conftest import browser as browser
from tests.pages.test_accessible import faults
from tests.pages.test_browser import NARROW, WIDE
from tests.people.conftest import log_in_browser
from tests.service.conftest import Running

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]
SEND = "main button[type=submit]"


async def check(page: Page, what: str) -> None:
    assert await faults(page) == [], what
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{what} is wider than the page"


@pytest.mark.parametrize(
    ("size", "scheme", "language"),
    [(WIDE, "light", "en"), (NARROW, "dark", "zh-CN")],
    ids=["wide and light", "narrow, dark, Chinese"],
)
async def test_every_state(browser: Browser, running: Running, size: Any, scheme: Any, language: str) -> None:
    running.accounts.asked = ("newton",)
    for number in range(60):
        running.hub.add_user(f"person{number:02}", "vision", "a group with a long name")
    await running.call("POST", "api/v1/people/bob/close", "admin", json={"keep_days": 0})
    context = await browser.new_context(viewport=size, color_scheme=scheme, locale=language, reduced_motion="reduce")
    await log_in_browser(context, running, "admin")
    page = await context.new_page()
    base = running.settings.service_url
    for path in ("people", "people?q=nobody", "people/of?name=alice", "people/of?name=bob", "close-account?name=alice"):
        await page.goto(base + path)
        await check(page, path)
    await page.goto(base + "people/new")
    await check(page, "the form")
    await page.fill("#name", "a b")
    await page.click(SEND)
    await page.wait_for_selector("#problem")
    await check(page, "a refused form")
    await page.fill("#name", "ann")
    await page.select_option("#profile", "cpu")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#password")
    await check(page, "an account that was opened")
    assert await page.text_content("#password") == running.accounts.passwords["ann"]
    await page.goto(base + "people/file")
    await check(page, "the form for a file")
    text = b"name,groups,quota\nben,vision;nlp,gpu=1\nhe len,,\n"
    await page.set_input_files("#file", files=[{"name": "people.csv", "mimeType": "text/csv", "buffer": text}])
    await page.click(SEND)
    await page.wait_for_url("**/people/file/*")
    await check(page, "a file that was read")
    await page.click(SEND)
    await page.wait_for_selector("td code")
    await check(page, "a file that was opened")
    assert running.accounts.passwords["ben"] in await page.inner_text("main")
    await context.close()
