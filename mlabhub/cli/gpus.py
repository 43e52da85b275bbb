"""``mlabhub gpus``: every machine and every GPU, who holds it since when, and what is wrong with it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from mlabhub.cli.dates import PAST_FORMS, read_past, show_moment
from mlabhub.cli.remote import find_service
from mlabhub.cli.shown import Cell, Column, make_console, print_json, print_table
from mlabhub.core.quote import plain
from mlabhub.core.units import format_gib, format_gpu_type, format_number

WATCH_SECONDS = 5
STYLES = {
    "free": "green",
    "held": "",
    "busy": "yellow",
    "not known": "yellow",
    "sick": "red",
    "taken": "yellow",
    "divided": "dim",
}

COLUMNS = (
    Column("", right=True),
    Column("GPU", wraps=True),
    Column("memory", right=True, spare=3),
    Column("use", right=True, spare=2),
    Column("state"),
    Column("held by", wraps=True),
    Column("since", right=True, spare=1),
)
PAST = (
    Column("", right=True),
    Column("GPU", wraps=True),
    Column("use", right=True, spare=2),
    Column("state"),
    Column("held by", wraps=True),
    Column("for", right=True, spare=1),
)

Json = dict[str, Any]


def gpus(
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every 5 seconds, until Ctrl-C.")] = False,
    state: Annotated[
        Path | None, typer.Option(help="The state folder of the installation; without it, MLABHUB_URL counts.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document; with --watch one line each time.")
    ] = False,
    at: Annotated[
        str | None,
        typer.Option("--at", help=f"Show who held what then, in the last 24 hours, and how busy it was: {PAST_FORMS}."),
    ] = None,
) -> None:
    """Show every machine and GPU: its type, who holds it since when, whether it is healthy, and what else uses it."""
    if at is not None:
        if watch:
            raise typer.BadParameter("what is over does not change: leave --watch or --at out.", param_hint="--at")
        moment = read_past(at, datetime.now().astimezone(), option="--at")
        show_past(find_service(state).get(f"gpus/map?at={moment:.3f}"), as_json=as_json)
        return
    service, console = find_service(state), make_console()
    try:
        while True:
            nodes = service.get("gpus")["nodes"]
            if watch and not as_json:
                console.clear()
            if as_json:
                print_json({"nodes": nodes})
            else:
                show(console, nodes, time.time())
            if not watch:
                return
            time.sleep(WATCH_SECONDS)
    except KeyboardInterrupt:
        return


def show_past(told: Json, *, as_json: bool) -> None:
    """Print who held what at a moment."""
    if as_json:
        print_json(told)
        return
    console = make_console()
    console.print(Text(f"At {show_moment(told['at'])}: {told['gpus']['held']} GPUs held", "bold"), soft_wrap=True)
    for node in told["nodes"]:
        held = sum(gpu["state"] == "held" for gpu in node["gpus"])
        gone = "; it is not there any more" if node["gone"] else ""
        console.print(Text(f"{plain(node['name'])}: {held} held{gone}", "bold"), soft_wrap=True)
        if node["gpus"]:
            print_table(console, PAST, [past_row(gpu, told["at"]) for gpu in node["gpus"]])


def past_row(gpu: Json, at: float) -> tuple[Cell, ...]:
    """Return a GPU's row at a moment."""
    held = gpu["state"] == "held"
    use = "?" if held else ""
    return (
        place_of(gpu),
        name_of(gpu),
        use if gpu["utilisation"] is None else f"{gpu['utilisation']:.0f} %",
        "not held" if gpu["state"] == "unheld" else str(gpu["state"]),
        holder_of({**gpu, "held": held}),
        "" if gpu["since"] is None else ago(at - gpu["since"]),
    )


def show(console: Console, nodes: list[Json], now: float) -> None:
    """Print a table a machine, and below it what does not fit into a cell."""
    for node in nodes:
        console.print(Text(title_of(node), "bold"), soft_wrap=True)
        if node["gpus"]:
            print_table(console, COLUMNS, [row_of(gpu, now) for gpu in node["gpus"]])
        for note in notes_on(node):
            console.print(Text(note))


def title_of(node: Json) -> str:
    """Return a machine's name and what of it is free."""
    times = node.get("cpu_overcommit", 1)
    cpu = f"{format_number(node['cpu_free'])} of {format_number(node['cpu'] * times)} CPU"
    if times != 1:
        cpu += f" ({format_number(node['cpu'])}, handed out {format_number(times)} times)"
    memory = f"{format_number(node['memory_gib_free'])} of {format_gib(node['memory_gib'])} memory"
    whole = [gpu for gpu in node["gpus"] if not gpu["divided"]]
    free = sum(state_of(gpu) == "free" for gpu in whole)
    gpus = f", {free} of {len(whole)} GPUs" if whole else ", no GPU"
    closed = "" if node["schedulable"] else "; it takes no new servers"
    return f"{plain(node['name'])}: {cpu}, {memory}{gpus} free{closed}"


def row_of(gpu: Json, now: float) -> tuple[Cell, ...]:
    """Return a GPU's row of its machine's table."""
    state = state_of(gpu)
    return (
        place_of(gpu),
        name_of(gpu),
        memory_of(gpu),
        "?" if gpu["utilisation"] is None else f"{gpu['utilisation']:.0f} %",
        Text(state, STYLES.get(state.split(",")[0], "")),
        holder_of(gpu),
        "" if gpu["since"] is None else ago(now - gpu["since"]),
    )


def place_of(gpu: Json) -> str:
    """Return a GPU's number on its machine; a slice has none of its own."""
    return "" if gpu["index"] is None or gpu["parent"] else str(gpu["index"])


def name_of(gpu: Json) -> str:
    """Return what a GPU is, with its mark if it is simulated."""
    name = plain(gpu["type_name"] or gpu["type"])
    if gpu["parent"]:
        name = f" {plain(gpu['mig'])}"
    return f"{name} (simulated)" if gpu["simulated"] else name


def memory_of(gpu: Json) -> str:
    """Return a GPU's memory, with what of it is in use where that is known."""
    if gpu["memory_gib"] is None:
        return "?"
    used = "" if gpu["used_gib"] is None else f"{gpu['used_gib']:.0f}/"
    return f"{used}{format_gib(gpu['memory_gib'])}"


def state_of(gpu: Json) -> str:
    """Return whether a GPU can be had, in a word or two."""
    if gpu["held"]:
        more = ["sick"] if not gpu["healthy"] else []
        more += ["busy"] if gpu["busy"] else []
        return ", ".join(["held", *more])
    if not gpu["healthy"]:
        return "sick"
    if gpu["divided"]:
        return "divided"
    if gpu.get("taken"):
        return "taken"
    return {True: "busy", False: "free", None: "not known"}[gpu["busy"]]


def holder_of(gpu: Json) -> str:
    """Return who holds a GPU and with which server, as far as one may know."""
    if not gpu["held"]:
        return "pods of others" if gpu.get("taken") else ""
    if gpu["user"] is None:
        return "somebody"
    server = gpu["display_name"] or gpu["server_name"] or "(default)"
    profile = f" ({plain(gpu['profile'])})" if gpu["profile"] else ""
    return f"{plain(gpu['user'])}/{plain(server)}{profile}"


def ago(seconds: float) -> str:
    """Return a length of time in its two largest units: ``2 d 3 h``, ``15 min``."""
    minutes = max(0, int(seconds // 60))
    days, hours = divmod(minutes // 60, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"


def notes_on(node: Json) -> Iterator[str]:
    """Return what is to be said of single GPUs, a line each, and of all of them."""
    for word in node.get("notes", ()):
        yield f"  {word}"
    for taker in node.get("takers", ()):
        amounts = ", ".join(f"{count} {plain(format_gpu_type(one))}" for one, count in taker["gpus"].items())
        yield f"  Pods of others in the namespace {plain(taker['namespace'])} hold {amounts}."
    if node["gpu_fault"]:
        yield f"  These GPUs cannot be read: {node['gpu_fault']}"
    for gpu in node["gpus"]:
        what = gpu["uuid"] if gpu["index"] is None else f"{gpu['index']}{' ' + gpu['mig'] if gpu['parent'] else ''}"
        for word in gpu["health"] if not gpu["parent"] else ():
            yield f"  {plain(what)}: {word}"
        for process in gpu["processes"]:
            yield f"  {plain(what)}: {process_text(process)}"
        if gpu["busy"] and not gpu["processes"]:
            yield f"  {plain(what)}: used from outside of this hub"
    if any(gpu["simulated"] for gpu in node["gpus"]):
        yield "  Simulated GPUs are handed out and counted, but nothing computes on them."


def process_text(process: Json) -> str:
    """Return what an outside process is, and what it takes."""
    name = plain(process["name"]) or "a process that cannot be seen"
    memory = "" if process["memory_gib"] is None else f", {format_gib(process['memory_gib'])}"
    left = f", started by the launch {plain(process['launch_id'])}" if process["launch_id"] else ""
    kind = "outside of this hub" if process["blocks"] else "a display, which does not matter"
    return f"{name} (pid {process['pid']}{memory}{left}): {kind}"
