"""Every page over a lab as it might be: nothing serious for axe-core in either theme, nothing wider than a phone, all
of it reached by keyboard, a picture of each in the documentation.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.pages.all_pages import PAGES, Page
from tests.pages.keyboard import walk
from tests.pages.lab import Lab, open_lab
from tests.pages.lab_past import ADMIN, PERSON
from tests.pages.pictures import WIDTH, picture_of, take
from tests.pages.test_accessible import faults
from tests.pages.test_browser import NARROW, WIDE, open_page

pytestmark = [pytest.mark.long, pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]
MOST_BYTES = 150_000
CHANGE = '{"group":"vision","limit":{"gpu:a100":9},"reason":"deadline"}'
FORMS = (
    Page("quota-form", "quotas/of?group={group}", admin=True),
    Page("quota-trial", f"quotas/trial?change={quote(CHANGE)}", admin=True),
    Page("quota-change", f"change-quota?change={quote(CHANGE)}", admin=True, asks=True),
    Page("people-file", "people/file", admin=True),
    Page("leave", "leave?launch={waiting}", asks=True),
    Page("log", "servers/{launch}?log=1"),
)
"""What is not in the table of pages, for it is a step of something, and what is filled in or decided there."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def lab(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    """One lab for all pages, which change nothing."""
    async with open_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
@pytest.mark.parametrize(
    ("size", "scheme", "language"), [(WIDE, "light", "en-US"), (NARROW, "dark", "zh-CN")], ids=["wide", "narrow"]
)
async def test_nothing_is_wrong_with_a_page(
    browser: Browser, lab: Lab, page: Page, size: Any, scheme: Any, language: str
) -> None:
    context = await browser.new_context(viewport=size, color_scheme=scheme, locale=language, reduced_motion="reduce")
    user = ADMIN if page.admin else PERSON
    tab = await open_page(context, lab, page.path.format(**lab.subjects), user)
    assert await tab.evaluate("document.documentElement.scrollWidth") <= size["width"], "it is wider than the window"
    assert await tab.locator("h1").count() == 1
    assert tab.complaints == []  # type: ignore[attr-defined]
    assert await faults(tab) == []
    await context.close()


@pytest.mark.parametrize("page", [*PAGES, *FORMS], ids=lambda page: page.name)
async def test_all_of_a_page_is_reached_by_keyboard(browser: Browser, lab: Lab, page: Page) -> None:
    context = await browser.new_context(viewport=WIDE, locale="en-US", reduced_motion="reduce")  # type: ignore[arg-type]
    tab = await open_page(context, lab, page.path.format(**lab.subjects), ADMIN if page.admin else PERSON)
    assert await tab.locator("h1").count() == 1
    assert await walk(tab) == []
    await context.close()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
async def test_a_page_has_its_picture(browser: Browser, lab: Lab, page: Page) -> None:
    """`python -m tests.pages.pictures` renews them; fonts differ from machine to machine, so the bytes do."""
    taken, committed = await take(browser, lab, page), picture_of(page).read_bytes()
    assert max(len(taken), len(committed)) < MOST_BYTES
    assert _width(taken) == _width(committed) == WIDTH
    assert 0.5 < len(taken) / len(committed) < 2, "the page looks otherwise than its picture: renew it"


def _width(png: bytes) -> int:
    return int.from_bytes(png[16:20], "big")
