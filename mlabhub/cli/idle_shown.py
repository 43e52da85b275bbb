"""``mlabhub idle explain`` and ``list``: the verdict on a server, and what idleness comes to for administrators.

Guarantees: what is not known is said to be not known, never shown as zero; whatever people gave as a name or a reason
comes out as one line of printable text.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.text import Text

from mlabhub.cli import complete
from mlabhub.cli.gpus import ago
from mlabhub.cli.queue import AsJson, State, clock_of
from mlabhub.cli.remote import find_service
from mlabhub.cli.server import find_server, name_of, path_of
from mlabhub.cli.shown import Column, make_console, plain_line, print_json, print_table
from mlabhub.core.quote import plain

Json = dict[str, Any]
SAYS = {"busy": "at work", "idle": "idle", "unknown": "not known", "holds": "holds it", "nothing": "decides nothing"}
SIGNALS = (Column("signal"), Column("says"), Column("measured", spare=1), Column("in words", wraps=True))
WIDE = ("server", "why", "then", "when", "until")
VERDICTS = {
    "active": "at work",
    "idle": "idle",
    "unknown": "not known",
    "warned": "warned",
    "stop": "to be stopped",
}


def explain(
    server: Annotated[
        str,
        typer.Argument(
            help="The server's name; `_` is the default one. USER/NAME is somebody else's.",
            autocompletion=complete.servers,
        ),
    ],
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Say why a server is kept or at risk: the verdict, signal by signal, and the rule that holds."""
    service = find_service(state)
    found = find_server(service, server)
    told = service.get(path_of(found, "idle"))
    if as_json:
        print_json(told)
        return
    console = make_console()
    now = told["now"]
    console.print(Text(f"{name_of(found)}: {VERDICTS.get(told['verdict'], told['verdict'])}", "bold"))
    for line in verdict_lines(told, now):
        console.print(Text(line))
    print_table(console, SIGNALS, [signal_row(one) for one in told["signals"]])
    console.print(Text(f"Policy {plain(told['policy']['name'])}:"))
    for sentence in told["policy"]["said"]:
        console.print(Text(f"  {plain_line(sentence)}"))


def verdict_lines(told: Json, now: float) -> Iterator[str]:
    """Return the verdict in words, with its times, and what was asked for."""
    yield plain_line(told["said"])
    times = (("last at work", told["since"]), ("warned", told["due"]), ("stopped", told["deadline"]))
    shown = [f"{what} {clock_of(at, now)}" for what, at in times if at is not None]
    if shown:
        yield "Times: " + ", ".join(shown) + "."
    for reason in told["reasons"]:
        yield f"Not known: {plain_line(reason)}"
    warning = told["warning"]
    if warning is not None and warning["told"] is None:
        yield f"A warning is due since {clock_of(warning['at'], now)}, and has reached nobody yet: no grace runs."
    elif warning is not None:
        yield f"Warned at {clock_of(warning['told'], now)}."
    for kept in told["keepings"]:
        why = f": {plain(kept['reason'])}" if kept["reason"] else ""
        yield f"Kept by {plain(kept['by'])} until {clock_of(kept['until'], now)}{why}"
    yield f"It can be kept {told['keep_left']} times more, for up to {ago(told['keep_most_s'])} each time."


def signal_row(one: Json) -> tuple[str, ...]:
    """Return what a signal says, and whether the server could have made it up."""
    return (
        one["name"].replace("_", " "),
        str(SAYS.get(one["says"], one["says"])),
        "outside" if one["trusted"] else "its own word",
        one["text"],
    )


def list_idle(state: State = None, as_json: AsJson = False) -> None:
    """Show what idleness comes to, for administrators: dry runs, what nobody knows, silent agents, what was kept."""
    told = find_service(state).get("idle")
    if as_json:
        print_json(told)
        return
    console = make_console()
    counts = [f"{count} {VERDICTS.get(verdict, verdict)}" for verdict, count in sorted(told["verdicts"].items())]
    console.print(Text("Servers: " + (", ".join(counts) or "none") + "."))
    console.print(Text(_dry_line(told)))
    now = time.time()
    for title, headings, rows in sections(told, now):
        console.print()
        console.print(Text(title, "bold"))
        print_table(console, [Column(heading, wraps=heading in WIDE) for heading in headings], rows)


def _dry_line(told: Json) -> str:
    if not told["would_stops"]:
        return "No dry run would have stopped anything in the last 30 days."
    return (
        f"Dry runs would have stopped {len(told['would_stops'])} in the last 30 days: {told['gpu_hours']:.1f} "
        f"GPU-hours free; {told['regrets']} of them were used again."
    )


Section = tuple[str, tuple[str, ...], list[list[str]]]


def sections(told: Json, now: float) -> Iterator[Section]:
    """Return title, headings and rows of each list that is not empty."""
    lists: tuple[Section, ...] = (
        (
            "Would have been stopped",
            ("server", "GPUs", "when", "GPU-hours free", "then", "why"),
            [
                [
                    _server(one),
                    str(one["gpus"]),
                    clock_of(one["at"], now),
                    f"{one['gpu_hours']:.1f}",
                    _then(one, now),
                    plain_line(one["reason"]),
                ]
                for one in told["would_stops"]
            ],
        ),
        (
            "Not known whether they are used; nothing is stopped there",
            ("server", "GPUs", "since", "why"),
            [
                [_server(one), str(one["gpus"]), _since(one["since"], now), plain_line(" ".join(one["reasons"]))]
                for one in told["unknown"]
            ],
        ),
        (
            "Agents that say nothing",
            ("server", "GPUs", "last word"),
            [[_server(one), str(one["gpus"]), _since(one["last"], now)] for one in told["silent_agents"]],
        ),
        (
            "Warnings that reach nobody; nothing is stopped there",
            ("server", "GPUs"),
            [[_server(one), str(one["gpus"])] for one in told["undeliverable"]],
        ),
        (
            "Kept although idle",
            ("server", "when", "until", "by", "why"),
            [
                [
                    _server(one),
                    clock_of(one["at"], now),
                    clock_of(one["until"], now),
                    plain(one["by"]),
                    plain(one["reason"]),
                ]
                for one in told["keepings"]
            ],
        ),
    )
    return (one for one in lists if one[2])


def _server(one: Json) -> str:
    if not one["user"]:
        return plain(one["launch_id"])
    return f"{plain(one['user'])}/{plain(one['server_name'])}"


def _since(at: float | None, now: float) -> str:
    return "never" if at is None else f"{clock_of(at, now)} ({ago(now - at)} ago)"


def _then(one: Json, now: float) -> str:
    if one["again"] is not None:
        return f"used again {clock_of(one['again'], now)}"
    return "still idle" if one["ended"] is None else f"ended {clock_of(one['ended'], now)}"
