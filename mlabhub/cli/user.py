"""``mlabhub user``: open, close and change accounts, the same as on the page People.

On the hub's own machine for whoever may read the state folder; elsewhere for administrators, by ``MLABHUB_URL`` and a
token with ``admin:users`` and ``admin:groups``. Names and files are checked before anything is asked.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote as url_quote

import typer
from rich.progress import track

from mlabhub.cli.dates import show_moment
from mlabhub.cli.remote import Service, find_service
from mlabhub.cli.shown import Column, make_console, print_json, print_table, say
from mlabhub.cli.user_clean import clean
from mlabhub.core.people import Line, NewPerson, fault_of_password, read_csv, read_person
from mlabhub.core.quote import plain
from mlabhub.errors import MLabError

app = typer.Typer(help="Open, close and change accounts.", no_args_is_help=True)
app.command()(clean)

Json = dict[str, Any]
PAGE = 200
COLUMNS = (
    Column("name", wraps=True),
    Column("state", wraps=True),
    Column("rights", spare=2),
    Column("groups", wraps=True, spare=1),
    Column("servers", right=True, spare=3),
)
State = Annotated[
    Path | None, typer.Option(help="The state folder of the installation; without it, MLABHUB_URL counts.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Name = Annotated[str, typer.Argument(help="The name that the person logs in with.")]


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="The name to log in with; left out with --csv.")] = "",
    group: Annotated[list[str] | None, typer.Option(help="A group to be in; may be given several times.")] = None,
    quota: Annotated[
        list[str] | None, typer.Option(help="What the person may hold at most, gpu=4 or cpu=none; several times.")
    ] = None,
    profile: Annotated[
        str, typer.Option("--start", "--profile", help="The profile to start a first server from.")
    ] = "",
    admin: Annotated[bool, typer.Option(help="Make an administrator.")] = False,
    password_stdin: Annotated[bool, typer.Option(help="Read the password from standard input.")] = False,
    csv: Annotated[
        Path | None, typer.Option(help="Open one account a line; columns name, groups, quota, profile, admin.")
    ] = None,
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Open an account: the user, the groups, a quota, a first server, and a password that is printed once."""
    if csv is not None:
        if name or group or quota or profile or admin or password_stdin:
            raise typer.BadParameter("With --csv everything about the people is in the file.")
        _add_all(csv, state, as_json)
        return
    person = read_person(name, group or (), " ".join(quota or ()), profile, admin=admin)
    password = _read_password() if password_stdin else None
    service = find_service(state)
    opened = service.post("people", _body(person, password))
    if opened["account"] == "already":
        raise MLabError(
            f"{person.name} has an account with a password already; what was missing of the rest was added. "
            f"`mlabhub user password {person.name}` gives a new password."
        )
    if as_json:
        print_json(opened)
    else:
        typer.echo(f"{person.name} may log in at {opened['login']} {_outcome(opened)}")
        if opened["password"] and not password_stdin:
            typer.echo(f"password: {opened['password']}")
    _tell(opened["said"] if not as_json else [])
    _tell(opened["faults"])
    if opened["faults"]:
        raise typer.Exit(1)


@app.command("list")
def list_users(
    search: Annotated[str, typer.Argument(help="Part of a name, or group:NAME for a group's members.")] = "",
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """List the people, their groups, and whether they may log in."""
    service = find_service(state)
    people: list[Json] = []
    total = 1
    while len(people) < total:
        path = f"people?search={url_quote(search, safe='')}&offset={len(people)}&limit={PAGE}"
        page = service.get(path)
        people += page["people"]
        total = page["total"] if page["people"] else 0
    if as_json:
        print_json(people)
        return
    print_table(make_console(), COLUMNS, [_row(one) for one in people])


@app.command()
def close(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    keep_days: Annotated[
        int | None, typer.Option(min=0, max=3650, help="For how many days files are kept; else as storage.yaml says.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; it stands with the closed account.")] = "",
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Close an account, after what that does was said: nobody logs in, nothing starts, files are kept for a while."""
    service = find_service(state)
    path = f"people/{url_quote(name, safe='')}/close"
    if not yes:
        look = service.get(path + (f"?keep_days={keep_days}" if keep_days is not None else ""))
        for line in _consequences(look):
            typer.echo(line, err=True)
        typer.confirm(f"Close the account of {plain(name)}?", abort=True, err=True)
    done = service.post(path, {"keep_days": keep_days, "reason": reason})
    if as_json:
        print_json(done)
    else:
        until = show_moment(done["keep_until"])
        typer.echo(f"Closed: {plain(name)}. Files are kept until {until}; `mlabhub user reopen {name}` undoes it.")
    _tell(done["faults"])
    if done["faults"]:
        raise typer.Exit(1)


@app.command()
def reopen(name: Name, state: State = None, as_json: AsJson = False) -> None:
    """Reopen a closed account, with its password, groups and quotas, as long as its files are here."""
    done = find_service(state).post(f"people/{url_quote(name, safe='')}/reopen", {})
    say(done, as_json, f"{plain(name)} may log in again.")


@app.command()
def password(
    name: Name,
    password_stdin: Annotated[bool, typer.Option(help="Read the password from standard input.")] = False,
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Give a new password, printed once; whoever is logged in with the old one is logged out."""
    given = _read_password() if password_stdin else None
    done = find_service(state).post(f"people/{url_quote(name, safe='')}/password", {"password": given})
    if as_json:
        print_json(done)
    else:
        typer.echo(f"{plain(name)} has a new password." if given else f"password: {done['password']}")


@app.command()
def groups(
    name: Name,
    group: Annotated[list[str], typer.Argument(help="The groups to be in from now on; all of them.")],
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Set which groups a person is in."""
    done = find_service(state).ask("PUT", f"people/{url_quote(name, safe='')}/groups", {"groups": group})
    say(done, as_json, f"{plain(name)}: {', '.join(map(plain, done['groups']))}")


def _row(one: Json) -> tuple[str, ...]:
    rights = "admin" if one["admin"] else ""
    groups = ", ".join(map(plain, one["groups"]))
    return one["name"], one["state"].replace("_", " "), rights, groups, str(one["running"] or "")


def _add_all(file: Path, state: Path | None, as_json: bool) -> None:
    """Open the accounts of a file: all valid lines; the exit status is 1 where any line was not."""
    try:
        lines = read_csv(file.read_bytes())
    except OSError as error:
        raise MLabError(f"{file} cannot be read: {error.strerror}.") from None
    service = find_service(state)
    console = make_console(stderr=True)
    shown = track(lines, "Opening accounts", console=console, disable=not console.is_terminal, transient=True)
    results = [_add_line(service, line) for line in shown]
    if as_json:
        print_json({"lines": results})
    else:
        for one in results:
            secret = f"  password: {one['password']}" if one["password"] else ""
            typer.echo(f"line {one['line']}: {plain(one['name'])}: {one['said']}{secret}")
    if any(not one["fine"] for one in results):
        raise typer.Exit(1)


def _add_line(service: Service, line: Line) -> Json:
    found: Json = {"line": line.number, "name": line.name, "fine": False, "password": None}
    if line.person is None:
        return {**found, "said": str(line.fault)}
    try:
        opened = service.post("people", _body(line.person, None))
    except MLabError as error:
        return {**found, "said": str(error.message)}
    said = " ".join([_outcome(opened), *opened["faults"]])
    return {**found, "fine": not opened["faults"], "password": opened["password"], "said": said}


def _body(person: NewPerson, password: str | None) -> Json:
    return {
        "name": person.name,
        "groups": list(person.groups),
        "quota": dict(person.quota),
        "profile": person.profile,
        "admin": person.admin,
        "password": password,
    }


def _outcome(opened: Json) -> str:
    """Say in a sentence what became of an account."""
    said = {
        "opened": "The account is open.",
        "approved": "The account that was asked for is open, with the password that was chosen then.",
        "already": "The account was there already.",
        "made": "The account is known; logins come from elsewhere here.",
    }[opened["account"]]
    server = {"starting": " The first server starts.", "queued": " The first server waits for its turn."}
    return said + server.get(opened["server"], "")


def _consequences(look: Json) -> list[str]:
    """Say what closing an account does."""
    lines = [f"{plain(look['name'])} cannot log in any more, and tokens end."]
    if look["servers"]:
        names = ", ".join(plain(one) or "(default)" for one in look["servers"])
        lines.append(f"These servers are stopped: {names}.")
    if look["waiting"]:
        lines.append(f"Launches that leave the queue: {look['waiting']}.")
    if look["quotas"]:
        lines.append(f"Quotas of their own that end: {look['quotas']}.")
    kept = [*look["folders"], *(f"the image {plain(one)}" for one in look["images"])]
    return [*lines, f"Kept until {show_moment(look['keep_until'])}: {', '.join(kept)}."]


def _read_password() -> str:
    """Return the password that standard input begins with: one line of UTF-8. Raises `MLabError`."""
    line = sys.stdin.buffer.readline().rstrip(b"\r\n")
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise MLabError("The password is not UTF-8 text; write it as such.") from None
    fault = fault_of_password(text)
    if fault is not None:
        raise MLabError(fault)
    return text


def _tell(lines: list[str]) -> None:
    for line in lines:
        typer.echo(line, err=True)
