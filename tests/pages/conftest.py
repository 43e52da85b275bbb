"""A site per test, a client that is logged in, and one browser for all tests that need one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.pages.launcher import MemoryLauncher
from tests.pages.site import Site

CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
GROUPS = {"alice": ("vision",), "bob": ("vision", "nlp"), "carol": (), "root": ()}


@pytest.fixture
def launcher() -> MemoryLauncher:
    """Nobody holds anything yet."""
    return MemoryLauncher(dict(GROUPS))


@pytest_asyncio.fixture(loop_scope="session")
async def site(launcher: MemoryLauncher, tmp_path: Path) -> AsyncIterator[Site]:
    """The pages on a port of their own."""
    site = Site(launcher, tmp_path)
    yield site
    await site.close()


Login = Callable[..., Any]


@pytest_asyncio.fixture(loop_scope="session")
async def login(site: Site) -> AsyncIterator[Login]:
    """Return clients that are logged in, as browsers are: with cookies, and with the headers that browsers send."""
    clients: list[httpx.AsyncClient] = []

    async def login(name: str, **headers: str) -> httpx.AsyncClient:
        sent = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "same-origin", **headers}
        client = httpx.AsyncClient(base_url=site.url, headers=sent)
        clients.append(client)
        await client.get(f"{site.origin}/login-as/{name}")
        await client.get("")
        return client

    yield login
    for client in clients:
        await client.aclose()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium, as the distribution has it; started once, each test makes a profile of its own."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        yield browser
        await browser.close()
