"""``mlabhub queue``: who waits for what, since when, how long probably and why; leave, change, move.

Guarantees: an entry is named by its id, or one of one's own by its server's name; what is printed is made fit for a
terminal, whatever people called their servers.
"""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.text import Text

from mlabhub.cli import complete
from mlabhub.cli.gpus import ago
from mlabhub.cli.remote import Service, find_service
from mlabhub.cli.shown import Cell, Column, make_console, print_json, print_table, say
from mlabhub.core.quote import plain
from mlabhub.core.quote import quote as shown
from mlabhub.core.units import format_gib, format_gpus, format_number
from mlabhub.errors import InvalidConfiguration, NotFound

WATCH_SECONDS = 5
DAY_S = 86400
COLUMNS = (
    Column("", right=True),
    Column("who", wraps=True),
    Column("what", wraps=True),
    Column("since", right=True, spare=1),
    Column("probably", wraps=True),
    Column("why", wraps=True, spare=2),
)

Json = dict[str, Any]
State = Annotated[
    Path | None, typer.Option(help="The state folder of the installation; without it, MLABHUB_URL counts.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Reason = Annotated[str, typer.Option(help="Why; it stands in the audit, and whoever asked for it is told.")]
Entry = Annotated[
    str,
    typer.Argument(help="The request's id, or the name of a server of one's own.", autocompletion=complete.entries),
]

app = typer.Typer(help="Show who waits for what; leave the queue, change a request, move one forward.")


@app.callback(invoke_without_command=True)
def queue(
    context: typer.Context,
    state: State = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document; with --watch one line each time.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every 5 seconds, until Ctrl-C.")] = False,
) -> None:
    """Show who waits for what, since when, how long probably, and why; the same as `mlabhub queue list`."""
    if context.invoked_subcommand is None:
        show_queue(find_service(state), as_json=as_json, watch=watch)
    elif state is not None or as_json or watch:
        raise typer.BadParameter(f"Write the options behind `{context.invoked_subcommand}`.")


@app.command("list")
def list_queue(
    state: State = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document; with --watch one line each time.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every 5 seconds, until Ctrl-C.")] = False,
) -> None:
    """Show who waits for what, since when, how long probably, and why."""
    show_queue(find_service(state), as_json=as_json, watch=watch)


@app.command()
def leave(entry: Entry, reason: Reason = "", state: State = None, as_json: AsJson = False) -> None:
    """Leave the queue."""
    service = find_service(state)
    found = find_entry(service, entry)
    why = f"?reason={quote(reason, safe='')}" if reason else ""
    told = service.delete(f"launches/{id_of(found)}{why}")
    say(told, as_json, f"{server_of(found)} waits no longer.")


@app.command()
def change(
    entry: Entry,
    option: Annotated[
        list[str], typer.Argument(help="What to ask for instead, as KEY=VALUE: gpus=1 gpu_type=a100 profile=small.")
    ],
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Change a request that waits; it keeps its place if it asks for no more than before."""
    service, changes = find_service(state), read_options(option)
    found = find_entry(service, entry)
    launch_id = id_of(found)
    known = service.get(f"launches/{launch_id}").get("options") or {}
    wanted = {key: value for key, value in {**known, **changes}.items() if value is not None}
    told = service.ask("PUT", f"launches/{launch_id}", {"user_options": wanted})
    place = f" It is number {told['position']} now." if told.get("position") else " It starts."
    say(told, as_json, f"{server_of(found)} asks for that from now on.{place}")


@app.command()
def move(
    entry: Entry,
    before: Annotated[
        str | None, typer.Option(help="The request to stand before; without it, it goes to the front.")
    ] = None,
    reason: Reason = "",
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Move a request before the others of its person, or before one of them; for administrators, and in the audit."""
    service = find_service(state)
    other = None if before is None else find_entry(service, before)["launch_id"]
    told = service.post(f"queue/{id_of(find_entry(service, entry))}/move", {"before": other, "reason": reason})
    place = f"{server_of(told)} is number {told['position']} now." if told.get("position") else "It was moved."
    say(told, as_json, place)


def show_queue(service: Service, *, as_json: bool, watch: bool) -> None:
    """Print the queue, once or again and again."""
    console = make_console()
    try:
        while True:
            told = service.get("queue")
            if watch and not as_json:
                console.clear()
            if as_json:
                print_json(told)
            elif not told["entries"]:
                typer.echo("Nobody waits.")
            else:
                now = time.time()
                print_table(console, COLUMNS, [row_of(entry, now) for entry in told["entries"]])
            if not watch:
                return
            time.sleep(WATCH_SECONDS)
    except KeyboardInterrupt:
        return


def row_of(entry: Json, now: float) -> tuple[Cell, ...]:
    """Return the row of somebody who waits."""
    return (
        str(entry["position"] or "-"),
        Text(who_of(entry), "bold" if entry["own"] else ""),
        what_of(entry),
        ago(now - entry["since"]),
        when_of(entry["wait"], now),
        " ".join(reason["message"] for reason in entry["reasons"]),
    )


def who_of(entry: Json) -> str:
    """Return who waits, as far as one may know; of one's own, with the server's name."""
    named = entry["display_name"] or entry["server_name"]
    return f"{plain(entry['user'])}/{plain(named)}" if named else plain(entry["user"])


def what_of(entry: Json) -> str:
    """Return what an entry asks for."""
    gpus = f"{format_gpus(entry['gpus'], entry['gpu_type'])}, " if entry["gpus"] else ""
    return f"{gpus}{format_number(entry['cpu'])} CPU, {format_gib(entry['memory_gib'])}"


def when_of(wait: Json, now: float) -> str:
    """Return when an entry probably starts: a range of times, in local time."""
    if wait["earliest"] is None:
        return "not known"
    earliest = clock_of(wait["earliest"], now)
    if wait["latest"] is None:
        return f"{earliest} or later"
    latest = clock_of(wait["latest"], now)
    return earliest if earliest == latest else f"{earliest} to {latest}"


def clock_of(at: float, now: float) -> str:
    """Return a point in time: the time of day, with the date where it is not of the next 24 hours."""
    known = datetime.fromtimestamp(at)
    return f"{known:%H:%M}" if abs(at - now) < DAY_S else f"{known:%m-%d %H:%M}"


def id_of(entry: Json) -> str:
    """Return the id of an entry, fit for an address."""
    return quote(str(entry["launch_id"]), safe="")


def find_entry(service: Service, word: str) -> Json:
    """Return the entry that a word stands for. Raises `NotFound`."""
    entries: list[Json] = service.get("queue")["entries"]
    named = [one for one in entries if one["own"] and word in (one["server_name"], one["display_name"])]
    for entry in [one for one in entries if one["launch_id"] == word] or named:
        return entry
    raise NotFound(f"Nothing in the queue is called {shown(word)}. `mlabhub queue --json` lists the ids.")


def read_options(words: list[str]) -> Json:
    """Return launch options from ``KEY=VALUE``; values are JSON where they can be, else text.

    Raises `InvalidConfiguration`.
    """
    options: Json = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise InvalidConfiguration(f"{shown(word)} is no choice: write KEY=VALUE, such as gpus=1.")
        try:
            options[key] = json.loads(value)
        except ValueError:
            options[key] = value
    return options


def server_of(told: Json) -> str:
    """Return the server of an answer, as one line shows it."""
    return plain(told.get("display_name") or told.get("server_name") or "The default server")
