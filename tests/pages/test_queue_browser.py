"""The queue's pages in a real browser: they keep themselves true, and turn into what was waited for."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, expect

from mlabhub.messages import Message
from mlabhub.service.wait_views import NoticeView
from tests.pages.launcher import MemoryLauncher
from tests.pages.queue import in_minutes
from tests.pages.site import Site
from tests.pages.test_accessible import faults
from tests.pages.test_browser import HURRY, LOOKS, NARROW, WIDE, open_page, start

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A fresh profile, whose pages hurry."""
    context = await browser.new_context(viewport=WIDE, locale="en-US")  # type: ignore[arg-type]
    await context.add_init_script(HURRY)
    yield context
    await context.close()


def notice(launch_id: str, server: str, seconds: float) -> NoticeView:
    """Return a notice that ends in so many seconds."""
    now = time.time()
    return NoticeView(
        launch_id, server, now, now + seconds, Message("Somebody of nlp needs what is guaranteed to them.")
    )


async def fill_queue(launcher: MemoryLauncher) -> str:
    """Let alice hold something borrowed that she is to give back, and wait behind others; return her entry."""
    launch_id = await start(launcher, "alice", "train", profile="gpu", gpus=2, gpu_type="a100")
    launcher.finish(launch_id)
    view = launcher.views["alice", "train"]
    for name, value in {"borrowed": True, "notice_s": 600.0, "claim_by": time.time() + 840, "wanted": 1.0}.items():
        object.__setattr__(view, name, value)
    launcher.waits.told["alice"] = [notice(launch_id, "train", 552)]
    launcher.waits.add("carol", gpus=1, group=None, minutes=95, wait=in_minutes(4, 12))
    launcher.waits.add("bob", "sweep", gpus=2, minutes=31, wait=in_minutes(20, 40))
    own = launcher.waits.add("alice", wait=in_minutes(25, 65), nearest={"gpus": 2}, minutes=12, reclaims=1)
    launcher.waits.add("bob", "later", gpus=1, minutes=3)
    return own


async def test_the_waiting_page_becomes_the_server(
    context: BrowserContext, site: Site, launcher: MemoryLauncher
) -> None:
    first = launcher.waits.add("bob", "b")
    own = launcher.waits.add("alice", wait=in_minutes(25, 65))
    page = await open_page(context, site, f"starting/{own}")
    await expect(page).to_have_title(re.compile(r"^\(2\) exp waits"))
    await expect(page.locator("#starting-live")).to_contain_text("bob")
    launcher.waits.end(first, "left")
    await expect(page.locator("#starting-said")).to_contain_text("Place 1 of 1", timeout=5000)
    await launcher.waits.turn(own)
    await expect(page.locator("h1")).to_have_text("Starting exp", timeout=5000)
    launcher.finish(own)
    await expect(page.locator("h1")).to_have_text("Arrived at user/alice/exp/mlabhub/open/lab", timeout=5000)


async def test_it_says_that_the_service_is_away_and_comes_back(
    context: BrowserContext, site: Site, launcher: MemoryLauncher
) -> None:
    own = launcher.waits.add("alice")
    page = await open_page(context, site, f"starting/{own}")
    await page.route("**/progress*", lambda route: route.abort())
    await expect(page.locator("#starting-lost")).to_be_visible(timeout=6000)
    await page.unroute("**/progress*")
    await expect(page.locator("#starting-lost")).to_be_hidden(timeout=8000)


async def test_a_stream_says_at_once_that_something_changed(
    context: BrowserContext, site: Site, launcher: MemoryLauncher
) -> None:
    """The stream's own words do not matter: what is shown is asked for."""
    own = launcher.waits.add("alice")
    page = await open_page(context, site, f"starting/{own}")
    body = "retry: 2000\nevent: queue\ndata: {}\n\n"
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/progress" in request.url else None)
    await page.route("**/events", lambda route: route.fulfill(content_type="text/event-stream", body=body))
    await page.reload()
    await expect(page.locator("#starting-said")).to_contain_text("Place 1")
    async with page.expect_request("**/events") as stream:
        pass
    assert (await stream.value).headers.get("x-xsrftoken")
    async with page.expect_request("**/progress*"):
        pass
    assert asked


async def test_home_counts_down_and_follows(context: BrowserContext, site: Site, launcher: MemoryLauncher) -> None:
    own = await fill_queue(launcher)
    page = await open_page(context, site)
    timer = page.locator("[data-notice] [role=timer]")
    first = await timer.inner_text()
    assert re.fullmatch(r"in 9 min \d+ s", first)
    await expect(timer).not_to_have_text(first, timeout=6000)
    await page.focus(f"#leave-{own}")
    launcher.waits.told.clear()
    launcher.waits.end(launcher.waits.entries[0].launch_id, "left")
    await expect(page.locator("[data-part=waiting]")).to_contain_text("Place 2 of 3", timeout=8000)
    await expect(page.locator("[data-notice]")).to_have_count(0)
    assert await page.evaluate("document.activeElement.id") == f"leave-{own}", "what has the focus keeps it"
    launcher.waits.told["alice"] = [notice(launcher.views["alice", "train"].launch_id or "", "train", 290)]
    await expect(page.locator("#live-said")).to_contain_text("Save your work now.", timeout=8000)


async def test_a_deadline_that_passes_is_not_counted_beyond(
    context: BrowserContext, site: Site, launcher: MemoryLauncher
) -> None:
    launch_id = await start(launcher, "alice", "train", profile="gpu", gpus=2, gpu_type="a100")
    launcher.finish(launch_id)
    launcher.waits.told["alice"] = [notice(launch_id, "train", 4)]
    await context.clock.install()
    page = await open_page(context, site)
    timer = page.locator("[data-notice] [role=timer]")
    await expect(timer).to_have_text(re.compile(r"in \d s"))
    await context.clock.run_for(5000)
    await expect(timer).to_have_text("until then at least")
    launcher.waits.told["alice"] = [notice(launch_id, "train", -30)]
    await page.reload()
    await context.clock.run_for(1500)
    assert await timer.inner_text() == "until then at least"


async def test_taking_what_starts_now_is_one_press(
    context: BrowserContext, site: Site, launcher: MemoryLauncher
) -> None:
    own = launcher.waits.add("alice", nearest={"gpus": 2})
    page = await open_page(context, site)
    await page.click(f"#take-{own}")
    await page.wait_for_url("**/starting/**")
    await expect(page.locator("h1")).to_have_text("Starting exp")


async def test_without_scripts(browser: Browser, site: Site, launcher: MemoryLauncher) -> None:
    context = await browser.new_context(viewport=NARROW, java_script_enabled=False)  # type: ignore[arg-type]
    await start(launcher, "bob", "b", profile="gpu", gpus=4, gpu_type="a100", group="vision")
    page = await open_page(context, site, "launch?profile=gpu&gpus=4&gpu_type=a100&name=exp")
    await page.click("#start")
    await expect(page.locator("#starting-said")).to_contain_text("Place 1 of 1")
    await page.click("text=Leave the queue…")
    await page.click("button:has-text('Leave the queue')")
    await expect(page.locator("[role=status]:visible").first).to_have_text("It was taken out of the queue.")
    await context.close()


@pytest.mark.parametrize(("size", "scheme", "locale"), LOOKS)
async def test_they_fit_and_axe_finds_nothing(
    browser: Browser, site: Site, launcher: MemoryLauncher, size: Any, scheme: Any, locale: str
) -> None:
    own = await fill_queue(launcher)
    context = await browser.new_context(viewport=size, color_scheme=scheme, locale=locale, reduced_motion="reduce")
    for user, path in (
        ("alice", ""),
        ("alice", f"starting/{own}"),
        ("alice", "queue"),
        ("alice", f"leave?launch={own}"),
        ("alice", "launch?profile=gpu&gpus=4&gpu_type=a100"),
        ("alice", f"launch?profile=gpu&gpus=4&gpu_type=a100&entry={own}"),
        ("root", "queue"),
    ):
        page = await open_page(context, site, path, user)
        assert await faults(page) == [], path
        width = await page.evaluate("document.documentElement.scrollWidth")
        assert width <= size["width"], f"{path} is {width} wide"
        await page.close()
    await context.close()
