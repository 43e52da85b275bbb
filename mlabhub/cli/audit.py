"""``mlabhub audit``: who did what, when and why; searched, shown, or written out as CSV.

On the hub's own machine for whoever may read the state folder; elsewhere for administrators.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import httpx
import typer

from mlabhub.cli.dates import read_past_day, show_moment
from mlabhub.cli.remote import Service, find_service, no_answer
from mlabhub.cli.shown import Column, make_console, plain_line, print_json, print_table
from mlabhub.client.service import error_of

Json = dict[str, Any]
COLUMNS = (
    Column("when"),
    Column("act"),
    Column("about", wraps=True),
    Column("by", wraps=True),
    Column("why, and what came of it", wraps=True),
)
MOST = 1000
SILENT_S = 120.0
WHEN = "a day such as 2026-12-04, 3d or 12h ago, yesterday, a weekday, or 2026-12-04T18:00"


def audit(
    user: Annotated[str, typer.Option(help="About whom.")] = "",
    actor: Annotated[str, typer.Option(help="By whom.")] = "",
    act: Annotated[str, typer.Option(help="What was done: admit, refuse, stop, quota, ...")] = "",
    server: Annotated[str, typer.Option(help="Of servers of this name.")] = "",
    start: Annotated[str, typer.Option("--from", help=f"Since when: {WHEN}.")] = "",
    end: Annotated[str, typer.Option("--to", help="Until when, a day included.")] = "",
    text: Annotated[str, typer.Option(help="Part of a name or of the sentence.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=MOST, help="How many of the newest are shown.")] = 50,
    state: Annotated[
        Path | None, typer.Option(help="The state folder of the installation; without it, MLABHUB_URL counts.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print all that is found as CSV, however much it is.")] = False,
) -> None:
    """Show decisions and what administrators did, newest first: when, what, about whom, by whom and why."""
    if as_json and as_csv:
        raise typer.BadParameter("Take one of --json and --csv.")
    now = datetime.now().astimezone()
    wanted = {"user": user, "actor": actor, "act": act, "server": server, "text": text}
    if start:
        wanted["from"] = str(read_past_day(start, now, end=False, option="--from"))
    if end:
        wanted["to"] = str(read_past_day(end, now, end=True, option="--to"))
    wanted = {name: value for name, value in wanted.items() if value}
    service = find_service(state)
    if as_csv:
        for part in _export(service, wanted):
            typer.echo(part, nl=False)
        return
    told = search(service, wanted, limit)
    print_json(told) if as_json else _show(told)


def search(service: Service, wanted: dict[str, str], limit: int) -> Json:
    """Return the newest ``limit`` entries that are wanted, however far back they are."""
    entries: list[Json] = []
    before: dict[str, str] = {}
    while True:
        told = service.get(f"audit?{urlencode({**wanted, **before, 'limit': str(limit - len(entries))})}")
        entries += told["entries"]
        if told["next"] is None or len(entries) >= limit:
            return {"entries": entries, "next": told["next"]}
        before = {"before": str(told["next"])}


def _show(told: Json) -> None:
    entries = told["entries"]
    if not entries:
        typer.echo("No entry is like that.")
        return
    rows = [(show_moment(one["at"]), one["act"], _about(one), one["actor"], one["message"]) for one in entries]
    print_table(make_console(), COLUMNS, [[plain_line(cell) for cell in row] for row in rows])
    if told["next"] is not None:
        typer.echo("There are more; --limit shows more of them, --csv all.", err=True)


def _about(one: Json) -> str:
    return f"{one['user']}/{one['server']}" if one["server"] else one["user"] or "-"


def _export(service: Service, wanted: dict[str, str]) -> Iterator[str]:
    """Yield the text of a CSV file, as it comes. Raises an `MLabError`."""
    address = f"{service.url}api/v1/audit/export?{urlencode({**wanted, 'format': 'csv'})}"
    try:
        with httpx.stream(
            "GET",
            address,
            headers={"Authorization": f"token {service.token}"},
            timeout=httpx.Timeout(service.timeout_s, read=SILENT_S),
            verify=service.verify,
            trust_env=not service.here,
        ) as answer:
            if answer.is_error:
                answer.read()
                raise error_of(answer.status_code, answer.json())
            yield from answer.iter_text()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise no_answer("service", service.url, service.here, error) from error
