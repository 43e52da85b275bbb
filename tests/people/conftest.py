"""A whole service with a hub of doubles, and browsers that are logged in there; and a real hub with plain processes."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Route

from tests.installation import Installation, free_port
from tests.pages.site import HUB_STATIC
from tests.service.conftest import Running, make_settings, run_service
from tests.service.test_api import _signed_cookie

NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "same-origin"}
PREFIX = "/services/mlabhub/"


@dataclass
class Visitor:
    """Somebody's browser, without a browser."""

    client: httpx.AsyncClient

    async def get(self, path: str) -> httpx.Response:
        """Open a page, by way of its first step."""
        return await self.client.get(path, follow_redirects=True)

    async def send(self, page: httpx.Response, path: str, **fields: str | list[str]) -> httpx.Response:
        """Send a page's form with its hidden fields."""
        sent: dict[str, str | list[str]] = {"_xsrf": field(page, "_xsrf"), "confirm": field(page, "confirm"), **fields}
        return await self.client.post(path, data=sent, follow_redirects=True)


def field(page: httpx.Response, name: str) -> str:
    """Return a hidden field's value."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page.text)
    assert found, f"no field {name} in {page.text[:3000]}"
    return unescape(found[1])


@pytest_asyncio.fixture(loop_scope="session")
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with run_service(make_settings(tmp_path)) as one:
        yield one


@pytest.fixture(scope="package")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Return a running hub of its own."""
    state = tmp_path_factory.mktemp("people") / "state"
    installation = Installation(state, free_port(), ("--backend", "process", "--simulate-gpus", "2xT4"))
    try:
        installation.start()
        yield installation
    finally:
        installation.close()


Login = Callable[..., Visitor]


@pytest_asyncio.fixture(loop_scope="session")
async def login(running: Running) -> AsyncIterator[Login]:
    """Return visitors who are logged in."""
    clients: list[httpx.AsyncClient] = []

    def login(name: str, **headers: str) -> Visitor:
        cookie, _, value = _signed_cookie(running, running.tokens.cookie_name, f"t-{name}").partition("=")
        client = httpx.AsyncClient(base_url=running.settings.service_url, headers={**NAVIGATION, **headers})
        client.cookies.set(cookie, value, domain="127.0.0.1")
        clients.append(client)
        return Visitor(client)

    yield login
    for client in clients:
        await client.aclose()


async def log_in_browser(context: BrowserContext, running: Running, name: str) -> None:
    """Let a browser be somebody's, and find the hub's own files."""
    cookie, _, value = _signed_cookie(running, running.tokens.cookie_name, f"t-{name}").partition("=")
    port = running.settings.service_port
    await context.add_cookies([{"name": cookie, "value": value, "url": f"http://127.0.0.1:{port}/"}])

    async def hub_file(route: Route) -> None:
        path = HUB_STATIC / route.request.url.partition("/hub/static/")[2].partition("?")[0]
        await route.fulfill(path=path) if path.is_file() else await route.fulfill(status=404)

    await context.route("**/hub/**", hub_file)
