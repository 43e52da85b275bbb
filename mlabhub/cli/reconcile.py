"""``mlabhub reconcile``: compare hub, backend and ledger now, on the machine where they run."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from mlabhub.cli.shown import Column, make_console, print_json, print_table, working
from mlabhub.client import ServiceClient
from mlabhub.errors import InvalidConfiguration
from mlabhub.settings import Settings, load_settings

COLUMNS = (
    Column("server", wraps=True),
    Column("launch", spare=2),
    Column("GPUs", right=True, spare=1),
    Column("what", wraps=True),
    Column("done"),
)


def reconcile(
    repair: Annotated[
        bool, typer.Option(help="Also end servers that run, but that the hub has lost; what was installed is kept.")
    ] = False,
    state: Annotated[Path | None, typer.Option(help="The state folder of the installation.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Compare hub, backend and ledger; with --repair heal what is left. Exit status 1 if something stays open."""
    settings = load_settings(state_dir=state)
    with working("Comparing hub, backend and ledger"):
        report = asyncio.run(_ask(settings, repair))
    if as_json:
        print_json(report)
    else:
        _print(report["findings"], repair)
    if any(not finding["done"] for finding in report["findings"]):
        raise typer.Exit(1)


async def _ask(settings: Settings, repair: bool) -> dict[str, Any]:
    try:
        settings.spawner_secret_file.read_bytes()
    except OSError as error:
        raise InvalidConfiguration(
            f"The secret {settings.spawner_secret_file} cannot be read ({error.strerror}). "
            "Run this as the user who runs the hub."
        ) from error
    client = ServiceClient.from_settings(settings, timeout_s=120)
    try:
        return await client.reconcile(repair=repair)
    finally:
        await client.close()


def _print(findings: list[dict[str, Any]], repair: bool) -> None:
    if not findings:
        typer.echo("Hub, backend and ledger agree.")
        return
    print_table(make_console(), COLUMNS, [_row(finding) for finding in findings])
    if not repair and any(not finding["done"] for finding in findings):
        typer.echo("`mlabhub reconcile --repair` ends what is left.", err=True)


def _row(finding: dict[str, Any]) -> tuple[str, ...]:
    server = f"{finding['user']}/{finding['server_name']}"
    done = "yes" if finding["done"] else "no"
    return server, finding["launch_id"], str(len(finding["gpus"])), finding["message"], done
