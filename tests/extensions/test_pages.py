"""Our pages in a real browser, at a real hub with its login: they go on by themselves, with scripts and without."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.chromium import sign_in
from tests.extensions.hub import Hub

pytestmark = [pytest.mark.long, pytest.mark.browser]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """Run a hub; alice has a server."""
    hub = Hub(
        tmp_path_factory.mktemp("hub"),
        {
            "echo": ["serve"],
            "absent": [],
            "vscode": ["wait=2", "serve"],
            "tensorboard": ["wait=2", "serve"],
            "desktop": ["say=Could not open <i>display</i>", "once=exit=1", "serve"],
        },
    )
    try:
        hub.start_server("alice")
        yield hub
    finally:
        hub.close()


def log_in(hub: Hub, page: Page) -> None:
    """Sign in as alice and come to her server."""
    sign_in(page, f"{hub.url}hub/login", "alice", "any")
    page.wait_for_url("**/user/alice/**")


def faults(page: Page) -> list[str]:
    """Return what axe finds on a page."""
    found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "best-practice"]})
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found.response["violations"]]


def test_a_start_goes_on_by_itself(hub: Hub, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 320, "height": 640})
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    log_in(hub, page)
    page.goto(f"{hub.url}user/alice/vscode/deep/down?a=1#here")
    expect(page.get_by_role("status")).to_contain_text("Vscode is starting. Usually ready in 1 s.")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    expect(page.locator("body")).to_contain_text('"uri": "/deep/down?a=1"', timeout=20_000)
    assert page.url.endswith("/user/alice/vscode/deep/down?a=1#here")
    assert not said
    # The cookies of hub and server stay with them.
    asked = page.inner_text("body")
    assert page.context.cookies(page.url)
    assert not [cookie["name"] for cookie in page.context.cookies(page.url) if cookie["value"] in asked]
    # A page without our token, such as one of another person's server, learns nothing but that the line is up.
    read = "path => fetch(`/lab/user/alice/mlabhub/${path}`).then(answer => answer.status)"
    assert [page.evaluate(read, path) for path in ("api/tools", "api/tools/echo", "api/alive")] == [403, 403, 204]
    page.close()


def test_a_start_goes_on_without_scripts(hub: Hub, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    log_in(hub, page)
    page.goto(f"{hub.url}user/alice/tensorboard/")
    expect(page.locator("h1")).to_have_text("Tensorboard")
    expect(page.locator("body")).to_contain_text('"uri": "/"', timeout=20_000)
    context.close()


def test_a_failure_is_said_and_tried_again(hub: Hub, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 320, "height": 640})
    log_in(hub, page)
    page.goto(f"{hub.url}user/alice/desktop/x?y=1")
    expect(page.get_by_role("alert")).to_contain_text("Desktop has ended with status 1.", timeout=20_000)
    expect(page.locator(".log")).to_have_text("Could not open <i>display</i>")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("body")).to_contain_text('"uri": "/x?y=1"', timeout=20_000)
    page.close()


@pytest.mark.parametrize("path", ["mlabhub/open/echo", "terminal/", "mlabhub/log-folders"])
def test_no_script_of_ours_is_refused_behind_a_hub(hub: Hub, browser: Browser, path: str) -> None:
    page = browser.new_page()
    log_in(hub, page)
    refused: list[str] = []
    page.on("response", lambda answer: refused.append(answer.url) if answer.status in (401, 403) else None)
    page.on("pageerror", lambda error: refused.append(str(error)))
    page.goto(f"{hub.url}user/alice/{path}")
    page.wait_for_timeout(3000)
    assert not refused
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_them(hub: Hub, browser: Browser, scheme: str) -> None:
    context = browser.new_context(color_scheme=scheme, bypass_csp=True)  # type: ignore[arg-type]
    page = context.new_page()
    log_in(hub, page)
    for path in ("absent/", "mlabhub/nothing"):
        page.goto(f"{hub.url}user/alice/{path}")
        assert not faults(page)
    context.close()


def test_nothing_is_left_when_the_hub_stops_a_server(hub: Hub) -> None:
    hub.start_server("bob")
    hub.stop_server("bob")
    hub.stop_server("alice")
    hub.wait_until_alone()
