"""Work in the tools of one workbench, for tests that break its line: what counts goes on, what is unfinished stays.

Guarantees: a count is complete only with every number once, in order, drawn in the page; what was left unfinished is
what was left, as the files on the NAS have it.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from playwright.sync_api import FrameLocator, Page, expect

from tests.desktop import COLOURS, KONSOLE_ABOVE, KONSOLE_LEFT, PICTURE
from tests.installation import wait_for
from tests.jupyterlab import run_cell

COUNT_SECONDS = 90
COMES_BACK_SECONDS = 30
LOOP = f"clear; for i in $(seq {COUNT_SECONDS}); do echo n$i; sleep 1; done"


class Tool(Protocol):
    """Something at work in one tool."""

    name: str
    back_seconds: int
    """How long it may take to be back after the line is."""

    def open(self) -> None:
        """Show the tool, and wait until it can be worked with."""

    def begin(self, mark: str) -> None:
        """Let it count, and leave something unfinished that holds the mark."""

    def is_back(self, due: int) -> bool:
        """Tell whether it shows what it would show had nothing been: the count is at ``due``, or further."""

    def finish(self) -> None:
        """See that the count is whole, end what was left unfinished, and see that it is what it was."""


class Bar:
    """A workbench and the person's home."""

    def __init__(self, page: Page, home: Path, folder: str = "") -> None:
        """Know both; ``folder`` is the home for JupyterLab, whose addresses begin at a server's root."""
        self.page = page
        self.home = home
        self.folder = folder

    def show(self, slug: str) -> FrameLocator:
        """Switch to a tool and return its frame."""
        self.page.click(f"#tab-{slug}")
        return self.frame(slug)

    def frame(self, slug: str) -> FrameLocator:
        """Return a tool's frame."""
        return self.page.frame_locator(f"#frame-{slug}")

    def write(self, name: str, text: str) -> None:
        """Write a file of the person's."""
        file = self.home / name
        file.write_text(text)
        owner = self.home.stat()
        os.chown(file, owner.st_uid, owner.st_gid)

    def read(self, name: str) -> str:
        """Return a file's text, empty if there is none."""
        file = self.home / name
        return file.read_text() if file.exists() else ""

    def press_until(self, keys: str, seen: Callable[[], bool], what: str) -> None:
        """Press keys as often as it takes: VS Code is deaf to many of them until all of it has been loaded."""

        def pressed() -> bool:
            self.page.keyboard.press(keys)
            deadline = time.monotonic() + 4
            while time.monotonic() < deadline and not seen():
                self.page.wait_for_timeout(200)
            return seen()

        wait_for(pressed, 60, what)


class Lab:
    """A cell that counts, and text in another one that is not saved."""

    name = "lab"
    back_seconds = COMES_BACK_SECONDS
    notebook = "count.ipynb"

    def __init__(self, bar: Bar) -> None:
        """Know the workbench."""
        self.bar = bar
        self.frame = bar.frame("lab")
        self.cells = self.frame.locator(".jp-Notebook .jp-Cell .cm-content")

    def open(self) -> None:
        """Open a notebook and wait for its kernel."""
        count = f"import time\nfor i in range(1, {COUNT_SECONDS} + 1):\n    print(i, flush=True)\n    time.sleep(1)"
        self.bar.write(self.notebook, make_notebook(count, ""))
        self.bar.page.goto(f"mlabhub/open/lab/tree/{self.bar.folder}{self.notebook}")
        self.cells.first.click(timeout=90_000)
        self.frame.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(timeout=60_000)

    def begin(self, mark: str) -> None:
        """Run the one cell, type into the other."""
        self.bar.show("lab")
        run_cell(self.bar.page, self.frame)
        self.cells.nth(1).click()
        self.bar.page.keyboard.press("Control+a")
        self.text = f"kept = '{mark}'"
        self.bar.page.keyboard.insert_text(self.text)

    def is_back(self, due: int) -> bool:
        """Tell whether the cell's output is at ``due``."""
        return self._counted()[-1:] >= [due]

    def finish(self) -> None:
        """Run the other cell too, save, and look into the file."""
        wait_for(lambda: self.is_back(COUNT_SECONDS), COUNT_SECONDS, "the cell's end")
        assert self._counted() == list(range(1, COUNT_SECONDS + 1))
        self.bar.show("lab")
        run_cell(self.bar.page, self.frame, 1)
        self.bar.page.keyboard.press("Control+s")
        wanted = [self.text, *map(str, range(1, COUNT_SECONDS + 1))]
        wait_for(lambda: self._saved() == wanted, 30, "all of the notebook saved")

    def _counted(self) -> list[int]:
        output = self.frame.locator(".jp-OutputArea-output")
        return [int(number) for number in output.first.inner_text().split()] if output.count() else []

    def _saved(self) -> list[str]:
        try:
            count, typed = json.loads(self.bar.read(self.notebook))["cells"]
        except ValueError:  # it is being written
            return []
        return ["".join(typed["source"]), *"".join(count["outputs"][0]["text"] if count["outputs"] else "").split()]


class Terminal:
    """A shell that counts."""

    name = "terminal"
    back_seconds = COMES_BACK_SECONDS

    def __init__(self, bar: Bar) -> None:
        """Know the workbench."""
        self.bar = bar
        self.screen = bar.frame("terminal").locator(".xterm-screen")

    def open(self) -> None:
        """Open a shell."""
        self.bar.show("terminal")
        expect(self.bar.frame("terminal").locator(".xterm-helper-textarea:focus")).to_have_count(1, timeout=30_000)

    def begin(self, mark: str) -> None:
        """Run a loop, and type the next command behind it."""
        self.bar.show("terminal")
        self.screen.click()
        self.typed = f"terminal-{mark}"
        self.bar.page.keyboard.type(f"{LOOP}; read -p 'typed: ' line; echo $line >~/{self.typed}\n")

    def is_back(self, due: int) -> bool:
        """Tell whether the terminal is at ``due``."""
        return numbers_of(self.bar.frame("terminal"))[-1:] >= [due]

    def finish(self) -> None:
        """Answer what the shell asks by now."""
        end_count(self.bar.frame("terminal"))
        self.bar.show("terminal")
        self.screen.click()
        self.bar.page.keyboard.type("answered\n")
        wait_for(lambda: self.bar.read(self.typed) == "answered\n", 20, "the shell's answer")


class VSCode:
    """A terminal that counts, and an edit that is typed before and while the line is away."""

    name = "VS Code"
    back_seconds = 45  # it tries every 30 s after a minute
    file = "kept.txt"

    def __init__(self, bar: Bar) -> None:
        """Know the workbench."""
        self.bar = bar
        self.frame = bar.frame("vscode")
        self.editor = self.frame.locator(".monaco-editor .view-lines").first
        self.terminal = self.frame.locator(".terminal-wrapper .xterm-screen")

    def open(self) -> None:
        """Open a file and a terminal, whose letters are drawn where a test can read them, and which is not replaced."""
        self.bar.write(self.file, "")
        terminal = {"gpuAcceleration": "off", "environmentChangesRelaunch": False}
        self._set({"files.autoSave": "off"} | {f"terminal.integrated.{name}": set_ for name, set_ in terminal.items()})
        self.bar.show("vscode")
        self.frame.locator(".explorer-folders-view").wait_for(timeout=90_000)
        self.bar.press_until("F1", self.frame.locator(".quick-input-widget").is_visible, "all of VS Code")
        self.bar.page.keyboard.press("Escape")
        self.frame.get_by_role("treeitem", name=self.file).dblclick()
        self.editor.click()
        self.bar.press_until("Control+Shift+Backquote", lambda: self.terminal.count() > 0, "a terminal of VS Code")
        self.bar.page.wait_for_timeout(2000)  # until its shell has started

    def begin(self, mark: str) -> None:
        """Let the terminal count, and edit the file; nothing is saved by itself."""
        self.bar.show("vscode")
        self.terminal.click()
        self.bar.page.keyboard.type(f"{LOOP}\n")
        wait_for(lambda: numbers_of(self.frame)[-1:] in ([1], [2], [3]), 10, "a count in VS Code's terminal")
        self.editor.click()
        self.bar.page.keyboard.press("Control+a")
        self.text = f"kept {mark}"
        self.bar.page.keyboard.type(self.text)
        expect(self.editor).to_contain_text(self.text.replace(" ", "\xa0"))

    def is_back(self, due: int) -> bool:
        """Tell whether its terminal is at ``due``."""
        return numbers_of(self.frame)[-1:] >= [due]

    def type_more(self) -> None:
        """Go on with the edit where it was."""
        self.text += " and more"
        self.bar.page.keyboard.type(" and more")
        expect(self.editor).to_contain_text(self.text.replace(" ", "\xa0"))

    def finish(self) -> None:
        """Save the edit, and look into the file; VS Code asks for nothing and was not loaded anew."""
        end_count(self.frame)
        assert not self.frame.locator(".monaco-dialog-box").is_visible()
        assert self.bar.read(self.file) != self.text
        self.bar.show("vscode")
        self.editor.click()
        self.bar.press_until("Control+s", lambda: self.bar.read(self.file) == self.text, "the edit saved")

    def _set(self, settings: dict[str, object]) -> None:
        folder = self.bar.home
        owner = folder.stat()
        for part in (".local", "share", "code-server", "User"):
            folder /= part
            folder.mkdir(exist_ok=True)
            os.chown(folder, owner.st_uid, owner.st_gid)
        self.bar.write(str((folder / "settings.json").relative_to(self.bar.home)), json.dumps(settings))


class Desktop:
    """A terminal on the desktop in which a command is typed and not sent."""

    name = "desktop"
    back_seconds = COMES_BACK_SECONDS

    def __init__(self, bar: Bar) -> None:
        """Know the workbench."""
        self.bar = bar
        self.frame = bar.frame("desktop")

    def open(self) -> None:
        """Wait for Plasma, and open Konsole by its bar."""
        self.bar.show("desktop")
        self.frame.locator(PICTURE).wait_for(timeout=90_000)
        wait_for(lambda: self.frame.locator("body").evaluate(COLOURS) > 100, 90, "a picture of Plasma")
        self.bar.page.wait_for_timeout(3000)
        box = self.frame.locator(PICTURE).bounding_box()
        assert box
        self.bar.page.mouse.click(box["x"] + KONSOLE_LEFT, box["y"] + box["height"] - KONSOLE_ABOVE)
        self.bar.page.wait_for_timeout(4000)

    def begin(self, mark: str) -> None:
        """Type a command and do not send it; the bar has given the desktop the keyboard."""
        self.bar.show("desktop")
        self.written = f"desktop-{mark}"
        self.bar.page.keyboard.type(f"echo from Konsole >{self.written}", delay=20)
        self.bar.page.wait_for_timeout(500)

    def is_back(self, due: int) -> bool:
        """Tell whether the desktop's picture is there again."""
        return self.frame.locator('#stage[data-state="connected"]').count() == 1

    def finish(self) -> None:
        """Send the command."""
        self.bar.show("desktop")
        assert not self.bar.read(self.written)
        self.bar.page.keyboard.press("Enter")
        wait_for(lambda: self.bar.read(self.written) == "from Konsole\n", 20, "what was typed on the desktop")


def numbers_of(frame: FrameLocator) -> list[int]:
    """Return the numbers that a screen of xterm.js shows."""
    rows = frame.locator(".xterm-rows").first.inner_text()
    return [int(number) for number in re.findall(r"^n(\d+)", rows, re.MULTILINE)]


def end_count(frame: FrameLocator) -> None:
    """Wait for the end of a loop; nothing of what is on the screen is lost or doubled."""
    wait_for(lambda: numbers_of(frame)[-1:] == [COUNT_SECONDS], COUNT_SECONDS, "the shell's end")
    seen = numbers_of(frame)
    assert seen == list(range(seen[0], COUNT_SECONDS + 1))


def make_notebook(*cells: str) -> str:
    """Return a notebook with these cells."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    empty = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    written = [{**empty, "id": f"cell-{number}", "source": text} for number, text in enumerate(cells)]
    return json.dumps({"cells": written, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5})
