"""Quotas in a browser: what axe-core finds (nothing), and bars that follow what is held."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, async_playwright, expect

from tests.pages.conftest import CHROMIUM, CHROMIUM_ARGUMENTS
from tests.pages.test_accessible import faults
from tests.service.conftest import Running
from tests.service.logins import open_door
from tests.service.test_quota_changes import change, launch

pytestmark = pytest.mark.browser
CHANGE = '{"group":"vision","limit":{"gpu:a100":9},"reason":"deadline"}'


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        yield browser
        await browser.close()


@pytest.mark.parametrize(
    ("size", "scheme"), [((1280, 900), "light"), ((320, 700), "dark")], ids=["wide and light", "narrow and dark"]
)
async def test_axe_finds_nothing_and_nothing_is_cut_off(
    running: Running, browser: Browser, size: tuple[int, int], scheme: Any
) -> None:
    await change(running, group="vision", guaranteed={"gpu:a100": 2}, reason="base")
    await launch(running, 3)
    viewport: Any = {"width": size[0], "height": size[1]}
    context = await browser.new_context(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
    page = await context.new_page()
    await page.goto(open_door(running) + "admin")
    forms = ("quotas", "quotas/of?group=vision", "quotas/form?group=vision", f"change-quota?change={CHANGE}")
    for path in (*forms, f"quotas/trial?change={CHANGE}", "idle/trial"):
        await page.goto(running.settings.service_url + path)
        assert await faults(page) == [], path
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    await context.close()


async def test_bars_follow_what_is_held(running: Running, browser: Browser) -> None:
    page = await browser.new_page()
    await page.clock.install()
    await page.goto(open_door(running) + "alice")
    group = page.locator("#groups-title + ul")
    await expect(group).to_contain_text("0 of 6 used")
    await launch(running, 3)
    await page.clock.fast_forward(60_000)
    await expect(group).to_contain_text("3 of 6 used")
    await page.close()
