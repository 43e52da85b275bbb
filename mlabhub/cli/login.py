"""``mlabhub login`` and ``mlabhub logout``: use a hub elsewhere as oneself.

Guarantees: a token is kept only once the hub has said whose it is and that it opens the service; it is never printed,
never an argument (others would see it in the list of processes), and kept in a file of mode 0600.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from mlabhub.cli.address import read_hub_address
from mlabhub.cli.hub_api import hub_of
from mlabhub.cli.login_browser import ask_token
from mlabhub.cli.logins import Login, change_logins, logins_file, read_logins
from mlabhub.cli.remote import URL_VARIABLE, refuse_plain_http, service_of
from mlabhub.cli.shown import print_json
from mlabhub.core.quote import plain
from mlabhub.errors import InvalidConfiguration, MLabError, NotPermitted, Unavailable

LONGEST_TOKEN = 4096

Json = dict[str, Any]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def login(
    url: Annotated[str, typer.Option(help="The hub's address; without it, the one that was logged in to last.")] = "",
    token_stdin: Annotated[
        bool, typer.Option("--token-stdin", help="Read a token from standard input, and ask nothing.")
    ] = False,
    ca: Annotated[
        Path | None, typer.Option(help="A file with the authority that signed the hub's certificate, in PEM.")
    ] = None,
    allow_http: Annotated[
        bool, typer.Option("--allow-http", help="Send the token unencrypted, where the hub has no https.")
    ] = False,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the hub's page, or print its address alone.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Use a hub elsewhere as oneself: by saying yes in the browser, or by a token of the hub's page Tokens.

    The token is checked, and kept until `mlabhub logout`.

    The hub that was logged in to last is the one that verbs ask; MLABHUB_URL names another one.
    """
    known = read_logins()
    address = read_hub_address(url) if url else known.current
    if address is None:
        raise InvalidConfiguration("Say which hub: `mlabhub login --url https://lab.example.org/`.")
    before = known.find(address)
    allowed = allow_http or (before is not None and before.plain_http)
    refuse_plain_http(address, allowed, "add --allow-http")
    authority = _authority(ca, before)
    asked = Login(address, "", "", authority, allowed)
    token = _read_token() if token_stdin else check_token(ask_token(asked, browser))
    checked, admin = check_login(replace(asked, token=token))
    change_logins(lambda kept: kept.keep(checked))
    if as_json:
        print_json({"url": checked.url, "user": checked.user, "admin": admin})
        return
    rank = ", an administrator" if admin else ""
    typer.echo(f"You are {plain(checked.user)}{rank} at {checked.url}. The token is kept in {logins_file()}.")
    if os.environ.get(URL_VARIABLE, "").strip():
        typer.echo(f"note: {URL_VARIABLE} is set, and goes before this.", err=True)


def logout(
    url: Annotated[str, typer.Option(help="The hub's address; without it, the one that was logged in to last.")] = "",
    every: Annotated[bool, typer.Option("--all", help="Of every hub.")] = False,
    revoke: Annotated[
        bool, typer.Option("--revoke/--keep", help="Also end the token at the hub, so that it is good for nothing.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Forget the token of a hub, and end it there. Exit status 3 if it is forgotten, but could not be ended."""
    known = read_logins()
    address = read_hub_address(url) if url else known.current
    chosen = known.hubs if every else tuple(one for one in known.hubs if one.url == address)
    if url and not chosen:
        names = ", ".join(one.url for one in known.hubs) or "none"
        raise InvalidConfiguration(f"Nobody is logged in at {address}; there are: {names}.")
    rows = [_leave(one, revoke) for one in chosen]
    if as_json:
        print_json({"hubs": rows})
    elif not rows:
        typer.echo("Nobody is logged in.")
    for row in rows if not as_json else ():
        ended = " and ended at the hub" if row["ended"] else ""
        typer.echo(f"{row['url']}: the token of {plain(row['user'])} is forgotten{ended}.")
    left = [row["url"] for row in rows if revoke and not row["ended"]]
    if left:
        raise Unavailable(f"The token could not be ended at {', '.join(left)}: end it on the page Tokens.")


def check_login(login: Login) -> tuple[Login, bool]:
    """Return the login with whose it is, and whether they administer the hub. Raises an `MLabError`."""
    status, model = hub_of(login).call("GET", "user")
    if status in (401, 403):
        raise NotPermitted(f"{login.url} does not know this token, or it has ended. Make a new one on its page Tokens.")
    name = model.get("name") if status == 200 and isinstance(model, dict) else None
    if not isinstance(name, str):
        raise Unavailable(f"{login.url} answers, but not as a hub does (HTTP {status}). Is it the hub's address?")
    service_of(login).get("servers")
    return replace(login, user=name), bool(model.get("admin"))


def _authority(ca: Path | None, before: Login | None) -> str | None:
    """Return the file of an authority as it is found from every folder; what was given before stays."""
    if ca is not None:
        return str(ca.absolute())
    return None if before is None else before.authority


def _read_token() -> str:
    return check_token(sys.stdin.readline(LONGEST_TOKEN + 2))


def check_token(text: str) -> str:
    """Return what was typed as a token, if it can be one. Raises `InvalidConfiguration`, without saying it again."""
    token = text.strip()
    if not token or len(token) > LONGEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidConfiguration("That is no token: one is a word of letters and digits, on one line.")
    return token


def _leave(login: Login, revoke: bool) -> Json:
    """Forget a login, then end its token at the hub if that can be done; return what came of it."""
    change_logins(lambda kept: kept.forget(login.url))
    return {"url": login.url, "user": login.user, "ended": revoke and _end(login)}


def _end(login: Login) -> bool:
    hub = hub_of(login)
    try:
        status, model = hub.call("GET", "user")
        if status in (401, 403):
            return True  # it has ended already
        if status != 200 or not model.get("token_id"):
            return False
        path = f"users/{quote(model['name'], safe='')}/tokens/{quote(model['token_id'], safe='')}"
        return hub.call("DELETE", path)[0] in (204, 404)
    except MLabError:
        return False
