"""How verbs show things: tables that fit the terminal, text that cannot give it orders, JSON documents.

Guarantees: no line of a table is wider than the terminal, whatever the names in it; what is left out for that is said.
Where the output is no terminal, nothing is left out, cut or coloured, and a row is one line. What people or machines
gave as a text comes out printable: no control characters, none that turn the direction of writing round.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

WIDEST = 100_000
"""Columns of an output that is no terminal."""
GAP = 2
NARROWEST = 16
"""How narrow a column may become whose text goes over several lines."""

Cell = str | Text


@dataclass(frozen=True)
class Column:
    """A column. ``wraps``: its text may go over several lines; ``spare``: those with higher numbers are left out first.

    A column whose ``spare`` is 0 is never left out.
    """

    heading: str
    right: bool = False
    wraps: bool = False
    spare: int = 0


def make_console(*, stderr: bool = False) -> Console:
    """Return where things are printed: as wide as the terminal, or ``COLUMNS``; coloured if that is wanted."""
    console = Console(stderr=stderr, highlight=False, emoji=False, markup=False)
    if not console.is_terminal and not os.environ.get("COLUMNS", "").isdigit():
        console.width = WIDEST
    return console


def plain_line(text: str) -> str:
    """Return somebody's text as one line that a terminal shows as it is."""
    return "".join(one if one.isprintable() else "\ufffd" for one in text)


def print_table(console: Console, columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> None:
    """Print a table of what is known; a line below it says which columns there was no room for.

    Where there is room for no table, each row is printed as lines of ``heading: value``.
    """
    lines = [[_cell(cell) for cell in row] for row in rows]
    kept = fit(columns, _widths(columns, lines), console.width)
    if kept is None:
        console.print(*(_record(columns, line) for line in lines), sep="\n\n", overflow="fold")
        return
    for text in render(console, [columns[at] for at in kept], [[line[at] for at in kept] for line in lines]):
        console.print(text, soft_wrap=True)
    left = [column.heading for at, column in enumerate(columns) if at not in kept]
    if left:
        console.print(Text(f"No room for: {', '.join(left)}. --json has everything.", "dim"))


def fit(columns: Sequence[Column], widths: Sequence[int], room: int) -> list[int] | None:
    """Return which columns stay where there is room for so many cells, None if those that must are too wide.

    ``widths`` are what the columns would like.
    """
    least = [
        min(width, max(NARROWEST, cell_len(column.heading))) if column.wraps else width
        for column, width in zip(columns, widths, strict=True)
    ]
    kept = list(range(len(columns)))
    for at in sorted(kept, key=lambda at: (-columns[at].spare, -at)):
        if sum(least[one] for one in kept) + GAP * (len(kept) - 1) <= room:
            return kept
        if columns[at].spare == 0:
            return None
        kept.remove(at)
    return kept or None


def render(console: Console, columns: Sequence[Column], rows: Sequence[Sequence[Text]]) -> Iterator[Text]:
    """Yield the lines of a table, without blanks at their ends."""
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), show_header=any(one.heading for one in columns))
    for column in columns:
        table.add_column(
            Text(column.heading),
            justify="right" if column.right else "left",
            no_wrap=not column.wraps,
            overflow="fold" if column.wraps else "ellipsis",
        )
    for row in rows:
        table.add_row(*row)
    for segments in console.render_lines(table, pad=False):
        line = Text.assemble(*((segment.text, segment.style or "") for segment in segments))
        line.rstrip()
        yield line


def print_json(value: Any) -> None:
    """Print one JSON document on one line, in ASCII, so that a terminal shows it as it is."""
    typer.echo(json.dumps(value))


def say(told: Any, as_json: bool, sentence: str) -> None:
    """Print what was answered as JSON, or a sentence about it."""
    print_json(told) if as_json else typer.echo(sentence)


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show on a terminal that something goes on, and for how long; elsewhere nothing."""
    with _progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()) as progress:
        progress.add_task(what, total=None)
        yield


@contextmanager
def counting(what: str, total: float) -> Iterator[Steps]:
    """Show on a terminal how much of something is done; elsewhere nothing."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with _progress(*columns) as progress:
        yield Steps(progress, progress.add_task(what, total=total))


@dataclass(frozen=True)
class Steps:
    """How far something is."""

    progress: Progress
    task: TaskID

    def done(self, amount: float) -> None:
        """Show that so much of it is done."""
        self.progress.update(self.task, completed=amount)


def _progress(*columns: Any) -> Progress:
    """Return a bar on stderr that is gone when it ends; it shows nothing where that is no terminal."""
    console = make_console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _cell(cell: Cell) -> Text:
    if isinstance(cell, str):
        return Text(plain_line(cell))
    return cell if cell.plain.isprintable() else Text(plain_line(cell.plain), cell.style)


def _record(columns: Sequence[Column], row: Sequence[Text]) -> Text:
    named = (
        Text.assemble(f"{one.heading}: " if one.heading else "", cell) for one, cell in zip(columns, row, strict=True)
    )
    return Text("\n").join(named)


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[Text]]) -> list[int]:
    return [
        max([cell_len(column.heading), *(cell_len(row[at].plain) for row in rows)]) for at, column in enumerate(columns)
    ]
