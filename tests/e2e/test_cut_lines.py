"""Hub and proxy are killed under open pages: JupyterLab and the terminal go on by themselves."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.e2e.conftest import CHROMIUM, CHROMIUM_FLAGS
from tests.e2e.test_survival import _children
from tests.extensions.test_cut_lines import Work
from tests.installation import Installation, free_port

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.timeout(500)]


def test_hub_and_proxy_are_killed_under_open_pages(tmp_path: Path) -> None:
    hub = Installation(tmp_path / "state", free_port(), ("--backend", "process"))
    try:
        hub.start()
        password = hub.add_user("alice", "vision")
        assert hub.launch("alice", profile="cpu").status_code == 201
        hub.wait_ready("alice")
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
            page = chromium.new_page(base_url=f"{hub.url}user/alice/", viewport={"width": 1280, "height": 800})
            page.goto(hub.url)
            page.fill("input[name=username]", "alice")
            page.fill("input[name=password]", password)
            page.click("input[type=submit], button[type=submit]")
            page.wait_for_url(re.compile("services/mlabhub"))
            work = Work(page, hub.state / "nas" / "user" / "alice")
            work.begin()
            children = _children(hub)
            for name in ("hub", "proxy"):
                os.kill(children[name], signal.SIGKILL)
            page.wait_for_timeout(8_000)
            expect(page.locator("#line")).to_be_hidden(timeout=60_000)
            work.goes_on()
            work.is_whole()
            hub.stop_server("alice")
            expect(page.locator("#line")).to_contain_text("This server is not running any more", timeout=30_000)
            chromium.close()
    finally:
        if hub.server("alice"):
            hub.stop_server("alice")
        hub.close()
