"""``mlabhub doctor``: what this machine, or a person's server, lacks, with the fix in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.cells import cell_len
from rich.text import Text

from mlabhub.cli.doctor_checks import look_at_machine, run_checks
from mlabhub.cli.findings import Check, Status
from mlabhub.cli.shown import make_console, plain_line, print_json, working
from mlabhub.errors import InvalidConfiguration
from mlabhub.settings import Settings, default_state_dir, load_settings

MARKS: dict[Status, tuple[str, str]] = {
    "ok": ("ok", "green"),
    "missing": ("MISSING", "red"),
    "better": ("better", "yellow"),
    "info": ("info", "blue"),
}


def doctor(
    server: Annotated[
        str | None,
        typer.Argument(help="Look at this server instead: USER/ or USER/NAME, or NAME for one of yours."),
    ] = None,
    url: Annotated[
        str, typer.Option(help="Reach the server by this address of the hub; without it, by the one people are told.")
    ] = "",
    state: Annotated[
        Path | None, typer.Option(help="The state folder; for a server, MLABHUB_URL counts without it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Say what this machine lacks to run people's servers, and what mends it; exit status 1 if anything is missing.

    With SERVER: whether that server is reached as its tools need it.
    """
    if server is not None:
        from mlabhub.cli.doctor_server import examine_server  # httpx and tornado, which a machine alone need not load

        with working("Trying what a browser does"):
            checks = examine_server(server, url, state)
    else:
        state_dir = state or default_state_dir()
        with working("Looking at this machine"):
            checks = run_checks(look_at_machine(_settings(state_dir), state_dir))
    if as_json:
        print_json([dataclasses.asdict(check) for check in checks])
    else:
        console = make_console()
        for line in describe(checks):
            console.print(line, soft_wrap=True)
    if any(check.status == "missing" for check in checks):
        raise typer.Exit(1)


def describe(checks: Sequence[Check]) -> list[Text]:
    """Return the findings as lines: what is fine first, then what is not, each with what mends it."""
    order: list[Status] = ["ok", "info", "better", "missing"]
    width = max(cell_len(check.name) for check in checks)
    lines: list[Text] = []
    for check in sorted(checks, key=lambda check: order.index(check.status)):
        word, colour = MARKS[check.status]
        name = plain_line(check.name) + " " * (width - cell_len(check.name))
        lines.append(Text.assemble((f"{word:8}", colour), f"{name}  {plain_line(check.found)}"))
        if check.fix:
            lines.append(Text(f"{'':8}{'':{width}}  -> {plain_line(check.fix)}"))
    return lines


def _settings(state_dir: Path) -> Settings | None:
    """Return the settings of the last start; before the first one there are none."""
    try:
        return load_settings(state_dir=state_dir)
    except InvalidConfiguration:
        return None
