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
)


def reconcile(
    repair: Annotated[
        bool, typer.Option(help="Also end servers that run, but that the hub has lost; what was installed is kept.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what differs, and what would be done about it.")
    ] = False,
    state: Annotated[Path | None, typer.Option(help="The state folder of the installation.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Compare hub, backend and ledger; with --repair heal what is left. Exit status 1 if something stays open."""
    if repair and dry_run:
        raise typer.BadParameter("Take one of --repair and --dry-run.")
    settings = load_settings(state_dir=state)
    with working("Comparing hub, backend and ledger"):
        report = asyncio.run(_ask(settings, repair=repair, dry_run=dry_run))
    if as_json:
        print_json(report)
    else:
        _print(report["findings"], repair=repair, dry_run=dry_run)
    if any(not finding["done"] for finding in report["findings"]):
        raise typer.Exit(1)


async def _ask(settings: Settings, *, repair: bool, dry_run: bool) -> dict[str, Any]:
    try:
        settings.spawner_secret_file.read_bytes()
    except OSError as error:
        raise InvalidConfiguration(
            f"The secret {settings.spawner_secret_file} cannot be read ({error.strerror}). "
            "Run this as the user who runs the hub."
        ) from error
    client = ServiceClient.from_settings(settings, timeout_s=120)
    try:
        return await client.reconcile(repair=repair, dry_run=dry_run)
    finally:
        await client.close()


def _print(findings: list[dict[str, Any]], *, repair: bool, dry_run: bool) -> None:
    if not findings:
        typer.echo("Hub, backend and ledger agree.")
        return
    last = Column("what would be done", wraps=True) if dry_run else Column("done")
    rows = [(*_row(finding), _would(finding) if dry_run else _done(finding)) for finding in findings]
    print_table(make_console(), (*COLUMNS, last), rows)
    if not repair and any(not finding["done"] for finding in findings):
        typer.echo("`mlabhub reconcile --repair` ends what is left.", err=True)


def _row(finding: dict[str, Any]) -> tuple[str, ...]:
    server = f"{finding['user']}/{finding['server_name']}"
    return server, finding["launch_id"], str(len(finding["gpus"])), finding["message"]


def _done(finding: dict[str, Any]) -> str:
    return "yes" if finding["done"] else "no"


def _would(finding: dict[str, Any]) -> str:
    return f"{'by itself' if finding['by_itself'] else 'by --repair'}: {finding['repair']}"
