"""The doctor's page in a real browser: over https, over http under another name, and where a proxy spoils it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.chromium import run_chromium
from tests.extensions.server import BASE_URL, TOKEN, JupyterServer
from tests.nginx import NAME, Nginx, run_nginx

pytestmark = [pytest.mark.long, pytest.mark.browser]


@pytest.fixture(scope="module")
def doctored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    more = ("--ServerApp.allow_remote_access=True",)  # under other names than localhost, as behind a hub
    one = JupyterServer(tmp_path_factory.mktemp("page"), offer={"echo": ["serve"]}, arguments=more)
    yield one
    one.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with run_chromium(f"--host-resolver-rules=MAP {NAME} 127.0.0.1", "--ignore-certificate-errors") as chromium:
        yield chromium


def open_page(browser: Browser, nginx: Nginx, name: str = NAME, query: str = "", **more: Any) -> Page:
    """Open the page as somebody who is logged in."""
    context = browser.new_context(ignore_https_errors=True, permissions=["clipboard-read", "clipboard-write"], **more)
    page = context.new_page()
    origin = f"{'https' if nginx.tls else 'http'}://{name}:{nginx.port}"
    page.goto(f"{origin}{BASE_URL}mlabhub/doctor?token={TOKEN}")
    page.goto(f"{origin}{BASE_URL}mlabhub/doctor{query}")
    return page


def statuses(page: Page) -> dict[str, str]:
    """Wait for the list, and return each finding's status."""
    expect(page.locator("#findings li").first).to_be_visible(timeout=15_000)
    rows = page.locator("#findings li").all()
    return {str(row.get_attribute("data-slug")): str(row.get_attribute("class")) for row in rows}


def wrong(page: Page) -> set[str]:
    return {slug for slug, status in statuses(page).items() if status in ("missing", "better")} - {"neighbours"}


def fix(page: Page, slug: str) -> str:
    return page.locator(f"[data-slug={slug}] .fix").inner_text().replace("`", "")


def test_all_is_well_over_https(doctored: JupyterServer, browser: Browser, tmp_path: Path) -> None:
    with run_nginx(tmp_path, doctored.port) as nginx:
        page = open_page(browser, nginx)
        assert wrong(page) == set()
        assert statuses(page)["service-worker"] == "ok"
        assert page.evaluate("navigator.serviceWorker.getRegistrations().then(all => all.length)") == 0
        page.get_by_role("button", name="Copy report").click()
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        report = page.evaluate("navigator.clipboard.readText()")
        assert "Websockets: An echo took" in report
        assert TOKEN not in report
        assert "_xsrf" not in report
        assert Axe().run(page).violations_count == 0
        page.get_by_role("button", name="Look again").click()
        assert wrong(page) == set()
        page.context.close()


def test_plain_http_under_a_name(doctored: JupyterServer, browser: Browser, tmp_path: Path) -> None:
    with run_nginx(tmp_path, doctored.port, tls=False) as nginx:
        page = open_page(browser, nginx)
        assert wrong(page) == {"secure-context"}
        assert statuses(page)["service-worker"] == "info"
        page.get_by_role("button", name="Copy report").click()
        expect(page.locator("#report")).to_be_visible()  # no clipboard here: the text itself
        assert "Secure context" in page.locator("#report").input_value()
        page.context.close()


MISTAKES: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "no Upgrade": (
        {"changes": {"        proxy_set_header Upgrade $http_upgrade;\n": ""}},
        {"websockets": "Upgrade $http_upgrade"},
    ),
    "no Host": (
        {"changes": {"        proxy_set_header Host $http_host;\n": ""}},
        {"host": "Host $http_host", "websockets": "See Host name"},
    ),
    "small bodies": ({"changes": {"        client_max_body_size 0;\n": ""}}, {"upload": "client_max_body_size 0"}),
    "a worker blocked": ({"more": "location ~ worker.js { return 403; }"}, {"service-worker": "Let .js files"}),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_of_nginx(doctored: JupyterServer, browser: Browser, tmp_path: Path, mistake: str) -> None:
    change, expected = MISTAKES[mistake]
    with run_nginx(tmp_path, doctored.port, **change) as nginx:
        page = open_page(browser, nginx)
        assert wrong(page) == set(expected)
        for slug, words in expected.items():
            assert words in fix(page, slug)
        page.context.close()


def test_a_clock_that_is_wrong(doctored: JupyterServer, browser: Browser, tmp_path: Path) -> None:
    with run_nginx(tmp_path, doctored.port) as nginx:
        page = open_page(browser, nginx)
        page.add_init_script("const now = Date.now; Date.now = () => now() + 7200e3;")
        page.reload()
        assert wrong(page) == {"clock"}
        page.context.close()


def test_the_pages_script_blocked(doctored: JupyterServer, browser: Browser, tmp_path: Path) -> None:
    with run_nginx(tmp_path, doctored.port, more="location ~ doctor.js { return 403; }") as nginx:
        page = open_page(browser, nginx)
        expect(page.get_by_text(re.compile("This page's script does not run.*doctor.js"))).to_be_visible()
        page.context.close()


def test_the_server_gone(doctored: JupyterServer, browser: Browser, tmp_path: Path) -> None:
    with run_nginx(tmp_path, doctored.port) as nginx:
        page = open_page(browser, nginx)
        statuses(page)
        page.context.set_offline(True)
        page.get_by_role("button", name="Look again").click()
        expect(page.get_by_text("The server did not answer.")).to_be_visible(timeout=15_000)
        page.context.close()
