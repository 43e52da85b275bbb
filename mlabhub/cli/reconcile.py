"""``mlabhub reconcile``: compare hub, backend and ledger now, on the machine where they run."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from mlabhub.client import ServiceClient
from mlabhub.errors import InvalidConfiguration
from mlabhub.settings import Settings, load_settings


def reconcile(
    repair: Annotated[
        bool, typer.Option(help="Also end servers that run, but that the hub has lost; what was installed is kept.")
    ] = False,
    state: Annotated[Path | None, typer.Option(help="The state folder of the installation.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Compare hub, backend and ledger; with --repair heal what is left. Exit status 1 if something stays open."""
    settings = load_settings(state_dir=state)
    report = asyncio.run(_ask(settings, repair))
    if as_json:
        typer.echo(json.dumps(report))
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
    table = Table("server", "launch", "GPUs", "what", "done")
    for finding in findings:
        server = f"{finding['user']}/{finding['server_name']}"
        done = "yes" if finding["done"] else "no"
        table.add_row(server, finding["launch_id"], str(len(finding["gpus"])), finding["message"], done)
    Console().print(table)
    if not repair and any(not finding["done"] for finding in findings):
        typer.echo("`mlabhub reconcile --repair` ends what is left.", err=True)
