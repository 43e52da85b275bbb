"""``mlabhub usage``: where the GPU-hours went, by user, group, profile or day.

On the hub's own machine for whoever may read the state folder, who sees everybody's; elsewhere by ``MLABHUB_URL``,
where people see their own and administrators all.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import typer
from rich.console import Console
from rich.text import Text

from mlabhub.cli.dates import show_moment
from mlabhub.cli.remote import Service, find_service
from mlabhub.cli.shown import Cell, Column, make_console, print_json, print_table
from mlabhub.core.usage.report import Line, NoPeriod, csv_text, read_period
from mlabhub.core.usage.sums import Sums

Json = dict[str, Any]
PAGE = 1000
MOST_SHOWN = 50
PARTS = {
    "allocated": "allocated_s",
    "used": "used_s",
    "wasted": "wasted_s",
    "not known": "unknown_s",
    "waited": "waited_s",
}


class By(str, Enum):
    """By what lines are told apart."""

    user = "user"
    group = "group"
    profile = "profile"
    day = "day"


def usage(
    by: Annotated[By, typer.Option(help="A line for each of these.")] = By.user,
    first: Annotated[
        str | None, typer.Option("--from", help="The first day, such as 2026-11-01; without it 30 days until the last.")
    ] = None,
    last: Annotated[str | None, typer.Option("--to", help="The last day, which is included; without it today.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print all lines as CSV, in GPU-hours.")] = False,
    state: Annotated[
        Path | None, typer.Option(help="The state folder of the installation; without it, MLABHUB_URL counts.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, in GPU seconds.")] = False,
) -> None:
    """Show GPU-hours: allocated (reserved), used, wasted (held but idle), not known, and waited for in the queue."""
    if as_csv and as_json:
        raise typer.BadParameter("Choose one of --csv and --json.")
    try:
        read_period(first, last, datetime.now().date())
    except NoPeriod as error:
        raise typer.BadParameter(str(error), param_hint=f"--{error.name}") from None
    found = ask(find_service(state), {"by": by.value, "from": first, "to": last}, everything=as_csv or as_json)
    if as_json:
        print_json(found)
    elif as_csv:
        typer.echo(csv_text(by.value, [line_of(row) for row in found["rows"]]), nl=False)
    else:
        show(make_console(), found)


def ask(service: Service, asked: dict[str, str | None], *, everything: bool) -> Json:
    """Return the answer, with all its rows or the first ones."""
    given = {name: value for name, value in asked.items() if value}

    def page(offset: int) -> Json:
        limit = PAGE if everything else MOST_SHOWN
        whole = limit if given["by"] != "day" else PAGE
        return service.get("usage?" + urlencode({**given, "limit": whole, "offset": offset}))

    found = page(0)
    while everything and len(found["rows"]) < found["count"] and (more := page(len(found["rows"]))["rows"]):
        found["rows"] += more
    return found


def line_of(row: Json) -> Line:
    """Return a row as what CSV is made of."""
    held, used, idle, waited = (round(1000 * row[key]) for key in ("allocated_s", "used_s", "wasted_s", "waited_s"))
    return Line(row["name"], Sums(held, used, idle, waited))


def show(console: Console, found: Json) -> None:
    """Print a table, with all together in its last line."""
    spare = {"waited": 2, "not known": 1}
    columns = [Column(found["by"], wraps=True)]
    columns += [Column(heading, right=True, spare=spare.get(heading, 0)) for heading in PARTS]
    sums: list[tuple[Cell, ...]] = [
        (row["name"] or "-", *(hours(row[key]) for key in PARTS.values())) for row in found["rows"]
    ]
    sums.append(tuple(Text(text, "bold") for text in ("all", *(hours(found["total"][key]) for key in PARTS.values()))))
    until = "nothing is added up yet" if found["until"] is None else f"up to {show_moment(found['until'])}"
    whose = "everybody's" if found["covers"] == "everybody" else "what you may see"
    console.print(f"GPU-hours from {found['from']} to {found['to']}, {whose}, {until}")
    print_table(console, columns, sums)
    if found["count"] > len(found["rows"]):
        console.print(f"{found['count'] - len(found['rows'])} more lines: --csv or --json has all.")


def hours(seconds: float) -> str:
    """Return GPU seconds as hours: ``1,234.5``."""
    return f"{seconds / 3600:,.1f}"
