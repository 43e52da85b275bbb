"""A line that is cut for a minute, or whose hub and proxy are killed: what is open in the bar goes on by itself."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from mlabhub.images import build_images
from tests.chromium import run_chromium, sign_in
from tests.cutline import CutLine
from tests.e2e.at_work import COMES_BACK_SECONDS, COUNT_SECONDS, Bar, Desktop, Lab, Terminal, Tool, VSCode
from tests.e2e.test_survival import _children
from tests.installation import Installation, free_port, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.timeout(900)]

NAME = "carla"
CUT_SECONDS = 60
LATE_SECONDS = 5
"""How far a page's count may be behind the clock."""


class Work:
    """All tools of one bar at work."""

    def __init__(self, bar: Bar, kinds: Iterable[type[Tool]]) -> None:
        """Open each tool once."""
        self.page = bar.page
        self.tools = {kind: kind(bar) for kind in kinds}
        self.began: dict[type[Tool], float] = {}
        for tool in self.tools.values():
            tool.open()
        self.page.evaluate("window.openedOnce = true")

    def begin(self, mark: str) -> None:
        """Let each count, and leave something unfinished in each."""
        for kind, tool in self.tools.items():
            tool.begin(mark)
            self.began[kind] = time.monotonic()

    def goes_on(self) -> None:
        """Soon every tool shows what it would show had nothing been, and nobody touched it."""
        expect(self.page.locator("#line")).to_be_hidden(timeout=1000 * COMES_BACK_SECONDS)
        since = time.monotonic()
        for kind, tool in self.tools.items():
            left = since + tool.back_seconds - time.monotonic()
            wait_for(lambda: self._is_back(kind), max(1, left), kind.__name__)  # noqa: B023
        assert self.page.evaluate("window.openedOnce")

    def _is_back(self, kind: type[Tool]) -> bool:
        due = time.monotonic() - self.began[kind] - LATE_SECONDS
        return self.tools[kind].is_back(min(COUNT_SECONDS, int(due)))

    def is_whole(self) -> None:
        """Nothing is lost or doubled, and everything unfinished can be finished."""
        for tool in self.tools.values():
            tool.finish()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return a Chromium with a fresh profile."""
    with run_chromium() as chromium:
        yield chromium


def open_page(browser: Browser, port: int, name: str, password: str) -> Page:
    """Log in over a line, and return a page for the addresses of the person's server."""
    address = f"http://127.0.0.1:{port}/"
    page = browser.new_page(base_url=f"{address}user/{name}/", viewport={"width": 1280, "height": 800})
    sign_in(page, address, name, password)
    page.wait_for_url("**/services/mlabhub/**")
    return page


@pytest.fixture(scope="module")
def line(hub: Installation) -> Iterator[CutLine]:
    """Return a line to the hub."""
    line = CutLine(hub.port)
    yield line
    line.close()


@pytest.fixture(scope="module")
def work(hub: Installation, browser: Browser, line: CutLine) -> Iterator[Work]:
    """Return a bar with all tools of a desktop's image, over the line."""
    build_images(["desktop"], no_cache=False, report=lambda _: None)
    password = hub.add_user(NAME, "vision")
    answer = hub.launch(NAME, profile="cpu", image="desktop", memory_gib=3)
    assert answer.status_code == 201, answer.text
    hub.wait_ready(NAME)
    page = open_page(browser, line.port, NAME, password)
    bar = Bar(page, hub.state / "nas" / "user" / NAME, f"user/{NAME}/")
    yield Work(bar, (Lab, Desktop, Terminal, VSCode))
    page.close()
    hub.stop_server(NAME)


Cut = Callable[[CutLine], None]
CUTS: dict[str, tuple[Cut, Cut]] = {
    "dropped": (CutLine.drop, CutLine.restore),
    "stalled-then-broken": (CutLine.stall, lambda line: line.restore(kill=True)),
}


@pytest.mark.parametrize(("cut", "restore"), CUTS.values(), ids=CUTS)
def test_a_minute_without_a_line(
    work: Work, line: CutLine, cut: Cut, restore: Cut, request: pytest.FixtureRequest
) -> None:
    work.begin(request.node.callspec.id)
    cut(line)
    since = time.monotonic()
    expect(work.page.locator("#line")).to_contain_text("No connection since", timeout=30_000)
    work.tools[VSCode].type_more()
    work.page.wait_for_timeout(1000 * (since + CUT_SECONDS - time.monotonic()))
    restore(line)
    work.goes_on()
    work.is_whole()


def test_hub_and_proxy_are_killed_under_open_pages(tmp_path: Path, browser: Browser) -> None:
    hub = Installation(tmp_path / "state", free_port(), ("--backend", "process"))
    try:
        hub.start()
        password = hub.add_user("alice", "vision")
        assert hub.launch("alice", profile="cpu").status_code == 201
        hub.wait_ready("alice")
        page = open_page(browser, hub.port, "alice", password)
        work = Work(Bar(page, hub.state / "nas" / "user" / "alice"), (Lab, Terminal))
        work.begin("killed")
        children = _children(hub)
        for name in ("hub", "proxy"):
            os.kill(children[name], signal.SIGKILL)
        page.wait_for_timeout(8_000)
        work.goes_on()
        work.is_whole()
        hub.stop_server("alice")
        expect(page.locator("#line")).to_contain_text("This server is not running any more", timeout=30_000)
        page.close()
    finally:
        if hub.server("alice"):
            hub.stop_server("alice")
        hub.close()
