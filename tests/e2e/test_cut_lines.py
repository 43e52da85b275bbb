"""Hub and proxy are killed under open pages: JupyterLab and the terminal go on by themselves."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.chromium import run_chromium, sign_in
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
        with run_chromium() as chromium:
            page = chromium.new_page(base_url=f"{hub.url}user/alice/", viewport={"width": 1280, "height": 800})
            sign_in(page, hub.url, "alice", password)
            page.wait_for_url("**/services/mlabhub/**")
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
    finally:
        if hub.server("alice"):
            hub.stop_server("alice")
        hub.close()
