"""The map in a real browser: by keyboard, by touch, live, back in the day, with thousands of GPUs."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, expect

from mlabhub.core.capacity import Capacity, Gpu, Node
from mlabhub.errors import Unavailable
from mlabhub.ledger import HeldThen
from mlabhub.service.cluster_map import desk
from tests.pages.launcher import MemoryLauncher
from tests.pages.site import Site
from tests.pages.test_accessible import faults
from tests.pages.test_browser import HURRY, NARROW, WIDE, open_page
from tests.pages.test_cluster_page import hold

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]
LONG_MS = 20_000


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[BrowserContext]:
    """A fresh profile, whose pages hurry; every change is on the next map."""
    monkeypatch.setattr(desk, "SHORTEST_S", 0.0)
    context = await browser.new_context(viewport=WIDE, locale="en-US")  # type: ignore[arg-type]
    await context.add_init_script(HURRY)
    yield context
    await context.close()


def add_nodes(launcher: MemoryLauncher, count: int, kind: str = "h100") -> None:
    nodes = (
        Node(f"m{n}", 96, 768, tuple(Gpu(f"GPU-{n}-{i}", kind, f"m{n}", kind, 80.0, index=i) for i in range(8)))
        for n in range(count)
    )
    launcher.capacity = Capacity((*launcher.capacity.nodes, *nodes))


async def test_it_follows_what_happens_and_keeps_the_focus(
    context: BrowserContext, site: Site, launcher: MemoryLauncher
) -> None:
    page = await open_page(context, site, "cluster")
    await expect(page.locator("#map-counts")).to_have_text("8 GPUs: 8 free.")
    first = page.locator("#map .mlab-gpu").first
    await first.focus()
    launch_id = await hold(launcher)
    site.map.use[launch_id] = (97.0,)
    site.map.changes.note()
    await expect(page.locator("#map-counts")).to_have_text("8 GPUs: 1 held, 7 free.", timeout=LONG_MS)
    held = page.locator("#map .mlab-gpu-busy")
    await expect(held).to_have_text("##")
    assert await page.evaluate("document.activeElement.classList.contains('mlab-gpu')")


async def test_it_says_that_the_service_is_away_and_comes_back(
    context: BrowserContext, site: Site, launcher: MemoryLauncher
) -> None:
    page = await open_page(context, site, "cluster")
    launcher.down = Unavailable("The engine does not answer.")
    site.map.changes.note()
    await expect(page.locator("#live-lost")).to_be_visible(timeout=LONG_MS)
    launcher.down = None
    await expect(page.locator("#live-lost")).to_be_hidden(timeout=2 * LONG_MS)


async def test_arrow_keys_go_from_gpu_to_gpu_and_enter_tells_all(
    context: BrowserContext, site: Site, launcher: MemoryLauncher
) -> None:
    add_nodes(launcher, 2)
    await hold(launcher)
    page = await open_page(context, site, "cluster")
    assert await page.locator("#map .mlab-gpu[tabindex='0']").count() == 1
    gpus = page.locator("#map .mlab-gpu")
    await gpus.first.focus()
    await page.keyboard.press("ArrowRight")
    await expect(gpus.nth(1)).to_be_focused()
    await expect(page.locator("#gpu-line")).to_contain_text("n1 · GPU-sim-a100-1")
    await page.keyboard.press("ArrowDown")
    await expect(page.locator("[data-node=m0] .mlab-gpu").nth(1)).to_be_focused()
    await page.keyboard.press("End")
    await expect(gpus.last).to_be_focused()
    await page.keyboard.press("Home")
    await page.keyboard.press("Enter")
    await expect(page.locator("#gpu-details")).to_contain_text("alice")
    await page.keyboard.press("Escape")
    await expect(page.locator("#gpu-details")).to_be_empty()
    await expect(gpus.first).to_be_focused()


async def test_what_is_typed_and_moved_changes_the_map_and_the_address(
    context: BrowserContext, site: Site, launcher: MemoryLauncher
) -> None:
    add_nodes(launcher, 3)
    began = time.time() - 80_000
    site.map.then = (HeldThen("01OLD", "alice", "old", "Old", None, "gpu", "h100", ("GPU-1-0",), "m1", began),)
    site.map.use["01OLD"] = (73.0,)
    page = await open_page(context, site, "cluster")
    await page.fill("#map-q", "m1")
    await expect(page.locator("#map .mlab-node")).to_have_count(1)
    await page.focus("#map-ago")
    for _ in range(3):
        await page.keyboard.press("ArrowLeft")
    await expect(page.locator("#map .mlab-gpu-busy")).to_have_count(1)
    await expect(page.locator("#map-then")).to_contain_text("As it was at")
    await expect(page.locator("#map-when")).to_contain_text("15 min ago")
    assert page.url.endswith("cluster?q=m1&ago=15")
    await page.reload()
    await expect(page.locator("#map .mlab-gpu-busy")).to_have_count(1)
    await page.locator("#map .mlab-gpu-busy").click()
    await expect(page.locator("#gpu-details")).to_contain_text("alice")
    await page.fill("#map-q", "")
    await page.locator("#map-ago").press("Home")
    await expect(page.locator("#map .mlab-node")).to_have_count(4)
    await expect(page.locator("#gpu-details")).to_contain_text("free")


@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "light"), (NARROW, "dark")], ids=["wide", "narrow"])
async def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(
    browser: Browser, site: Site, launcher: MemoryLauncher, size: Any, scheme: Any
) -> None:
    add_nodes(launcher, 2)
    first, *others = launcher.capacity.nodes
    sick = tuple(replace(gpu, healthy=number != 1, busy=number == 2) for number, gpu in enumerate(first.gpus))
    launcher.capacity = Capacity((replace(first, gpus=sick, schedulable=False), *others))
    for number, use in enumerate(((97.0,), (20.0,), (0.0,), ())):
        site.map.use[await hold(launcher, "bob", name=f"s{number}")] = use
    context = await browser.new_context(viewport=size, color_scheme=scheme, has_touch=True)
    page = await open_page(context, site, "cluster", "root")
    await page.locator("#map .mlab-gpu-busy").tap()
    await expect(page.locator("#gpu-details")).to_contain_text("bob")
    assert await faults(page) == []
    wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0
    await context.close()


async def test_without_scripts_a_press_tells_of_a_gpu(browser: Browser, site: Site, launcher: MemoryLauncher) -> None:
    await hold(launcher)
    context = await browser.new_context(java_script_enabled=False)
    page = await open_page(context, site, "cluster?q=n1", "alice")
    await page.locator("#map button").first.click()
    assert await page.locator("#gpu-details").inner_text() != ""
    assert await page.locator("#map-q").input_value() == "n1"
    await context.close()
