"""A display of what is being done, with times: live on a terminal, plain lines in a log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console


class Steps:
    """Shows each step while it runs, and how long it took."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._started = time.monotonic()

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Show one step; it is marked as failed if an exception leaves the block."""
        started = time.monotonic()
        try:
            with self.console.status(text) if self.console.is_terminal else _nothing():
                yield
        except BaseException:
            self._line("[red]failed[/]", text, started)
            raise
        self._line("[green]ok[/]", text, started)

    def total(self) -> float:
        """Return the seconds since the first step."""
        return time.monotonic() - self._started

    def _line(self, mark: str, text: str, started: float) -> None:
        self.console.print(f"  {mark:>16}  {text}  [dim]{time.monotonic() - started:.1f} s[/]", highlight=False)


@contextmanager
def _nothing() -> Iterator[None]:
    yield
