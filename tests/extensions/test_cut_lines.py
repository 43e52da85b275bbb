"""A line that is cut for a minute, under JupyterLab and the terminal in one bar: everything goes on by itself."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, expect

from tests.cutline import CutLine
from tests.extensions.server import BASE_URL, OURS, TOKEN, JupyterServer
from tests.installation import wait_for

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.timeout(600)]

CUT_SECONDS = 60
COMES_BACK_SECONDS = 30
COUNT_SECONDS = 120


def make_notebook(*cells: str) -> str:
    """Return a notebook with these cells."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    empty = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    written = [{**empty, "id": f"cell-{number}", "source": text} for number, text in enumerate(cells)]
    return json.dumps({"cells": written, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5})


COUNT = f"import time\nfor i in range({COUNT_SECONDS}):\n    print(i, flush=True)\n    time.sleep(1)"


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """Run a server with JupyterLab and terminals."""
    one = JupyterServer(
        tmp_path_factory.mktemp("cut"),
        extensions=OURS | {"jupyterlab": True, "jupyter_server_terminals": True},
        environ={"SHELL": "/bin/bash", "MLABHUB_TOOLS": "lab,terminal", "JUPYTERHUB_USER": "alice"},
    )
    yield one
    one.close()


@pytest.fixture
def line(server: JupyterServer) -> Iterator[CutLine]:
    """Return the line to it."""
    line = CutLine(server.port)
    yield line
    line.close()


@pytest.fixture
def work(server: JupyterServer, browser: Browser, line: CutLine) -> Iterator[Work]:
    """Return a page on which everything is at work."""
    address = f"http://127.0.0.1:{line.port}{BASE_URL}"
    context = browser.new_context(viewport={"width": 1280, "height": 800}, base_url=address)
    work = Work(context.new_page(), server.home)
    work.page.goto(f"api?token={TOKEN}")
    work.begin()
    yield work
    context.close()


class Work:
    """One workbench, with something at work in each tool."""

    def __init__(self, page: Page, home: Path) -> None:
        self.page = page
        self.home = home

    def begin(self) -> None:
        """Let a cell and a shell count, and leave text unsaved in a notebook."""
        (self.home / "count.ipynb").write_text(make_notebook(COUNT, ""))
        self.page.goto("mlabhub/open/lab/tree/count.ipynb")
        cell = self.lab.locator(".jp-Notebook .jp-Cell .cm-content")
        cell.first.click(timeout=90_000)
        self.lab.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(timeout=60_000)
        self._open_terminal()
        self.page.keyboard.type(f"clear; for i in $(seq {COUNT_SECONDS}); do echo n$i; sleep 1; done\n")
        self.page.keyboard.press("Control+Alt+Digit1")
        cell.first.click()
        self.page.keyboard.press("Control+Enter")
        self.began = time.monotonic()
        cell.nth(1).click()
        self.page.keyboard.type("kept = 'unsaved'")
        wait_for(lambda: self.printed()[-1:] > [2], 20, "the cell counts")

    def _open_terminal(self) -> None:
        self.page.keyboard.press("Control+Alt+Digit2")
        screen = self.page.frame_locator("#frame-terminal").locator(".xterm-screen")
        screen.wait_for(timeout=30_000)
        self.page.wait_for_timeout(1500)
        screen.click()

    @property
    def lab(self) -> FrameLocator:
        """JupyterLab's frame."""
        return self.page.frame_locator("#frame-lab")

    def printed(self) -> list[int]:
        """Return what the cell's output shows."""
        return [int(number) for number in self.lab.locator(".jp-OutputArea-output").first.inner_text().split()]

    def listed(self) -> list[int]:
        """Return what the terminal shows."""
        rows = self.page.frame_locator("#frame-terminal").locator(".xterm-rows").inner_text()
        return [int(number) for number in re.findall(r"^n(\d+)", rows, re.MULTILINE)]

    def goes_on(self) -> None:
        """Within half a minute both count as if nothing had been."""
        deadline = time.monotonic() + COMES_BACK_SECONDS
        for what, shown in (("the cell's output", self.printed), ("the terminal", self.listed)):
            due = min(COUNT_SECONDS - 1, int(time.monotonic() - self.began) - 5)
            wait_for(lambda: shown()[-1] >= due, max(1, deadline - time.monotonic()), f"{what} at {due}")  # noqa: B023

    def is_whole(self) -> None:
        """Nothing is lost or doubled, and what was unsaved is there and can be saved."""
        wait_for(lambda: self.printed()[-1] == COUNT_SECONDS - 1, COUNT_SECONDS + 30, "the cell's end")
        assert self.printed() == list(range(COUNT_SECONDS))
        wait_for(lambda: self.listed()[-1] == COUNT_SECONDS, 30, "the shell's end")
        listed = self.listed()
        assert listed == list(range(listed[0], COUNT_SECONDS + 1))
        self.page.keyboard.press("Control+Alt+Digit1")
        self.lab.locator(".jp-Notebook .jp-Cell .cm-content").nth(1).click()
        self.page.keyboard.press("Control+Enter")
        self.page.keyboard.press("Control+s")
        wait_for(lambda: self._saved() == ["kept = 'unsaved'", *map(str, range(COUNT_SECONDS))], 30, "all of it saved")

    def _saved(self) -> list[str]:
        """Return what was typed and what was printed, as the file has it."""
        count, typed = json.loads((self.home / "count.ipynb").read_text())["cells"]
        return ["".join(typed["source"]), *"".join(count["outputs"][0]["text"] if count["outputs"] else "").split()]


Cut = Callable[[CutLine], None]
CUTS: dict[str, tuple[Cut, Cut]] = {
    "dropped": (CutLine.drop, CutLine.restore),
    "stalled-then-broken": (CutLine.stall, lambda line: line.restore(kill=True)),
}


@pytest.mark.parametrize(("cut", "restore"), CUTS.values(), ids=CUTS)
def test_a_minute_without_a_line(work: Work, line: CutLine, cut: Cut, restore: Cut) -> None:
    cut(line)
    expect(work.page.locator("#line")).to_contain_text("No connection since", timeout=30_000)
    work.page.wait_for_timeout(1000 * CUT_SECONDS)
    restore(line)
    expect(work.page.locator("#line")).to_be_hidden(timeout=1000 * COMES_BACK_SECONDS)
    work.goes_on()
    work.is_whole()
