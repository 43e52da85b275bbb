"""JupyterLab opened without the bar over the tools, in a real Chromium: it says itself what the bar says elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.cutline import CutLine
from tests.extensions.server import OURS, TOKEN, JupyterServer, Start

SOON = 40_000
"""A heartbeat every ten seconds, and two that fail."""
TOAST = ".jp-Notification-Toast-{}"
LAB = OURS | {"jupyterlab": True}
OWN_CLASS = "jupyter_server.gateway.connections.GatewayWebSocketConnection"


def told_by(server: JupyterServer) -> Any:
    """Return what JupyterLab's page is told of its server."""
    with server.client() as client:
        page = client.get("lab").raise_for_status().text
    found = re.search(r'<script id="jupyter-config-data" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1]).get("mlabhub")


@pytest.mark.parametrize(
    ("environ", "arguments", "told"),
    [
        ({}, (), {"safe": False, "home": None, "numbers_kernels": True}),
        (
            {"MLABHUB_SAFE": "1", "JUPYTERHUB_BASE_URL": "/hub-here/"},
            (f"--ServerApp.kernel_websocket_connection_class={OWN_CLASS}",),
            {"safe": True, "home": "/hub-here/services/mlabhub/", "numbers_kernels": False},
        ),
    ],
    ids=["usual", "safe-with-a-class-of-its-own"],
)
def test_what_the_page_is_told(
    start: Start, environ: dict[str, str], arguments: tuple[str, ...], told: dict[str, Any]
) -> None:
    assert told_by(start(extensions=LAB, environ=environ, arguments=arguments)) == told


@pytest.fixture(scope="module")
def safe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """A server in safe mode."""
    folder: Path = tmp_path_factory.mktemp("safe")
    environ = {"MLABHUB_SAFE": "1", "MLABHUB_TOOLS": "lab", "JUPYTERHUB_USER": "alice"}
    one = JupyterServer(folder, extensions=LAB, environ=environ)
    yield one
    one.close()


def open_signed_in(browser: Browser, address: str, path: str, locale: str = "en-US") -> Page:
    page = browser.new_context(base_url=address, locale=locale, viewport={"width": 1280, "height": 800}).new_page()
    page.goto(f"api?token={TOKEN}")
    page.goto(path)
    return page


@pytest.mark.browser
@pytest.mark.long
@pytest.mark.timeout(200)
def test_safe_mode_is_said_once_with_or_without_the_bar(safe: JupyterServer, browser: Browser) -> None:
    page = open_signed_in(browser, safe.url, "lab", "zh-CN")
    item = page.locator(".mlabhub-safe-item")
    expect(item).to_have_text("安全模式", timeout=90_000)
    expect(page.locator(TOAST.format("info"))).to_contain_text("安全模式：不会读取您的启动文件。请修复妨碍")
    page.goto("mlabhub/open/lab")
    lab = page.frame_locator("#frame-lab")
    expect(lab.locator(".jp-LauncherCard").first).to_be_visible(timeout=90_000)
    expect(page.locator(".bar .safe")).to_be_visible()
    expect(lab.locator(".mlabhub-safe-item")).to_have_count(0)
    expect(lab.locator(TOAST.format("info"))).to_have_count(0)
    page.context.close()


@pytest.mark.browser
@pytest.mark.long
@pytest.mark.timeout(200)
def test_a_cut_line_is_told_and_that_it_is_back(safe: JupyterServer, browser: Browser) -> None:
    line = CutLine(safe.port)
    page = open_signed_in(browser, safe.url.replace(str(safe.port), str(line.port)), "lab")
    expect(page.locator(".mlabhub-safe-item")).to_have_text("Safe mode", timeout=90_000)
    line.drop()
    said = page.locator("#mlabhub-line")
    expect(said).to_contain_text("No connection since", timeout=SOON)
    expect(said).to_be_in_viewport(ratio=1)
    expect(page.locator(".jp-Dialog")).to_have_count(0)
    line.restore()
    expect(said).to_have_text("Connected again.", timeout=SOON)
    expect(said).to_have_count(0, timeout=SOON)
    page.context.close()
    line.close()
