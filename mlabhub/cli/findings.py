"""What doctor finds, and how it looks: a value for one thing, a program asked, a file read, what may hang."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

Answer = TypeVar("Answer")
Status = Literal["ok", "missing", "better", "info"]


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    ``missing``: servers do not run without it, or what was set does not work; ``better``: not as it should be.
    """

    name: str
    status: Status
    found: str
    fix: str = ""


def ask(*command: str, seconds: float = 20) -> str | None:
    """Return what a program printed; None if it is not there, fails or does not answer."""
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def read_text(file: Path) -> str:
    """Return a file's text; nothing if it cannot be read."""
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


def in_background(work: Callable[[], Answer]) -> Future[Answer]:
    """Run something that may hang, such as looking up a name or a file server; it keeps nobody from leaving."""
    future: Future[Answer] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
