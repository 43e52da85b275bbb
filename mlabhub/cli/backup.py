"""``mlabhub backup`` and ``mlabhub restore``: the installation in one file, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlabhub.cli.shown import print_json, working
from mlabhub.settings import default_state_dir, load_settings
from mlabhub.supervisor.archive import Manifest
from mlabhub.supervisor.backup import make_backup
from mlabhub.supervisor.restore import restore as put_back


def backup(
    file: Annotated[Path, typer.Argument(help="The archive to write, such as /backup/mlabhub.tar.gz; mode 0600.")],
    state: Annotated[Path | None, typer.Option(help="The state folder of the installation.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write databases, secrets and configuration into one file, also while the hub runs; people's files are not in."""
    settings = load_settings(state_dir=state)
    with working("Copying databases and files"):
        manifest = make_backup(settings, file)
    if as_json:
        print_json(manifest.model_dump())
        return
    typer.echo(f"{file}: {len(manifest.files)} files, {_size(file)}. It has secrets in it: keep it private.")
    _say_where_the_ledger_is(manifest)


def restore(
    file: Annotated[Path, typer.Argument(help="An archive that `mlabhub backup` wrote.")],
    state: Annotated[Path | None, typer.Option(help="The state folder to restore; made if it is not there.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace what is in the folder; it is kept aside, and people's files stay.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Put a backup back into a state folder that no hub runs on."""
    folder = state or default_state_dir()
    with working("Putting it back"):
        manifest, aside = put_back(file, folder, force=force)
    config = folder / "config"
    if as_json:
        report = {"state": str(folder), "config": str(config), "replaced": str(aside) if aside else None}
        print_json({**report, "manifest": manifest.model_dump()})
        return
    typer.echo(f"{folder}: restored as it was on {manifest.host} at {manifest.made}.")
    if aside is not None:
        typer.echo(f"What was there before is in {aside}.")
    _say_where_the_ledger_is(manifest)
    typer.echo(f"The configuration was {manifest.config_dir}; its copy is {config}. To run with that one:")
    typer.echo(f"  mlabhub up --state {folder} --config {config}")


def _say_where_the_ledger_is(manifest: Manifest) -> None:
    if manifest.ledger == "postgresql":
        typer.echo(f"The ledger is not in it: it is in PostgreSQL at {manifest.ledger_place}; pg_dump saves that one.")


def _size(file: Path) -> str:
    size = file.stat().st_size
    return f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{size / 2**10:.0f} KiB"
