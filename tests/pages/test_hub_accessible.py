"""What axe-core finds on the hub's pages that people of this product see, in both languages and both looks."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from tests.pages.test_accessible import faults
from tests.pages.test_browser import HURRY, NARROW, WIDE
from tests.pages.test_hub_words import ORIGIN, answer, hub, settings
from tests.pages.test_hubtemplates import Hub

__all__ = ["hub", "settings"]

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

ACCOUNTS = [
    SimpleNamespace(username="dora", is_authorized=False, has_2fa=False, email="dora@lab.example"),
    SimpleNamespace(username="eve", is_authorized=True, has_2fa=True, email=None),
]
FAILED = {"failed": True, "failed_message": "The image is not there.", "server_name": "exp"}
STATES: dict[str, tuple[str, dict[str, Any]]] = {
    "login": ("native-login.html", {"user": None, "enable_signup": True, "next": ""}),
    "login that failed": (
        "native-login.html",
        {"user": None, "login_error": "Invalid username or password", "next": ""},
    ),
    "signup": ("signup.html", {"user": None, "alert": "alert-danger", "result_message": "no", "ask_email": True}),
    "refused": ("spawn.html", {"error_message": "vision holds 6 of 6 GPU."}),
    "pending": ("spawn_pending.html", {"progress_url": "/hub/api/users/x/server/progress"}),
    "stopping": ("stop_pending.html", {}),
    "not running": ("not_running.html", {"server_name": "exp"}),
    "failed": ("not_running.html", FAILED),
    "home": ("home.html", {}),
    "token": ("token.html", {}),
    "password": ("change-password.html", {}),
    "accounts": ("authorization-area.html", {"users": ACCOUNTS, "ask_email": True}),
    "allow": ("oauth.html", {"allowed_scopes": ["self"]}),
    "error": ("error.html", {}),
    "admin": ("admin.html", {"api_page_limit": 50, "server_version": "6"}),
}
OF_THE_HUB = ('button-name: <button type="button" aria-controls=', 'target-size: <a href="/hub/spawn/')
"""What the hub's own JavaScript makes, which no template of ours reaches: the arrow that unfolds a person has no name,
and the links to start a server are small. Our page of people, in the same menu, does all of it but the unfolding.
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("size", "scheme", "language"),
    [(WIDE, "light", "en-US"), (NARROW, "dark", "zh-CN")],
    ids=["wide-light-en", "narrow-dark-zh"],
)
async def test_axe_finds_nothing_of_ours(browser: Browser, hub: Hub, size: Any, scheme: Any, language: str) -> None:
    context = await browser.new_context(viewport=size, color_scheme=scheme, locale=language, reduced_motion="reduce")
    page = await context.new_page()
    pages: dict[str, str] = {}
    await page.route("**/*", lambda route: answer(route, pages))
    found = {}
    for state, (template, values) in STATES.items():
        path = f"/hub/{state.replace(' ', '-')}"
        hub.ask(path, **{"Accept-Language": language})
        pages[path] = await asyncio.to_thread(hub.render, template, **values)
        await page.goto(ORIGIN + path)
        await expect(page.locator("html")).to_have_attribute("data-bs-theme", scheme)
        if state == "admin":
            await page.locator("#react-admin-hook table").first.wait_for()
        wrong = [one for one in await faults(page) if not (state == "admin" and one.startswith(OF_THE_HUB))]
        if await page.evaluate("document.documentElement.scrollWidth") > size["width"]:
            wrong.append("it is wider than the window")
        if wrong:
            found[state] = wrong
    assert found == {}
    await context.close()


async def test_the_page_of_a_server_that_stops_goes_on_by_itself(browser: Browser, hub: Hub) -> None:
    page = await browser.new_page(locale="en-US")
    await page.add_init_script(HURRY)
    pages = {"/hub/spawn/x": await asyncio.to_thread(hub.render, "stop_pending.html")}
    await page.route("**/*", lambda route: answer(route, pages))
    await page.goto(f"{ORIGIN}/hub/spawn/x")
    async with page.expect_response(f"{ORIGIN}/hub/spawn/x"):
        pass
    await expect(page.locator("h1")).to_have_text("Your server is stopping")
    pages["/hub/spawn/x"] = await asyncio.to_thread(hub.render, "spawn.html", error_message="no")
    await expect(page.locator("h1")).to_have_text("The server was not started")
    await page.close()
