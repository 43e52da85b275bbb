"""What differs and its repair, in a browser: nothing for axe-core to find, all of it by keyboard, nothing cut off."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Browser, expect

from tests.pages.keyboard import walk
from tests.pages.test_accessible import faults
from tests.service.conftest import Running
from tests.service.logins import open_door
from tests.service.test_quota_browser import browser
from tests.service.test_reconciler_page import lost

__all__ = ["browser", "lost"]

pytestmark = pytest.mark.browser
LOOKS: tuple[tuple[Any, Any, str], ...] = (
    ({"width": 1280, "height": 900}, "light", "en-US"),
    ({"width": 320, "height": 700}, "dark", "zh-CN"),
)


async def test_a_repair_is_read_and_made_by_keyboard(lost: Running, browser: Browser) -> None:
    door, url = open_door(lost), lost.settings.service_url
    for size, scheme, language in LOOKS:
        context = await browser.new_context(
            viewport=size, color_scheme=scheme, locale=language, reduced_motion="reduce"
        )
        page = await context.new_page()
        await page.goto(door + "admin")
        for path in ("reconciler", "repair"):
            await page.goto(url + path)
            assert await faults(page) == [], path
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
            assert await walk(page) == [], path
    await page.locator("main form button").last.focus()
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/reconciler?done=repair")
    await expect(page.get_by_role("status").first).to_be_visible()
    assert len(lost.backend.removed) == 1
