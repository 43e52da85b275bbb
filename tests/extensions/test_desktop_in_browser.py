"""The desktop's page at work: a real Plasma session, a real Chromium, and a line between them that can be cut."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from mlabhub.images import build_images
from mlabhub.images.program import find_program
from mlabhub_agent.popup import Popup
from mlabhub_agent.standing import Standing
from mlabhub_proxies.surroundings import SETTING
from tests.chromium import run_chromium
from tests.cutline import CutLine
from tests.extensions.plasma import NAME, Plasma
from tests.extensions.server import BASE_URL, TOKEN, JupyterServer
from tests.rfb import Screen

pytestmark = [pytest.mark.long, pytest.mark.browser, pytest.mark.engine, pytest.mark.timeout(1200)]

PLAIN_HOST = "lab.test"
"""A name that is no `localhost`: over plain http browsers withhold there what they give secure pages."""
CHINESE = "你好，世界\n第二行"
LONG = "长文本 " * 8000
PAINTING = """timeout 10 awk 'BEGIN {while (1) printf "\\033[48;2;%d;%d;%dm ", rand()*256, rand()*256, rand()*256}'"""
SET_ENCODINGS = 2
FENCE = 248


@pytest.fixture(scope="module")
def plasma(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plasma]:
    """Return a desktop with a terminal."""
    build_images(["desktop"], no_cache=False, report=lambda _: None)
    one = Plasma(find_program(tmp_path_factory.mktemp("engine")), tmp_path_factory.mktemp("shared"))
    yield one
    one.close()


@pytest.fixture(scope="module")
def server(plasma: Plasma, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """Return a server whose desktop is that one."""
    link = {"does": [f"link={plasma.socket}", "wait=100000"], "more": {"raw": True, "route": "desktop-vnc"}}
    one = JupyterServer(
        tmp_path_factory.mktemp("server"), offer={"desktop": link}, arguments=["--ServerApp.allow_remote_access=True"]
    )
    yield one
    one.close()


@pytest.fixture
def line(server: JupyterServer) -> Iterator[CutLine]:
    """Return a line to the server."""
    one = CutLine(server.port)
    yield one
    one.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return a browser."""
    with run_chromium(f"--host-resolver-rules=MAP {PLAIN_HOST} 127.0.0.1") as browser:
        yield browser


def open_desktop(context: BrowserContext, line: CutLine, host: str = "localhost", lang: str = "en") -> Page:
    """Open the page, as a person who is signed in, and wait for the picture."""
    page = context.new_page()
    page.goto(f"http://{host}:{line.port}{BASE_URL}desktop/?token={TOKEN}&lang={lang}")
    wait_until(page, "connected")
    page.wait_for_timeout(1500)  # size and clipboard are agreed on
    return page


def wait_until(page: Page, state: str, seconds: float = 20) -> None:
    """Wait until the page says that the line is in a state."""
    page.wait_for_selector(f'#stage[data-state="{state}"]', timeout=seconds * 1000)


def stage_size(page: Page) -> tuple[int, int]:
    """Return the room for the picture."""
    width, height = page.evaluate("[stage.clientWidth, stage.clientHeight]")
    return width, height


def eventually(read: Callable[[], object], wanted: object, seconds: float = 5) -> None:
    """Wait until something is as wanted."""
    deadline = time.monotonic() + seconds
    while (now := read()) != wanted:
        assert time.monotonic() < deadline, f"{now!r} is not {wanted!r}"
        time.sleep(0.1)


def run(page: Page, command: str) -> None:
    """Type a command into the terminal."""
    page.mouse.click(400, 300)
    page.keyboard.type(f"{command}\n", delay=5)


@pytest.fixture
def context(browser: Browser, line: CutLine) -> Iterator[BrowserContext]:
    """Return a person's browser, which may read the clipboard."""
    one = browser.new_context(viewport={"width": 1000, "height": 700})
    one.grant_permissions(["clipboard-read", "clipboard-write"], origin=f"http://localhost:{line.port}")
    yield one
    one.close()


@pytest.fixture
def page(context: BrowserContext, line: CutLine) -> Page:
    """Return the page with its picture."""
    return open_desktop(context, line)


def test_from_the_first_click_to_a_typed_command_without_one_failed_connection(
    server: JupyterServer, context: BrowserContext, line: CutLine, plasma: Plasma
) -> None:
    with server.client() as client:
        client.post("mlabhub/api/tools/desktop", json={"action": "stop"})
    page = context.new_page()
    errors: list[str] = []
    opened: list[str] = []
    page.on("websocket", lambda socket: opened.append(socket.url))
    page.on("console", lambda message: message.type == "error" and errors.append(message.text))
    page.on("pageerror", lambda fault: errors.append(str(fault)))
    page.goto(f"http://localhost:{line.port}{BASE_URL}desktop/?token={TOKEN}")
    wait_until(page, "connected")
    run(page, "echo $((6 * 7)) >typed")
    assert plasma.written("typed") == "42\n"
    colours = page.evaluate(
        "(() => { const c = document.querySelector('#place > div canvas'), d = c.getContext('2d')"
        ".getImageData(0, 0, c.width, c.height).data, s = new Set();"
        " for (let i = 0; i < d.length; i += 4) s.add(d[i] << 16 | d[i + 1] << 8 | d[i + 2]); return s.size; })()"
    )
    assert colours > 8
    assert len(opened) == 1
    assert errors == []


def test_the_desktop_follows_the_window_and_two_browsers_do_not_fight(
    page: Page, browser: Browser, line: CutLine, plasma: Plasma
) -> None:
    eventually(plasma.size, stage_size(page))
    page.set_viewport_size({"width": 901, "height": 603})
    eventually(plasma.size, (901, stage_size(page)[1]))
    other = browser.new_context(viewport={"width": 700, "height": 500}, device_scale_factor=1.25)
    second = open_desktop(other, line)
    eventually(plasma.size, stage_size(second))
    page.wait_for_timeout(2500)  # whoever answered a change with a change would have done so
    assert plasma.size() == stage_size(second)
    assert page.evaluate("document.querySelector('#place > div canvas').getBoundingClientRect().width") <= 901
    page.mouse.click(500, 300)
    eventually(plasma.size, stage_size(page))
    page.wait_for_timeout(2500)
    assert plasma.size() == stage_size(page)
    run(second, "echo both >second")
    assert plasma.written("second") == "both\n"
    second.click("[data-panel=picture]")
    second.check("[name=size][value=scale]")
    second.set_viewport_size({"width": 640, "height": 480})
    second.wait_for_timeout(1500)
    assert plasma.size() != stage_size(second)
    other.close()


def test_text_goes_both_ways(page: Page, plasma: Plasma) -> None:
    page.evaluate("text => navigator.clipboard.writeText(text)", CHINESE)
    page.mouse.click(400, 300)
    page.keyboard.press("Control+v")
    eventually(plasma.clipboard, CHINESE)
    plasma.copy("从桌面来\n第二行")
    eventually(lambda: page.evaluate("navigator.clipboard.readText()"), "从桌面来\n第二行")
    page.evaluate("text => navigator.clipboard.writeText(text)", LONG)
    page.keyboard.press("Control+v")
    eventually(lambda: len(plasma.clipboard().strip()), len(LONG.strip()))
    page.click("[data-panel=clipboard]")
    page.fill("#clipboard-text", "by the panel 面板")
    eventually(plasma.clipboard, "by the panel 面板")


def test_text_goes_both_ways_without_https(browser: Browser, line: CutLine, plasma: Plasma) -> None:
    context = browser.new_context(viewport={"width": 900, "height": 600})
    page = open_desktop(context, line, PLAIN_HOST)
    assert page.evaluate("[window.isSecureContext, navigator.clipboard === undefined]") == [False, True]
    page.click("[data-panel=clipboard]")
    expect(page.locator("#panel-clipboard")).to_contain_text("only over https")
    page.fill("#clipboard-text", "没有证书")
    eventually(plasma.clipboard, "没有证书")
    page.keyboard.press("Control+a")
    page.keyboard.press("Control+x")
    page.mouse.click(600, 400)
    page.keyboard.press("Control+v")  # the browser hands over what was cut
    eventually(plasma.clipboard, "没有证书")
    plasma.copy("也能出来")
    eventually(lambda: page.input_value("#clipboard-text"), "也能出来")
    page.keyboard.press("Shift")
    page.click("[data-panel=clipboard]")
    page.click("#clipboard-text")
    page.keyboard.press("Control+a")
    page.keyboard.press("Control+v")
    assert page.input_value("#clipboard-text") == "也能出来"
    context.close()


def test_what_an_input_method_composes_arrives_and_the_clipboard_is_as_before(page: Page, plasma: Plasma) -> None:
    plasma.copy("was here")
    page.mouse.click(400, 300)
    devtools = page.context.new_cdp_session(page)
    page.keyboard.type("echo ")
    for half, whole in (("ni hao", "你好"), ("shi jie", "世界"), ("", "é")):
        devtools.send("Input.imeSetComposition", {"text": half, "selectionStart": len(half), "selectionEnd": len(half)})
        devtools.send("Input.insertText", {"text": whole})
    page.wait_for_timeout(2500)
    page.keyboard.type(" >composed\n")
    assert plasma.written("composed") == "你好世界é\n"
    eventually(plasma.clipboard, "was here")


def test_the_session_outlives_its_page(context: BrowserContext, line: CutLine, plasma: Plasma) -> None:
    page = open_desktop(context, line)
    page.mouse.click(400, 300)
    page.keyboard.type("echo not yet sent >kept")
    page.wait_for_timeout(500)
    page.close()
    again = open_desktop(context, line)
    again.mouse.click(400, 300)
    again.keyboard.press("Enter")
    assert plasma.written("kept") == "not yet sent\n"


def test_a_line_that_breaks_comes_back_at_once(page: Page, line: CutLine, plasma: Plasma) -> None:
    line.drop()
    wait_until(page, "cut")
    assert page.is_visible("#still")
    expect(page.locator("#live")).to_have_text("The line is cut")
    page.wait_for_timeout(3000)
    line.restore()
    wait_until(page, "connected")
    run(page, "echo whole >again")
    assert plasma.written("again") == "whole\n"


def test_a_line_that_goes_silent_is_noticed_and_keys_are_not_sent_late(
    page: Page, line: CutLine, plasma: Plasma
) -> None:
    line.stall()
    wait_until(page, "cut", 12)
    page.keyboard.type("echo late >late\n")
    expect(page.locator("#live")).to_have_text("Not sent: there is no line to the desktop.")
    page.wait_for_timeout(15_000)
    line.restore(kill=True)
    wait_until(page, "connected", 30)
    run(page, "echo now >now")
    assert plasma.written("now") == "now\n"
    assert not (plasma.folder / "late").exists()
    line.stall()
    wait_until(page, "cut", 12)
    line.restore()
    wait_until(page, "connected", 3)  # a short silence: the same connection goes on


def test_quality_reaches_the_desktop_at_once_and_is_remembered(context: BrowserContext, line: CutLine) -> None:
    page = context.new_page()
    asked: list[tuple[int, int]] = []

    def look(frame: str | bytes) -> None:
        if isinstance(frame, bytes) and frame[0] == SET_ENCODINGS:
            encodings = struct.unpack(f">{(len(frame) - 4) // 4}i", frame[4:])
            quality = next(code + 32 for code in encodings if -32 <= code <= -23)
            compression = next(code + 256 for code in encodings if -256 <= code <= -247)
            asked.append((quality, compression))

    page.on("websocket", lambda socket: socket.on("framesent", look))
    page.goto(f"http://localhost:{line.port}{BASE_URL}desktop/?token={TOKEN}")
    wait_until(page, "connected")
    page.click("[data-panel=picture]")
    for choice, wanted in (("sharp", (9, 2)), ("slow", (1, 9)), ("balanced", (6, 4)), ("slow", (1, 9))):
        page.check(f"[name=quality][value={choice}]")
        assert asked[-1] == wanted
    page.wait_for_timeout(6000)
    expect(page.locator("#now")).to_contain_text("Now: for a very slow line. Last answer")
    page.reload()
    wait_until(page, "connected")
    assert page.is_checked("[name=quality][value=slow]")
    assert asked[-1] == (1, 9)


def test_an_untouched_page_sends_nothing_that_a_person_did(page: Page) -> None:
    sent: list[str | bytes] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(frame)))
    page.reload()
    wait_until(page, "connected")
    page.wait_for_timeout(6000)
    sent.clear()
    page.wait_for_timeout(15_000)
    assert "echo" in sent
    messages = [frame for frame in sent if isinstance(frame, bytes)]
    assert {message[0] for message in messages} <= {SET_ENCODINGS, FENCE}, messages


def test_automatic_quality_gives_way_to_queues_and_comes_back_ever_later(page: Page) -> None:
    module = page.locator("script[type=module]").evaluate("script => new URL('quality.js', script.src).href")
    steps = page.evaluate(
        """async (module) => {
          const { Automatic } = await import(module);
          const automatic = new Automatic();
          const give = (ms, times) => { for (let i = 0; i < times; i++) automatic.take(ms); return automatic.step; };
          return [give(200, 1), give(230, 4), give(900, 2), give(900, 2), give(200, 15), give(200, 1), give(900, 99)];
        }""",
        module,
    )
    assert steps == [2, 3, 2, 1, 1, 2, 0]


def test_a_browser_that_is_stuck_costs_the_server_nothing(page: Page, line: CutLine, server: JupyterServer) -> None:
    process = psutil.Process(server.process.pid)
    run(page, PAINTING)
    page.wait_for_timeout(1000)
    before = process.memory_info().rss
    line.stall()
    page.wait_for_timeout(7000)
    assert process.memory_info().rss - before < 24 * 2**20
    line.restore(kill=True)
    wait_until(page, "connected", 30)
    run(page, "clear")


def test_a_login_that_is_over_is_said(page: Page, line: CutLine) -> None:
    page.context.clear_cookies()
    line.drop()
    line.restore()
    wait_until(page, "login")
    expect(page.locator("#notice a")).to_have_text("Log in")


def test_stopping_asks_first_and_the_page_knows_how_to_go_on(page: Page) -> None:
    page.click("#stop")
    page.click("#stop-no")
    assert page.get_attribute("#stage", "data-state") == "connected"
    page.click("#stop")
    page.click("#stop-yes")
    wait_until(page, "ended")
    page.click("#notice a")
    wait_until(page, "connected")


def test_the_keyboard_alone_leads_everywhere_and_nothing_is_hidden_from_a_screen_reader(page: Page) -> None:
    for panel in ("clipboard", "keys", "picture"):
        page.click(f"[data-panel={panel}]")
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        page.keyboard.press("Escape")
        assert page.evaluate("document.activeElement.dataset.panel") == panel
    page.mouse.click(400, 300)
    for key in ("Control", "Alt", "Shift"):
        page.keyboard.down(key)
    for key in ("Shift", "Alt", "Control"):
        page.keyboard.up(key)
    assert page.evaluate("document.activeElement.id") == "full-screen"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_chinese(browser: Browser, line: CutLine, scheme: str) -> None:
    context = browser.new_context(
        viewport={"width": 320, "height": 640}, has_touch=True, color_scheme="dark" if scheme == "dark" else "light"
    )
    page = open_desktop(context, line, lang="zh_CN")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert page.get_attribute("#field", "inputmode") == "none"
    page.click("#on-screen")
    assert page.get_attribute("#field", "inputmode") == "text"
    for panel in ("clipboard", "keys", "picture"):
        page.click(f"[data-panel={panel}]")
        box = page.locator(f"#panel-{panel}").bounding_box()
        assert box is not None
        assert box["width"] <= 320
    context.close()


def test_a_warning_stands_on_the_desktop_until_it_holds_no_more(
    plasma: Plasma, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the agent has it shown, which calls the same program inside the container."""
    (tmp_path / "busctl").write_text(f'#!/bin/sh\nexec {plasma.program.path} exec {NAME} busctl "$@"\n')
    (tmp_path / "busctl").chmod(0o755)
    for name, value in plasma.program.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{tmp_path}:{plasma.program.environment.get('PATH', '/usr/bin:/bin')}")
    with ThreadPoolExecutor(1) as pool:  # this thread has the browser's event loop
        pool.submit(asyncio.run, _warn(plasma, tmp_path)).result()


async def _warn(plasma: Plasma, tmp_path: Path) -> None:
    standing, seen = Standing(), list[Any]()
    running = SimpleNamespace(folder=plasma.folder / "vnc", onlookers=1)
    popup = Popup({SETTING: SimpleNamespace(running={"desktop": running})}, standing, seen.append)
    screen = Screen.connect(plasma.socket)
    try:
        empty = screen.wait_still(20)
        words = {"en": "This server is idle <b>& ends</b>.", "zh_CN": "此服务器空闲。"}
        standing.take({"now": 0.0, "warning": {"at": 5.0, "title": words, "body": words}})
        await popup._look()
        assert seen == [5.0]
        screen.wait_until(lambda screen: screen.share_changed(empty) > 0.01, 10, "a notification")
        screen.wait_still(20)
        screen.save(tmp_path / "warned.png")
        await asyncio.sleep(12)  # longer than a notification stands that goes by itself
        screen.look()
        assert screen.share_changed(empty) > 0.01
        standing.take({"now": 0.0, "warning": None})
        await popup._look()
        screen.wait_until(lambda screen: screen.share_changed(empty) < 0.01, 10, "an empty desktop")
    finally:
        screen.close()
