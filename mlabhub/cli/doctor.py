"""``mlabhub doctor``: what this machine, or a person's server, lacks, with the fix in words."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from mlabhub.cli.doctor_checks import look_at_machine, run_checks
from mlabhub.cli.findings import Check, Status
from mlabhub.errors import InvalidConfiguration
from mlabhub.settings import Settings, default_state_dir, load_settings

MARKS: dict[Status, tuple[str, str]] = {
    "ok": ("ok", typer.colors.GREEN),
    "missing": ("MISSING", typer.colors.RED),
    "better": ("better", typer.colors.YELLOW),
    "info": ("info", typer.colors.BLUE),
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

        checks = examine_server(server, url, state)
    else:
        state_dir = state or default_state_dir()
        checks = run_checks(look_at_machine(_settings(state_dir), state_dir))
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(check) for check in checks], indent=2))
    else:
        for line in describe(checks):
            typer.echo(line)
    if any(check.status == "missing" for check in checks):
        raise typer.Exit(1)


def describe(checks: Sequence[Check]) -> list[str]:
    """Return the findings as lines: what is fine first, then what is not, each with what mends it."""
    order: list[Status] = ["ok", "info", "better", "missing"]
    width = max(len(check.name) for check in checks)
    lines = []
    for check in sorted(checks, key=lambda check: order.index(check.status)):
        word, colour = MARKS[check.status]
        lines.append(f"{typer.style(f'{word:8}', fg=colour)}{check.name:{width}}  {check.found}")
        if check.fix:
            lines.append(f"{'':8}{'':{width}}  -> {check.fix}")
    return lines


def _settings(state_dir: Path) -> Settings | None:
    """Return the settings of the last start; before the first one there are none."""
    try:
        return load_settings(state_dir=state_dir)
    except InvalidConfiguration:
        return None
