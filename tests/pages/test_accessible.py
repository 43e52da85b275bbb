"""What axe-core finds on our pages, in every state that people meet: nothing."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Browser

from tests.pages.launcher import MemoryLauncher
from tests.pages.site import Site
from tests.pages.test_board import start_board
from tests.pages.test_browser import NARROW, WIDE, fill, open_page, pick

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]},
    "resultTypes": ["violations"],
}
"""What is looked for. Of what is right nothing is told, which takes as long as to find it."""
FULL = "launch?profile=all&group=nlp&image=:typed&image_typed=X&gpu_ids=GPU-sim-a100-1&mount-0-share=user"


async def faults(page: Any) -> list[str]:
    """Return what is wrong, and where."""
    await page.evaluate(AXE_SCRIPT)
    found = await page.evaluate("rules => axe.run(rules).then(told => told.violations)", RULES)
    return [f"{one['id']}: {node['html'][:120]}" for one in found for node in one["nodes"]]


@pytest.mark.parametrize(
    ("size", "scheme"), [(WIDE, "light"), (NARROW, "dark")], ids=["wide and light", "narrow and dark"]
)
async def test_axe_finds_nothing(
    browser: Browser, site: Site, launcher: MemoryLauncher, size: Any, scheme: Any
) -> None:
    launch_id = await fill(launcher)
    launcher.finish(await start_board(launcher))
    context = await browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")
    for user, path in (
        ("alice", ""),
        ("alice", "launch"),
        ("bob", FULL),
        ("alice", "launch?profile=nope&server=old"),
        ("alice", f"starting/{launch_id}"),
        ("alice", f"servers/{launch_id}?log=1"),
        ("alice", "stop?server=exp"),
        ("alice", "stop?server=tensorboard"),
        ("bob", ""),
    ):
        page = await open_page(context, site, path, user)
        assert await faults(page) == [], path
        await page.close()
    page = await open_page(context, site, "launch?profile=gpu", "alice")
    await pick(page, "gpus", "8")
    await page.fill("input[name=name]", "a b")
    await page.click("#start")
    await page.wait_for_selector("#error-name")
    assert await faults(page) == [], "a refused form"
    await page.goto(site.url)
    await page.fill("#folder", "/mnt/user/bob")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#folder-problem")
    assert await faults(page) == [], "a refused folder"
    await context.close()
