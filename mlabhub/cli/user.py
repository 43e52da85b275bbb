"""``mlabhub user``: open accounts on this machine's hub.

Needs to read the state folder, so it is for whoever administers the machine; elsewhere the hub's pages do the same.
"""

from __future__ import annotations

import json
import secrets
import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import bcrypt
import httpx
import typer
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from mlabhub.cli.remote import read_token
from mlabhub.core.names import check_user_name
from mlabhub.core.quote import quote as shown
from mlabhub.errors import MLabError, NotFound, Unavailable
from mlabhub.settings import Settings, load_settings

app = typer.Typer(help="Open accounts.", no_args_is_help=True)

NOT_IN_ACCOUNTS = frozenset(" ,")
MOST_GROUP = 255

State = Annotated[Path | None, typer.Option(help="The state folder of the installation.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="The name to log in with.")],
    group: Annotated[list[str] | None, typer.Option(help="A group to be in; may be given several times.")] = None,
    admin: Annotated[bool, typer.Option(help="Make an administrator.")] = False,
    password_stdin: Annotated[bool, typer.Option(help="Read the password from standard input.")] = False,
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Open an account: the user, the groups, and a password that is printed once."""
    name = name.lower()
    check_user_name(name)
    if set(name) & NOT_IN_ACCOUNTS:
        raise MLabError(f"The user name {shown(name)} cannot be used: the hub's login takes no space and no comma.")
    groups = group or []
    for one in groups:
        _check_group(one)
    password = _read_password() if password_stdin else secrets.token_urlsafe(12)
    settings = load_settings(state_dir=state)
    with _hub(settings) as hub:
        _make_user(hub, name, groups, admin)
    _set_password(settings, name, password)
    if as_json:
        typer.echo(json.dumps({"name": name, "groups": groups, "admin": admin, "password": password}))
    else:
        typer.echo(f"{name} may log in at {settings.public_url}")
        if not password_stdin:
            typer.echo(f"password: {password}")


@app.command("list")
def list_users(state: State = None, as_json: AsJson = False) -> None:
    """List the people, their groups and what they run."""
    with _hub(load_settings(state_dir=state)) as hub:
        users = _all_users(hub)
    rows = [{"name": u["name"], "admin": u["admin"], "groups": sorted(u["groups"])} for u in users]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    for row in rows:
        typer.echo(f"{row['name']:24} {'admin' if row['admin'] else '':6} {', '.join(row['groups'])}")


def _check_group(name: str) -> None:
    """Refuse a name that could not be told from another one on a page. Raises `MLabError`."""
    if not name.isprintable() or name != name.strip() or not 0 < len(name) <= MOST_GROUP:
        raise MLabError(
            f"{shown(name)} cannot be a group's name; it has 1 to {MOST_GROUP} characters that can be seen, and no "
            "space around them."
        )


def _read_password() -> str:
    """Return the password that standard input begins with: one line of UTF-8."""
    line = sys.stdin.buffer.readline().rstrip(b"\r\n")
    try:
        password = line.decode()
    except UnicodeDecodeError:
        raise MLabError("The password is not UTF-8 text; write it as such.") from None
    if not 8 <= len(line) <= 72:
        raise MLabError(f"The password has {len(line)} bytes; 8 to 72 are possible.")
    return password


def _hub(settings: Settings) -> httpx.Client:
    headers = {"Authorization": f"token {read_token(settings)}", "Accept": "application/jupyterhub-pagination+json"}
    return httpx.Client(base_url=f"{settings.hub_url}api/", headers=headers, trust_env=False, timeout=30)


def _call(hub: httpx.Client, method: str, path: str, fine: tuple[int, ...] = (), **body: Any) -> Any:
    try:
        answer = hub.request(method, path, json=body or None)
    except httpx.HTTPError as error:
        raise Unavailable(
            f"The hub at {hub.base_url} does not answer. Start it with `mlabhub up`.", log_text=str(error)
        ) from error
    if answer.is_error and answer.status_code not in fine:
        said = answer.json().get("message", "") if "json" in answer.headers.get("content-type", "") else ""
        raise NotFound(f"The hub refused {method} {path}: {said or answer.reason_phrase}.")
    return answer.json() if answer.content and not answer.is_error else None


def _make_user(hub: httpx.Client, name: str, groups: list[str], admin: bool) -> None:
    """Make user and groups; what is there already stays (409 is the hub's word for that)."""
    _call(hub, "POST", f"users/{quote(name, safe='')}", (409,))
    if admin:
        _call(hub, "PATCH", f"users/{quote(name, safe='')}", admin=True)
    for group in groups:
        _call(hub, "POST", f"groups/{quote(group, safe='')}", (409,))
        _call(hub, "POST", f"groups/{quote(group, safe='')}/users", users=[name])


def _all_users(hub: httpx.Client) -> list[dict[str, Any]]:
    users: list[dict[str, Any]] = []
    path: str | None = "users"
    while path:
        page = _call(hub, "GET", path)
        users += page["items"]
        following = page["_pagination"]["next"]
        path = f"users?offset={following['offset']}&limit={following['limit']}" if following else None
    return users


def _set_password(settings: Settings, name: str, password: str) -> None:
    """Write the account's row where NativeAuthenticator looks it up at each login."""
    row = {"name": name, "password": bcrypt.hashpw(password.encode(), bcrypt.gensalt()), "secret": secrets.token_hex(8)}
    database = create_engine(settings.hub_database_url, connect_args={"timeout": 30})
    try:
        with database.begin() as connection:
            if connection.execute(text("SELECT 1 FROM users_info WHERE username = :name"), row).first():
                raise MLabError(
                    f"{name} has an account with a password already; the groups were added. "
                    "A new password is set on the hub's page Accounts."
                )
            connection.execute(
                text(
                    "INSERT INTO users_info (username, password, is_authorized, login_email_sent, has_2fa, otp_secret)"
                    " VALUES (:name, :password, 1, 0, 0, :secret)"
                ),
                row,
            )
    except OperationalError as error:
        raise Unavailable(
            f"The hub's database cannot be written: {error.orig}. The account has no password yet."
        ) from error
    finally:
        database.dispose()
