"""JupyterLab as a person uses it: a notebook from the launcher, code into a cell, run."""

from __future__ import annotations

import time

from playwright.sync_api import FrameLocator, Page, expect

UNTOUCHED = "[ ]:"


def run_cell(page: Page, lab: FrameLocator | Page, number: int = 0, *, seconds: float = 60) -> None:
    """Click a cell and run it; JupyterLab drops a key that comes while it still gets to know a new kernel.

    Raises:
        AssertionError: the cell has not begun within ``seconds``.
    """
    prompt = lab.locator(".jp-Notebook .jp-Cell .jp-InputPrompt").nth(number)
    end = time.monotonic() + seconds
    while True:
        lab.locator(".jp-Notebook .jp-Cell .cm-content").nth(number).click()
        page.keyboard.press("Control+Enter")
        for _ in range(20):
            if prompt.inner_text() != UNTOUCHED:
                return
            page.wait_for_timeout(200)
        assert time.monotonic() < end, f"the cell has not begun: its prompt is {prompt.inner_text()!r}"


def run_in_new_notebook(page: Page, lab: FrameLocator | Page, code: str) -> None:
    """Open a notebook from the launcher, type code into its first cell, run it and wait for its end."""
    lab.locator(".jp-LauncherCard[data-category=Notebook]").first.click(timeout=60_000)
    cell = lab.locator(".jp-Notebook .jp-Cell .cm-content").first
    cell.click(timeout=60_000)
    expect(lab.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]")).to_be_visible(timeout=60_000)
    cell.click()
    page.keyboard.insert_text(code)
    expect(cell).to_contain_text(code.splitlines()[0])
    run_cell(page, lab)
    expect(lab.locator(".jp-Notebook .jp-InputPrompt").first).to_have_text("[1]:", timeout=60_000)
