"""``mlabhub quota``: what groups and people have and hold, changed at run time with a reason, and who changed what.

On the hub's own machine for whoever may read the state folder; elsewhere for administrators, by ``MLABHUB_URL``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote as url_quote

import typer
from rich.text import Text

from mlabhub.cli import complete
from mlabhub.cli.dates import FORMS, read_when, show_moment
from mlabhub.cli.quota_recorded import export
from mlabhub.cli.quota_replay import replay
from mlabhub.cli.remote import find_service
from mlabhub.cli.shown import Column, make_console, plain_line, print_json, print_table, say
from mlabhub.core.quote import plain, quote
from mlabhub.core.units import format_number, is_amount, is_resource
from mlabhub.errors import NotFound

app = typer.Typer(help="Show quotas, change them at run time, and tell who changed what.")
app.command()(replay)
app.command()(export)

Json = dict[str, Any]
State = Annotated[
    Path | None, typer.Option(help="The state folder of the installation; without it, MLABHUB_URL counts.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
GROUPS = (
    Column("group", wraps=True),
    Column("resource"),
    *(Column(heading, right=True) for heading in ("guaranteed", "limit", "holds")),
    Column("borrows", right=True, spare=1),
    Column("each person", right=True, spare=2),
)
USERS = (Column("user", wraps=True), Column("resource"), Column("cap", right=True), Column("holds", right=True))
HISTORY = (
    Column("id"),
    Column("made", wraps=True, spare=2),
    Column("by", wraps=True, spare=1),
    Column("of", wraps=True),
    Column("what", wraps=True),
    Column("from", wraps=True, spare=4),
    Column("until", wraps=True, spare=3),
    Column("state", wraps=True),
    Column("why", wraps=True, spare=5),
)
AMOUNT_HELP = "RESOURCE=AMOUNT, such as gpu=64, gpu:a100=+16 or cpu=none; may be given several times."


@app.callback(invoke_without_command=True)
def quota(context: typer.Context, state: State = None, as_json: AsJson = False) -> None:
    """Show quotas, the same as `mlabhub quota show`; change them at run time, and tell who changed what."""
    if context.invoked_subcommand is None:
        show(state=state, as_json=as_json)
    elif state is not None or as_json:
        raise typer.BadParameter(f"Write the options behind `{context.invoked_subcommand}`.")


@app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(
            help="A group or a user; without it, all that one may see.", autocompletion=complete.groups_and_users
        ),
    ] = "",
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Show what each group is guaranteed, may hold, holds and borrows, and each person's cap; as it is in force now."""
    found = find_service(state).get("quotas")
    if name:
        found = {**found, **{part: [one for one in found[part] if one["name"] == name] for part in ("groups", "users")}}
        if not found["groups"] and not found["users"]:
            raise NotFound(
                f"There is no quota of {quote(name)}: no group or user of that name has one or holds anything."
            )
    if as_json:
        print_json(found)
        return
    console = make_console()
    for part in ("groups", "users"):
        if found[part]:
            columns = GROUPS if part == "groups" else USERS
            print_table(console, columns, [row for one in found[part] for row in usage_rows(one, part == "groups")])
    for one in (*found["groups"], *found["users"]):
        for change in one["changes"]:
            until = "" if change["end"] is None else f" until {show_moment(change['end'])}"
            line = f"{plain(one['name'])}: {plain(change['what'])}{until}, by {plain(change['author'])}"
            console.print(Text(f"{line}: {plain_line(change['reason'])} ({change['change_id']})"), soft_wrap=True)
    for note in found["notes"]:
        typer.echo(note, err=True)


@app.command(name="set")
def set_(
    name: Annotated[
        str,
        typer.Argument(
            help="The group; with --cap the user, or `default` for all who have none.",
            autocompletion=complete.groups_and_users,
        ),
    ],
    reason: Annotated[str, typer.Option(help="Why; it stands in the history.")],
    guaranteed: Annotated[list[str] | None, typer.Option(help=f"What the group may count on: {AMOUNT_HELP}")] = None,
    limit: Annotated[list[str] | None, typer.Option(help=f"What it may hold at most: {AMOUNT_HELP}")] = None,
    each: Annotated[
        list[str] | None, typer.Option(help=f"What one person may hold when it pays: {AMOUNT_HELP}")
    ] = None,
    cap: Annotated[list[str] | None, typer.Option(help=f"What a user may hold: {AMOUNT_HELP}")] = None,
    start: Annotated[str | None, typer.Option("--from", help=f"From when on: {FORMS}; without it at once.")] = None,
    until: Annotated[
        str | None, typer.Option(help="Until when, in the same words; a day is included. Without it for good.")
    ] = None,
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Change quotas, at once or for a while: --guaranteed gpu:a100=+16 --until friday, or --cap gpu=none."""
    now = datetime.now().astimezone()
    parts = {"guaranteed": guaranteed, "limit": limit, "each": each, "cap": cap}
    body: Json = {part: read_amounts(given, f"--{part}") for part, given in parts.items() if given}
    if not body:
        raise typer.BadParameter("Say what is to change: --guaranteed, --limit or --each of a group, --cap of a user.")
    if "cap" in body and len(body) > 1:
        raise typer.BadParameter("--cap is a user's, the others are a group's; change them one after the other.")
    body |= {"user" if "cap" in body else "group": name, "reason": reason}
    if start is not None:
        body["from"] = read_when(start, now, end=False, option="--from")
    if until is not None:
        body["until"] = read_when(until, now, end=True, option="--until")
    answer = find_service(state).post("quotas/changes", body)
    if as_json:
        print_json(answer)
        return
    for said in answer["said"]:
        typer.echo(said)
    for one in answer["changes"]:
        end = f" until {show_moment(one['end'])}" if one["end"] is not None else ""
        begin = f"from {show_moment(one['start'])}" if one["start"] else "now"
        typer.echo(f"In force {begin}{end}. `mlabhub quota undo {one['change_id']}` takes it back.")
    for note in answer["notes"]:
        typer.echo(note, err=True)


@app.command()
def undo(
    change_id: Annotated[str, typer.Argument(help="The change, as `mlabhub quota history` shows it.")],
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Take a change back, whether it is in force or ahead; what is in the configuration folder counts again."""
    undone = find_service(state).delete(f"quotas/changes/{url_quote(change_id, safe='')}")
    say(undone, as_json, f"Undone: {plain(undone['name'])}: {plain_line(undone['what'])}")


@app.command()
def history(
    name: Annotated[
        str, typer.Argument(help="Only of this group or user.", autocompletion=complete.groups_and_users)
    ] = "",
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Show the changes at run time, newest first: who, when, what, why, from when until when, and whether undone."""
    path = "quotas/changes" + (f"?name={url_quote(name, safe='')}" if name else "")
    found = find_service(state).get(path)
    if as_json:
        print_json(found)
    elif not found["changes"]:
        typer.echo("Nothing was changed at run time.")
    else:
        print_table(make_console(), HISTORY, [change_row(one) for one in found["changes"]])


def read_amounts(given: list[str], option: str) -> dict[str, float | str | None]:
    """Return amounts by resource, as the service takes them. Raises `typer.BadParameter`."""
    amounts: dict[str, float | str | None] = {}
    for text in given:
        resource, sign, amount = text.partition("=")
        if not sign or not is_resource(resource):
            message = f"{quote(text)} must be RESOURCE=AMOUNT; there are cpu, memory_gib, servers, gpu, gpu:TYPE."
            raise typer.BadParameter(message, param_hint=option)
        if resource in amounts:
            raise typer.BadParameter(f"{resource} is there twice; name it once.", param_hint=option)
        if amount == "none":
            amounts[resource] = None
        else:
            value = _number(amount.lstrip("+-") if amount[:1] in ("+", "-") else amount, text, option)
            amounts[resource] = amount if amount[:1] in ("+", "-") else value
    return amounts


def _number(amount: str, text: str, option: str) -> float:
    try:
        value = float(amount)
    except ValueError:
        value = -1.0
    if not is_amount(value):
        message = f"{quote(text)} has no amount; write a number such as 16, +16 or -8 for more or less, or none."
        raise typer.BadParameter(message, param_hint=option)
    return value


def usage_rows(usage: Json, of_group: bool) -> Iterator[tuple[str, ...]]:
    """Yield a row for each resource of a group or user."""
    shown = usage["name"]
    for resource in dict.fromkeys(part for key in ("guaranteed", "limit", "each", "used") for part in usage[key]) or [
        ""
    ]:
        limit = number(usage["limit"].get(resource), "-" if of_group else "no limit")
        used = number(usage["used"].get(resource, 0))
        if of_group:
            more = [number(usage[key].get(resource), "-") for key in ("borrowed", "each")]
            yield (shown, resource, number(usage["guaranteed"].get(resource), "-"), limit, used, *more)
        else:
            yield shown, resource, f"{limit} (soft)" if resource in usage["soft"] else limit, used
        shown = ""


def number(value: float | None, without: str = "") -> str:
    """Return an amount, or a word where there is none."""
    return without if value is None else format_number(value)


def change_row(one: Json) -> tuple[str, ...]:
    """Return the row of a change."""
    return (
        one["change_id"],
        show_moment(one["at"]),
        one["author"],
        one["name"],
        one["what"],
        show_moment(one["start"] or one["at"]),
        "for good" if one["end"] is None else show_moment(one["end"]),
        f"undone by {one['undone_by']}" if one["state"] == "undone" else one["state"],
        one["reason"],
    )
