"""``mlabhub check`` and ``mlabhub schema``: the configuration folder, seen before the hub sees it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mlabhub.catalog import InvalidCatalog, Loaded, default_directory, folder_schema, read_folder
from mlabhub.errors import InvalidConfiguration
from mlabhub.site import InvalidSite, SiteFile, find_site_file, read_site_file


def check(
    directory: Annotated[
        Path | None, typer.Argument(help="The configuration folder; the shipped spawner_profiles/ if absent.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Validate the configuration folder and site.conf: every fault with its file and line; exit status 2 on any.

    What is valid and probably not meant is told as a note.
    """
    folder = directory or default_directory()
    loaded = read_folder(folder)
    site = read_site_file(find_site_file())
    if as_json:
        _print_json(folder, loaded, site)
        if loaded.faults or site.faults:
            raise typer.Exit(2)
        return
    of_folder = InvalidCatalog(folder, loaded.faults) if loaded.catalog is None else None
    of_site = InvalidSite(site.faults) if site.faults else None
    if of_folder is None:
        for note in loaded.notes:
            typer.echo(f"note: {note}")
    if of_folder is not None or of_site is not None:
        raise InvalidConfiguration("\n".join(str(error) for error in (of_folder, of_site) if error is not None))
    if site.path is not None:
        typer.echo(f"{site.path}: no faults.")
    if loaded.catalog is not None:
        profiles, images = len(loaded.catalog.profiles), len(loaded.catalog.images)
        typer.echo(f"{folder}: no faults; profiles: {profiles}, images: {images}.")


def schema(
    _as_json: Annotated[bool, typer.Option("--json", help="A schema is JSON, with and without it.")] = False,
) -> None:
    """Print the JSON schema of the configuration folder."""
    typer.echo(json.dumps(folder_schema(), indent=2))


def _print_json(folder: Path, loaded: Loaded, site: SiteFile) -> None:
    answer = {
        "directory": str(folder),
        "valid": not (loaded.faults or site.faults),
        "faults": [*(fault.to_dict() for fault in loaded.faults), *(fault.to_dict() for fault in site.faults)],
        "site": None if site.path is None else str(site.path),
        "notes": [str(note) for note in loaded.notes],
    }
    typer.echo(json.dumps(answer, indent=2))
