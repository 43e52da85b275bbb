"""How a server stands, in a real VS Code with a real Chromium: the status bar, a warning, keeping, giving GPUs back."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from mlabhub.images import build_images
from mlabhub.images.program import find_program
from tests.extensions.server import CHECKOUT, TOKEN, JupyterServer
from tests.extensions.test_agent import Receiver, start_server
from tests.extensions.test_standing import NOW, status

pytestmark = [pytest.mark.browser, pytest.mark.engine, pytest.mark.long, pytest.mark.timeout(300)]
BASE = "localhost/mlabhub/base:latest"
ACTIVITY = CHECKOUT / "images/base/code-server/activity"
GPU = {"count": 1, "percent": 37.2, "memory_used": 2**30, "memory_total": 80 * 2**30}
QUIET = {
    "verdict": "active",
    "text": {"en": "A GPU computed 4 min ago.", "zh_CN": "4 分钟前 GPU 有计算。"},
    "gpu": GPU,
    "quota": {"group": "vision", "used": 14, "guaranteed": 24, "limit": 64},
    "keep": {"left": 2, "most_s": 86400},
    "can_release": True,
    "page": "/services/mlabhub/idle/01AGENT",
    "deadline": None,
    "due": NOW + 1320,
    "warning": None,
}
WARNING = {
    "at": NOW - 5,
    "title": {"en": "This server is idle.", "zh_CN": "此服务器空闲。"},
    "body": {"en": "Its GPU is taken back at 15:00.", "zh_CN": "GPU 将于 15:00 收回。"},
}
WARNED = {**QUIET, "verdict": "warned", "due": NOW - 5, "deadline": NOW + 900, "warning": WARNING}


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a ``code-server``: the base image's, with our extension as it is here."""
    folder = tmp_path_factory.mktemp("code-server")
    program = find_program(tmp_path_factory.mktemp("engine"))
    build_images(["base"], no_cache=False, report=lambda _: None)
    container = (program.ask("create", BASE) or "").strip()
    assert container
    try:
        program.run("cp", f"{container}:/opt/code-server", str(folder / "all"))
    finally:
        program.run("rm", container)
    extension = folder / "all/lib/vscode/extensions/mlabhub-activity"
    shutil.rmtree(extension, ignore_errors=True)
    shutil.copytree(ACTIVITY, extension)
    own = folder / "bin"
    own.mkdir()
    script = own / "code-server"
    script.write_text(f'#!/bin/sh\nexec "{folder}/all/lib/node" "{folder}/all/out/node/entry.js" "$@"\n')
    script.chmod(0o755)
    return own


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    say(one, QUIET)
    yield one
    one.close()


def say(receiver: Receiver, what: dict[str, Any]) -> None:
    """Let the service say from now on how the server stands."""
    receiver.answers[""] = (200, {"taken": 1, "dropped": 0, "status": status(**what)})


@pytest.fixture
def server(tmp_path: Path, programs: Path, receiver: Receiver) -> Iterator[JupyterServer]:
    """Run a server that has VS Code."""

    def start(**more: Any) -> JupyterServer:
        path = {"PATH": f"{programs}:/usr/bin:/bin"}
        return JupyterServer(tmp_path, **{**more, "environ": {**more["environ"], **path}})

    one = start_server(start, receiver)
    yield one
    one.close()


def open_vscode(browser: Browser, server: JupyterServer, language: str = "en") -> Page:
    """Open VS Code in a browser that is signed in."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale=language)
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{server.url}mlabhub/api/tools?token={TOKEN}")
    context.add_cookies([{"name": "vscode.nls.locale", "value": language, "url": server.url}])
    page.goto(f"{server.url}vscode/")
    expect(page.locator(".monaco-workbench")).to_be_visible(timeout=90_000)
    return page


def item(page: Page) -> Any:
    """Return our entry in the status bar."""
    return page.locator("#mlabhub\\.activity\\.mlabhub\\.idle, [id*='mlabhub.idle']").first


def told(receiver: Receiver, fits: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait until the service was told something."""
    deadline = time.monotonic() + seconds
    while not (found := fits()):
        assert time.monotonic() < deadline, (receiver.paths, receiver.calls[-2:])
        time.sleep(0.1)
    return found


def test_the_status_bar_says_how_the_server_stands(
    browser: Browser, server: JupyterServer, receiver: Receiver, tmp_path: Path
) -> None:
    page = open_vscode(browser, server)
    expect(item(page)).to_contain_text("GPU 37 % · idle in 2", timeout=60_000)
    page.screenshot(path=tmp_path / "active.png")
    item(page).click()
    expect(page.locator(".quick-input-widget")).to_contain_text("Keep for 2 h")
    expect(page.locator(".quick-input-widget")).to_contain_text("Give the GPU back")
    page.screenshot(path=tmp_path / "choice.png")
    with page.context.expect_page() as opened:
        page.locator(".quick-input-list").get_by_text("Show the last 24 hours").click()
        allow = page.get_by_role("button", name="Open", exact=True)
        if allow.count():
            allow.click()
    assert opened.value.url == server.url.replace("/user/alice/", QUIET["page"])
    assert receiver.paths == []


def test_a_warning_is_shown_and_told_and_what_is_chosen_is_done(
    browser: Browser, server: JupyterServer, receiver: Receiver, tmp_path: Path
) -> None:
    page = open_vscode(browser, server)
    expect(item(page)).to_contain_text("GPU 37 %", timeout=60_000)
    assert not any("seen" in body for _, body in receiver.calls)
    say(receiver, WARNED)
    toast = page.locator(".notification-toast").filter(has_text="Its GPU is taken back at 15:00.")
    expect(toast).to_be_visible(timeout=60_000)
    assert told(receiver, lambda: [body["seen"] for _, body in receiver.calls if "seen" in body]) == [WARNING["at"]]
    expect(item(page)).to_contain_text("left")
    page.screenshot(path=tmp_path / "warned.png")
    receiver.answers["/keep"] = (200, {"status": status(**QUIET)})
    say(receiver, QUIET)
    toast.get_by_role("button", name="Keep for 2 h").click()
    page.locator(".quick-input-widget input").fill("a long sum")
    page.keyboard.press("Enter")
    told(receiver, lambda: receiver.paths)
    assert receiver.paths == [("/keep", {"server": "alice/train", "seconds": 7200, "reason": "a long sum"})]
    expect(page.locator(".notification-toast").filter(has_text="kept for 2 h")).to_be_visible()
    receiver.answers["/release"] = (409, {"error": {"code": "refused", "message": "It is starting."}})
    item(page).click()
    page.locator(".quick-input-list").get_by_text("Give the GPU back").click()
    page.get_by_role("button", name="Give it back").click()
    expect(page.locator(".notification-toast").filter(has_text="It is starting.")).to_be_visible()
    assert receiver.paths[-1] == ("/release", {"server": "alice/train"})


def test_a_warning_that_nobody_looks_at_is_not_told(
    browser: Browser, server: JupyterServer, receiver: Receiver
) -> None:
    page = open_vscode(browser, server)
    expect(item(page)).to_contain_text("GPU 37 %", timeout=60_000)
    page.context.close()  # its half in the server goes on for days
    say(receiver, WARNED)
    time.sleep(50)
    assert not any("seen" in body for _, body in receiver.calls)
