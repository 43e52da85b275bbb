"""The bar in a real Chromium: what is typed goes to the tool that is shown, where one was in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.chromium import run_chromium
from tests.e2e.at_work import make_notebook
from tests.extensions.server import OURS, TOKEN, JupyterServer

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.timeout(200)]

LAB, TERMINAL = "Control+Alt+Digit1", "Control+Alt+Digit2"


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """Run a server with JupyterLab and terminals."""
    one = JupyterServer(
        tmp_path_factory.mktemp("bar"),
        extensions=OURS | {"jupyterlab": True, "jupyter_server_terminals": True},
        environ={"SHELL": "/bin/sh", "PS1": "$ ", "MLABHUB_TOOLS": "lab,terminal", "JUPYTERHUB_USER": "alice"},
    )
    yield one
    one.close()


@pytest.fixture
def page(server: JupyterServer) -> Iterator[Page]:
    """Return a page that is signed in."""
    with run_chromium() as chromium:
        page = chromium.new_page(base_url=server.url, viewport={"width": 1280, "height": 800})
        page.goto(f"api?token={TOKEN}")
        yield page


def test_what_is_typed_right_after_switching_goes_where_one_was(server: JupyterServer, page: Page) -> None:
    (server.home / "typed.ipynb").write_text(make_notebook("first", "second"))
    page.goto("mlabhub/open/lab/tree/typed.ipynb")
    lab, terminal = (page.frame_locator(f"#frame-{slug}") for slug in ("lab", "terminal"))
    cell = lab.locator(".jp-Notebook .jp-Cell .cm-content").nth(1)
    rows = terminal.locator(".xterm-rows")
    cell.click(timeout=90_000)
    lab.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(timeout=60_000)
    cell.click()
    page.keyboard.press("Control+a")
    page.keyboard.type("in the cell")

    page.keyboard.press(TERMINAL)
    page.keyboard.type("dd: typed while the terminal was still being loaded")
    terminal.locator(".xterm-helper-textarea:focus").wait_for(timeout=30_000)
    page.keyboard.press("Control+c")
    page.keyboard.type("echo $((6 * 7))\n")
    expect(rows).to_contain_text("42")

    page.keyboard.press(LAB)
    page.keyboard.type(", on")
    expect(cell).to_have_text("in the cell, on")
    page.click("#tab-terminal")
    page.keyboard.type("echo $((7 * 7))\n")
    expect(rows).to_contain_text("49")
    page.go_back()
    expect(page.locator("#tab-lab")).to_have_attribute("aria-selected", "true")
    assert page.evaluate("document.activeElement.id") == "frame-lab"
    expect(lab.locator(".jp-Notebook .jp-Cell")).to_have_count(2)
