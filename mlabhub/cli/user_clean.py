"""``mlabhub user clean``: remove the files of closed accounts whose time is over; on the hub's own machine only.

Guarantees: only folders right below a root of ``storage.yaml`` are removed, and no link is followed out of them; an
account counts as cleaned up only once every one of its folders is gone.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote as url_quote

import typer

from mlabhub.cli.dates import show_moment
from mlabhub.cli.remote import find_service
from mlabhub.cli.shown import say
from mlabhub.core.quote import plain
from mlabhub.errors import MLabError
from mlabhub.settings import load_settings

Json = dict[str, Any]


def clean(
    name: Annotated[str, typer.Argument(help="Only of this closed account.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    state: Annotated[Path | None, typer.Option(help="The state folder of the installation.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Remove the files and saved images of closed accounts whose time is over. Only on the hub's own machine."""
    settings = load_settings(state_dir=state)
    if settings.backend == "kube":
        raise MLabError("People's folders are on the cluster's volumes; remove them there.")
    service = find_service(settings.state_dir)
    closed = [one for one in service.get("closed-accounts")["accounts"] if not name or one["name"] == name]
    due = [one for one in closed if one["due"]]
    if name and not due:
        raise MLabError(_why_not(name, closed))
    for one in due:
        typer.echo(f"{plain(one['name'])}, closed {show_moment(one['closed'])}: {', '.join(one['folders'])}", err=True)
    if due and not yes:
        typer.confirm("Remove these folders and the saved images, for good?", abort=True, err=True)
    for one in due:
        for folder in one["folders"]:
            remove_folder(Path(folder))
        service.post(f"people/{url_quote(one['name'], safe='')}/clean", {})
    names = [one["name"] for one in due]
    say({"cleaned": names}, as_json, f"Cleaned up: {', '.join(map(plain, names)) or 'nobody'}.")


def remove_folder(folder: Path) -> None:
    """Remove a folder and all in it; fine if it is not there. Raises `MLabError` if it is no folder, or stays."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise MLabError(f"{folder} is no folder; look at it yourself.")
    if not shutil.rmtree.avoids_symlink_attacks:
        raise MLabError("This system cannot remove folders without following links that somebody puts there meanwhile.")
    if os.path.ismount(folder):
        raise MLabError(f"Something is mounted at {folder}; take it away first.")
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise MLabError(f"{folder} cannot be removed: {error.strerror}: {error.filename}.") from None


def _why_not(name: str, closed: list[Json]) -> str:
    if not closed:
        return f"The account of {plain(name)} is not closed."
    if closed[0]["state"] == "cleaned":
        return f"The files of {plain(name)} were removed already."
    return f"The files of {plain(name)} are kept until {show_moment(closed[0]['keep_until'])}."
