"""Idleness on the pages in a real browser: the home page, a server's own page, administrators' page, notifications."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect

from mlabhub.core.readings import Sample
from mlabhub.service.views import ShelvedView
from tests.pages.launcher import MemoryLauncher
from tests.pages.site import Site
from tests.pages.test_accessible import faults
from tests.pages.test_browser import LOOKS, WIDE, open_page, start
from tests.pages.test_idle_overview import told

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

RECORDER = """
window.told = [];
window.Notification = class extends EventTarget {
  static permission = "granted";
  constructor(title, options) { super(); window.told.push(title + "|" + options.body); }
};
"""


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A fresh profile."""
    context = await browser.new_context(viewport=WIDE, locale="en-US")  # type: ignore[arg-type]
    yield context
    await context.close()


async def fill_idle(launcher: MemoryLauncher, site: Site) -> str:
    """Let alice have a warned server with a day behind it, one that gave its GPUs back, and one that fails."""
    launch_id = await start(launcher, "alice", "train", profile="gpu", gpus=2, gpu_type="a100")
    launcher.finish(launch_id)
    site.idle.shown, site.idle.warned, site.idle.told = {"train"}, {"train"}, told()
    now = time.time()
    site.idle.samples = tuple(
        Sample(
            now - 60 * ago,
            "alice/train",
            launch_id,
            2,
            (None, None) if 500 < ago < 620 else (70.0 + ago % 23, 20.0) if ago > 150 else (0.0, 0.0),
            (2.0**34, 2.0**34),
            None if 500 < ago < 620 else 0.05 if ago < 150 else 2.0 + ago % 7 / 4,
        )
        for ago in range(1100)
    )
    shelved = ShelvedView("released", now, now, 1, "t4", rescue="/mnt/user/alice/mlabhub-rescue/20261127-read")
    for name, changes in (("read", {"shelved": shelved}), ("broken", {})):
        one = await start(launcher, "alice", name)
        launcher.finish(one, **({"failure": "no"} if name == "broken" else {}))
        changes = changes or {"safe_mode_offered": True}
        launcher.views["alice", name] = replace(launcher.views["alice", name], **changes)
    return launch_id


async def test_a_warning_comes_by_itself_is_counted_down_and_kept(
    context: BrowserContext, site: Site, launcher: MemoryLauncher
) -> None:
    await fill_idle(launcher, site)
    site.idle.warned = set()
    page = await open_page(context, site)
    await expect(page.locator(".mlab-idle")).to_contain_text("GPU idle for 2 h.")
    await expect(page.locator("[data-warned]")).to_have_count(0)
    site.idle.warned = {"train"}
    await page.reload()
    timer = page.locator("[data-warned] [role=timer]")
    first = await timer.inner_text()
    assert first.startswith("in 1")
    await expect(timer).not_to_have_text(first, timeout=6000)
    await page.click("#keep-warned-1")
    await expect(page.locator("[role=status]").first).to_contain_text("It is kept.")
    assert site.idle.kept[0][:3] == ("alice", "alice", "train")


async def test_the_browser_tells_it_once_and_asks_only_by_a_click(
    context: BrowserContext, site: Site, launcher: MemoryLauncher
) -> None:
    await fill_idle(launcher, site)
    await context.add_init_script(RECORDER.replace("granted", "default"))
    page = await open_page(context, site)
    await expect(page.locator("#tell-me")).to_be_visible()
    assert await page.evaluate("window.told") == []
    await page.evaluate("Notification.requestPermission = async () => 'granted'")
    await page.click("#tell-me")
    await until(page, "window.told.length === 1")
    said = (await page.evaluate("window.told"))[0]
    assert said.startswith("train stands idle and is stopped at ")
    assert said.endswith("|GPU idle for 2 h.")
    await context.add_init_script(RECORDER)
    again = await open_page(context, site, "queue")
    async with again.expect_response("**/warned"):
        await again.reload()
    assert await again.evaluate("window.told") == []


async def test_a_servers_own_page_keeps_itself_true_and_takes_nothing_away(
    context: BrowserContext, site: Site, launcher: MemoryLauncher
) -> None:
    launch_id = await fill_idle(launcher, site)
    page = await open_page(context, site, f"servers/{launch_id}")
    timer = page.locator("[data-part=verdict] [role=timer]")
    first = await timer.inner_text()
    await page.click("#day-table summary")
    await page.fill("#reason", "a paper")
    site.idle.said, site.idle.samples = "GPU idle for 3 h.", site.idle.samples[:300]
    said = await page.locator("#day-gpu").inner_text()
    await page.evaluate("window.dispatchEvent(new Event('online'))")
    await expect(page.locator("#verdict")).to_have_text("GPU idle for 3 h.")
    await expect(page.locator("#day-gpu")).not_to_have_text(said)
    await expect(page.locator("#day-table tbody")).to_be_visible()
    await expect(page.locator("#reason")).to_have_value("a paper")
    await expect(page.locator("#reason")).to_be_focused()
    await expect(timer).not_to_have_text(first)
    site.idle.over = True
    await page.evaluate("window.dispatchEvent(new Event('online'))")
    await expect(page.locator("[data-part=verdict]")).to_contain_text("This launch is over")
    await expect(page.locator("#reason")).to_have_count(0)


async def until(page: Page, so: str) -> None:
    """Wait until an expression is true; the page's own policy lets nothing in it evaluate text, as Playwright would."""
    deadline = time.monotonic() + 20
    while not await page.evaluate(so):
        assert time.monotonic() < deadline, so
        await asyncio.sleep(0.05)


SHOWN = """
window.shown = [];
window.Notification = class extends window.Notification {
  constructor(title, options) {
    super(title, options);
    this.addEventListener("show", () => window.shown.push([title, options.body]));
  }
};
"""
"""The browser's own notifications, and which of them it has shown."""


async def test_a_browser_that_may_shows_it_by_itself(
    context: BrowserContext, site: Site, launcher: MemoryLauncher
) -> None:
    await context.grant_permissions(["notifications"])
    await context.add_init_script(SHOWN)
    page = await open_page(context, site)  # nothing is warned yet: the page that a login leads to would tell it
    await fill_idle(launcher, site)
    await page.goto(site.url + "queue")
    await until(page, "window.shown.length === 1")
    [[title, body]] = await page.evaluate("window.shown")
    assert title.startswith("train stands idle and is stopped at ")
    assert body == "GPU idle for 2 h."
    await expect(page.locator("#tell-me")).to_be_hidden()


@pytest.mark.parametrize(("size", "scheme", "locale"), LOOKS)
async def test_they_fit_and_axe_finds_nothing(
    browser: Browser, site: Site, launcher: MemoryLauncher, size: Any, scheme: Any, locale: str
) -> None:
    launch_id = await fill_idle(launcher, site)
    context = await browser.new_context(viewport=size, color_scheme=scheme, locale=locale, reduced_motion="reduce")
    for user, path in (
        ("alice", ""),
        ("alice", f"servers/{launch_id}"),
        ("alice", "bring-back?server=read"),
        ("root", "idle"),
    ):
        page = await open_page(context, site, path, user)
        if path.startswith("servers/"):
            await page.click(".mlab-day-table summary")
        assert await faults(page) == [], path
        width = await page.evaluate("document.documentElement.scrollWidth")
        assert width <= size["width"], f"{path} is {width} wide"
        await page.close()
    await context.close()
