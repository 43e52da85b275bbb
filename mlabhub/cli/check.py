"""``mlabhub check`` and ``mlabhub schema``: the configuration folder, seen before the hub sees it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mlabhub.catalog import (
    InvalidCatalog,
    Loaded,
    LoadedNotifications,
    default_directory,
    folder_schema,
    notifications_file,
    read_folder,
    read_notifications,
)
from mlabhub.cli.shown import print_json
from mlabhub.errors import InvalidConfiguration
from mlabhub.site import InvalidSite, SiteFile, find_site_file, read_site_file


def check(
    directory: Annotated[
        Path | None, typer.Argument(help="The configuration folder; the shipped spawner_profiles/ if absent.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Validate the configuration folder and site.conf: every fault with its file and line; exit status 2 on any.

    What is valid and probably not meant is told as a note. Of notifications.yaml nothing is printed but its faults.
    """
    folder = directory or default_directory()
    loaded = read_folder(folder)
    site = read_site_file(find_site_file())
    messages = read_notifications(notifications_file(folder), _is_known)
    if as_json:
        _print_json(folder, loaded, site, messages)
        if loaded.faults or site.faults or messages.faults:
            raise typer.Exit(2)
        return
    of_folder = InvalidCatalog(folder, loaded.faults) if loaded.catalog is None else None
    of_site = InvalidSite(site.faults) if site.faults else None
    of_messages = InvalidCatalog(messages.file, messages.faults) if messages.faults else None
    if of_folder is None:
        for note in loaded.notes:
            typer.echo(f"note: {note}")
    errors = [error for error in (of_folder, of_site, of_messages) if error is not None]
    if errors:
        raise InvalidConfiguration("\n".join(map(str, errors)))
    if site.path is not None:
        typer.echo(f"{site.path}: no faults.")
    if messages.there:
        typer.echo(f"{messages.file}: no faults; addresses: {len(messages.addresses)}.")
    if loaded.catalog is not None:
        profiles, images = len(loaded.catalog.profiles), len(loaded.catalog.images)
        typer.echo(f"{folder}: no faults; profiles: {profiles}, images: {images}.")


def schema(
    _as_json: Annotated[bool, typer.Option("--json", help="A schema is JSON, with and without it.")] = False,
) -> None:
    """Print the JSON schema of the configuration folder."""
    typer.echo(json.dumps(folder_schema(), indent=2))


def _is_known(address: str) -> bool:
    from mlabhub.service.notify.wire import is_known  # loads Apprise, which few need

    return is_known(address)


def _print_json(folder: Path, loaded: Loaded, site: SiteFile, messages: LoadedNotifications) -> None:
    faults = [fault.to_dict() for fault in (*loaded.faults, *messages.faults)]
    faults += [fault.to_dict() for fault in site.faults]
    answer = {
        "directory": str(folder),
        "valid": not faults,
        "faults": faults,
        "site": None if site.path is None else str(site.path),
        "notes": [str(note) for note in loaded.notes],
    }
    print_json(answer)
