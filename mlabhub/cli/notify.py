"""``mlabhub notify``: try what `notifications.yaml` says, by a real message to each address."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mlabhub.catalog import InvalidCatalog, default_directory, notifications_file, read_notifications
from mlabhub.cli.shown import print_json
from mlabhub.core.notifications import DEFAULT_USER, USER, fill_address
from mlabhub.core.quote import quote
from mlabhub.errors import InvalidConfiguration
from mlabhub.i18n import get_translator
from mlabhub.messages import N_
from mlabhub.service.notify.letters import harmless, name_of
from mlabhub.service.notify.wire import is_known, send

app = typer.Typer(help="Try the addresses that messages go to.", no_args_is_help=True)


@app.callback()
def root() -> None:
    """Try the addresses that messages go to."""


@app.command("test")
def try_out(
    directory: Annotated[
        Path | None, typer.Argument(help="The configuration folder; the shipped spawner_profiles/ if absent.")
    ] = None,
    user: Annotated[str, typer.Option(help="Also send to this person, as the patterns below `users` say.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Send a test message to every channel of notifications.yaml; exit status 1 if one was not taken.

    Below `users` only the person of --user gets one. No address is printed.
    """
    loaded = read_notifications(notifications_file(directory or default_directory()), is_known)
    if loaded.faults:
        raise InvalidCatalog(loaded.file, loaded.faults)
    if not loaded.there or loaded.settings is None:
        raise InvalidConfiguration(f"{loaded.file} is not there: no messages are set up. docs/how-to/notifications.md")
    t = get_translator(loaded.settings.language)
    title = t(N_("A test of messages"))
    body = t(N_("This is where mlabhub sends its messages. Nothing has happened."))
    results = []
    for (part, name), address in loaded.addresses.items():
        if part == "users" and name != (user if user in loaded.settings.users else DEFAULT_USER if user else None):
            continue
        filled = fill_address(address, user) if USER in address else address
        row: dict[str, Any] = {"channel": f"{part}.{name}", "service": name_of(address), "taken": False, "why": ""}
        if filled is None:
            row["why"] = f"the name {quote(user)} cannot be a part of this address; give the person an entry"
        else:
            outcome = send(filled, harmless(title), harmless(body))
            row.update(taken=outcome.taken, why=str(outcome.why))
        results.append(row)
    _show(results, as_json)
    if not all(row["taken"] for row in results):
        raise typer.Exit(1)


def _show(results: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(results)
        return
    for row in results:
        typer.echo(f"{row['channel']} ({row['service']}): {'taken' if row['taken'] else 'NOT taken: ' + row['why']}")
    if not results:
        typer.echo("There is no channel to try; of those below `users`, name a person by --user.")
