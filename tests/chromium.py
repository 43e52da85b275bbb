"""A real Chromium for the tests, and how a person signs in with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def run_chromium(*flags: str) -> Iterator[Browser]:
    """Run a Chromium with a fresh profile."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*CHROMIUM_FLAGS, *flags])
        try:
            yield browser
        finally:
            browser.close()


def sign_in(page: Page, address: str, name: str, password: str) -> None:
    """Come to an address of a hub, which asks who one is, and say so."""
    page.goto(address)
    page.fill("input[name=username]", name)
    page.fill("input[name=password]", password)
    page.click("input[type=submit], button[type=submit]")


@contextmanager
def at_home(browser: Browser, hub: str, name: str, password: str) -> Iterator[Page]:
    """Give a page of a person's own, on the Home page of the hub at this address."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    sign_in(page, hub, name, password)
    page.wait_for_url("**/services/mlabhub/**")
    yield page
    context.close()
