"""Tables of the command line fit, say what they leave out, and show no text that a terminal would obey."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from mlabhub.cli.shown import Column, fit, make_console, plain_line, print_table

COLUMNS = (
    Column("", right=True),
    Column("who"),
    Column("what", wraps=True, spare=1),
    Column("since", right=True, spare=2),
    Column("why", wraps=True),
)
ROWS = (
    ("1", "alice/训练任务", "4 GPU, 2 CPU, 8 GiB", "3 min", "4 GPU wait until somebody gives some back"),
    ("2", Text("bob/\u202eevil\x1b[2J", "bold"), "1 GPU", "12 min", "[red]x[/red]"),
)


def shown(width: int, rows: Sequence[Sequence[str | Text]] = ROWS) -> list[str]:
    """Return the lines of a table on a terminal of that width."""
    console = Console(file=io.StringIO(), width=width, highlight=False, markup=False, emoji=False)
    print_table(console, COLUMNS, rows)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue().splitlines()


def test_with_room_every_row_is_a_line() -> None:
    assert shown(200) == [
        "   who             what                  since  why",
        "1  alice/训练任务  4 GPU, 2 CPU, 8 GiB   3 min  4 GPU wait until somebody gives some back",
        "2  bob/\ufffdevil\ufffd[2J   1 GPU                12 min  [red]x[/red]",
    ]


def test_what_there_is_no_room_for_is_said() -> None:
    assert shown(60)[0].split() == ["who", "what", "why"]
    assert shown(60)[-1] == "No room for: since. --json has everything."
    assert "No room for: what, since." in " ".join(shown(38))


def test_where_no_table_fits_there_are_lines() -> None:
    assert shown(15)[:4] == ["1", "who: ", "alice/训练任务", "what: 4 GPU, 2 "]


@given(
    rows=st.lists(st.lists(st.text(max_size=40), min_size=5, max_size=5), max_size=4),
    width=st.integers(min_value=10, max_value=150),
)
def test_no_line_is_wider_than_the_terminal(rows: list[list[str]], width: int) -> None:
    lines = shown(width, rows)
    assert all(cell_len(line) <= width for line in lines)
    assert all(line.isprintable() for line in lines)


@given(widths=st.lists(st.integers(0, 60), min_size=5, max_size=5), room=st.integers(1, 300))
def test_columns_go_in_their_order_and_no_more_than_needed(widths: list[int], room: int) -> None:
    kept = fit(COLUMNS, widths, room)
    more = fit(COLUMNS, widths, room + 1)
    assert kept is None or (more is not None and set(kept) <= set(more))
    assert kept is None or {0, 1, 4} <= set(kept)
    assert kept is None or 3 not in kept or 2 in kept


def test_a_text_that_turns_the_line_round_or_clears_the_screen_is_harmless() -> None:
    assert (
        plain_line("a\u202eb\u2066c\x1b[2Jd\re\nf\x9bg\u200fh")
        == "a\ufffdb\ufffdc\ufffd[2Jd\ufffde\ufffdf\ufffdg\ufffdh"
    )


CODE = """
from rich.text import Text
from mlabhub.cli.shown import Column, make_console, print_table
columns = [Column("a"), Column("b" * 40, spare=1), Column("c" * 40, spare=2)]
print_table(make_console(), columns, [[Text("red", "red"), "y", "z"]])
"""


BAR = """
from mlabhub.cli.shown import counting, working
with counting("Reading", 10) as steps:
    steps.done(5)
with working("Thinking"):
    print("a word in between", flush=True)
print("done")
"""


def on_a_terminal(code: str = CODE, **environment: str) -> bytes:
    """Return what a program shows on a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    known = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "FORCE_COLOR")}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=theirs, stderr=theirs, stdin=theirs, env={**known, **environment}
    ):
        os.close(theirs)
        seen = b""
        try:
            while more := os.read(ours, 4096):
                seen += more
        except OSError:  # how a terminal ends
            pass
    os.close(ours)
    return seen


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({"TERM": "xterm-256color"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_colours_are_for_terminals_that_want_them(environment: dict[str, str], coloured: bool) -> None:
    seen = on_a_terminal(**environment)
    assert (b"\x1b[31m" in seen) is coloured
    assert b"No room for: ccc" in seen


def test_what_is_no_terminal_gets_everything_and_no_colours() -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "FORCE_COLOR")}
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, env={**environment, "TERM": "xterm"}, check=True, timeout=60
    )
    assert done.stdout == b"a    " + b"b" * 40 + b"  " + b"c" * 40 + b"\nred  y" + b" " * 41 + b"z\n"


def test_columns_of_the_environment_count_elsewhere_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "72")
    assert make_console().width == 72


def test_what_takes_long_is_shown_on_a_terminal_and_nowhere_else() -> None:
    seen = on_a_terminal(BAR, TERM="xterm")
    assert b"Reading" in seen
    assert b"50%" in seen
    assert b"Thinking" in seen
    done = subprocess.run([sys.executable, "-c", BAR], capture_output=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == (b"a word in between\ndone\n", b"")
    assert b"Reading" not in on_a_terminal(BAR, TERM="dumb")
