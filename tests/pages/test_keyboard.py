"""The menus by keyboard, with scripts and without: what they hold is reached, and they let go of the focus."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from tests.pages.keyboard import focused, walk
from tests.pages.site import Site
from tests.pages.test_browser import NARROW, WIDE, open_page
from tests.pages.test_hub_words import hub, settings
from tests.pages.test_hubtemplates import Hub

__all__ = ["hub", "settings"]

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]
MENUS = {
    "account-menu": ["My history", "Tokens", "Password"],
    "admin-menu": ["People", "Quotas", "Idleness", "Reconciler", "Audit", "The hub's own page", "Accounts"],
}


async def test_menus_open_close_and_give_the_focus_back(browser: Browser, site: Site) -> None:
    context = await browser.new_context(viewport=WIDE, locale="en-US")  # type: ignore[arg-type]
    page = await open_page(context, site, "", "root")
    for name, entries in MENUS.items():
        menu = page.locator(f"#{name} + .dropdown-menu")
        await page.focus(f"#{name}")
        await page.keyboard.press("Enter")
        await expect(menu).to_be_visible()
        await expect(page.locator(f"#{name}")).to_have_attribute("aria-expanded", "true")
        for entry in entries:
            await page.keyboard.press("ArrowDown")
            assert await page.evaluate("document.activeElement.textContent") == entry
        await page.keyboard.press("Escape")
        await expect(menu).to_be_hidden()
        assert await focused(page) == name
        await page.keyboard.press("Space")
        await expect(menu).to_be_visible()
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == entries[0]
        for _ in entries:
            await page.keyboard.press("Tab")
        await expect(menu).to_be_hidden()
    await page.focus("#admin-menu")
    for key in ("Enter", "ArrowDown", "Enter"):
        await page.keyboard.press(key)
    await page.wait_for_url("**/people")
    await context.close()


async def test_the_menu_of_a_phone_opens_by_keyboard_and_all_of_it_is_reached(browser: Browser, site: Site) -> None:
    context = await browser.new_context(viewport=NARROW, locale="en-US", reduced_motion="reduce")  # type: ignore[arg-type]
    page = await open_page(context, site, "", "root")
    assert await page.locator("#thenavbar").is_hidden()
    await page.focus(".navbar-toggler")
    await page.keyboard.press("Enter")
    await expect(page.locator("#thenavbar")).to_be_visible()
    assert await walk(page) == []
    for name, entries in MENUS.items():
        await page.focus(f"#{name}")
        await page.keyboard.press("Enter")
        for entry in entries:
            await page.keyboard.press("Tab")
            assert await page.evaluate("document.activeElement.textContent") == entry
    await context.close()


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
async def test_without_scripts_every_entry_is_there(browser: Browser, site: Site, hub: Hub, size: Any) -> None:
    context = await browser.new_context(viewport=size, java_script_enabled=False, locale="en-US")
    pages = [await open_page(context, site, "", "root")]
    site.servers_pages["hub/home"] = ({}, await asyncio.to_thread(hub.render, "home.html"))
    pages.append(await context.new_page())
    await pages[1].goto(f"{site.origin}/hub/home")
    for page in pages:
        for entries in MENUS.values():
            for entry in entries:
                await expect(page.locator("nav").get_by_role("link", name=entry, exact=True)).to_be_visible()
        await expect(page.get_by_role("link", name="简体中文")).to_be_visible()
    await context.close()
