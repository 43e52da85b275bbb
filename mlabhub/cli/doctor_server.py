"""``mlabhub doctor SERVER``: ask a person's server, through the address that people use, whether it is reached well.

Guarantees: no token but one of the server's own owner goes to a server, and that one is good for this server alone and
for two minutes; it is taken back at the end. So neither a wrong ``--url`` nor a server that its owner has changed gets
hold of the rights of whoever asks. Whatever a server answers, it ends within a minute, and no more comes of it than
printable text. Whatever goes wrong is an `MLabError` with one sentence.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from mlabhub.cli.address import check_url
from mlabhub.cli.doctor_probes import API, Target, fetch, look, read_json
from mlabhub.cli.findings import Check
from mlabhub.cli.hub_api import SECONDS, Hub, find_hub
from mlabhub.core.quote import quote as shown
from mlabhub.errors import InvalidConfiguration, MLabError, NotFound, NotPermitted, Unavailable

TOKEN_SECONDS = 120
STATUSES = ("ok", "missing", "better", "info")
MOST_FINDINGS = 100
LONGEST_TEXT = 1000

Json = dict[str, Any]


def examine_server(server: str, url: str, state: Path | None) -> list[Check]:
    """Return what is found of a server. Raises an `MLabError`."""
    hub = find_hub(state)
    owner, name = split_server(server, hub)
    model = find_server(hub, owner, name)
    base = check_url(url or hub.public_url)
    path = "/".join(["user", quote(owner, safe="@~"), *([model["name"]] if model["name"] else []), ""])
    with borrowed_token(hub, owner, model["name"]) as token:
        target = Target(base + path, token, hub.whom_to_trust() if base.startswith("https:") else None)
        return asyncio.run(ask(target))


def split_server(server: str, hub: Hub) -> tuple[str, str]:
    """Return owner and name: of ``alice/`` or ``alice/name``, else of a server of one's own. Raises an `MLabError`."""
    owner, slash, name = server.partition("/")
    if slash and owner and "/" not in name:
        return owner, name
    if slash or not server:
        raise InvalidConfiguration(f"{shown(server)} is no server. Write USER/ or USER/NAME, or NAME for one of yours.")
    status, model = hub.call("GET", "user")
    if status == 200 and isinstance(model, Mapping) and model.get("kind") == "user":
        return str(model["name"]), server
    if status == 403 and not hub.here:
        raise NotPermitted("The hub does not know the token, or it has ended. Log in again: `mlabhub login`.")
    raise InvalidConfiguration(f"Whose server is {shown(server)}? Write USER/{server}, or USER/ for a default server.")


def find_server(hub: Hub, owner: str, name: str) -> Json:
    """Return the hub's model of a server that runs, by its name or the one that was typed for it.

    Raises `NotFound`, `NotPermitted` or `Unavailable`.
    """
    status, model = hub.call("GET", f"users/{quote(owner, safe='')}?include_stopped_servers=1")
    if status == 403 or (status == 200 and "servers" not in model):
        raise NotPermitted(f"You may not look at the servers of {shown(owner)}: only its owner and administrators may.")
    if status == 404:
        raise NotFound(f"The hub has no user {shown(owner)}, or none that you may look at.")
    if status != 200:
        raise Unavailable(f"The hub cannot be asked about {shown(owner)} (HTTP {status}). Try again in a minute.")
    servers: list[Json] = list(model["servers"].values())
    wanted = [one for one in servers if name in (one["name"], one.get("display_name") or one["name"])]
    found = next((one for one in wanted if one["name"] == name), wanted[0] if len(wanted) == 1 else None)
    label = f"{owner}/{name}"
    if found is None and name:
        known = ", ".join(f"{owner}/{one['name']}" for one in servers) or "none"
        raise NotFound(f"There is no server {shown(label)}; {shown(owner)} has: {shown(known)}.")
    if found is None or not found.get("ready"):
        raise NotFound(f"The server {shown(label)} does not run. Start it, then ask again.")
    return found


@contextlib.contextmanager
def borrowed_token(hub: Hub, owner: str, name: str) -> Iterator[str]:
    """Give a token of the server's owner, for this server alone. Raises `NotPermitted`."""
    path = f"users/{quote(owner, safe='')}/tokens"
    body = {
        "note": "mlabhub doctor",
        "expires_in": TOKEN_SECONDS,
        "scopes": [f"access:servers!server={owner}/{name}"],
    }
    status, model = hub.call("POST", path, json=body)
    if status != 201:
        raise NotPermitted(
            f"No token for the server of {shown(owner)} could be had (HTTP {status}): "
            "the token that you gave must have the right to make others (scope tokens)."
        )
    try:
        yield str(model["token"])
    finally:
        with contextlib.suppress(MLabError):  # it ends by itself in two minutes
            hub.call("DELETE", f"{path}/{model['id']}")


async def ask(target: Target) -> list[Check]:
    """Try everything, and return the server's findings. Raises `NotFound`, `NotPermitted` or `Unavailable`."""
    async with target.client() as client:
        try:
            greeting = await fetch(client, "GET", API, seconds=SECONDS, headers={"Accept": "application/json"})
            _check_greeting(greeting, target)
            seen = await look(target)
            answer = await fetch(client, "POST", API, seconds=SECONDS, json={"seen": seen}, timeout=SECONDS)
            findings = [_check(one) for one in read_json(answer)["findings"][:MOST_FINDINGS]]
        except (httpx.HTTPError, httpx.InvalidURL, asyncio.TimeoutError) as error:
            raise Unavailable(
                f"Nothing answers at {target.url} ({_plain(str(error)) or type(error).__name__}). "
                "Is that the address that people use? --url names another one."
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise Unavailable(f"{target.url} answers with something that is not the doctor's (HTTP).") from error
    if not findings:
        raise Unavailable(f"{target.url} answers with no finding at all.")
    return findings


def _check_greeting(answer: httpx.Response, target: Target) -> None:
    if answer.status_code == 403:
        raise NotPermitted(f"{target.url} lets nobody in with the hub's token. Is it the same hub's address?")
    kind = answer.headers.get("content-type", "")
    if answer.status_code >= 500:
        raise Unavailable(f"{target.url} answers HTTP {answer.status_code}: the proxies do not reach the server.")
    if answer.is_success and "json" in kind:
        path = str(read_json(answer)["server"])
        if not urlsplit(target.url).path.endswith(path):
            raise NotFound(f"{target.url} is another server than {shown(path)}.")
        return
    where = answer.headers.get("location", "")
    more = f", and leads to {shown(where)}" if where else ""
    raise NotFound(
        f"There is no doctor at {target.url} (HTTP {answer.status_code}{more}). Either the address has a wrong path, "
        "a proxy changes it (a prefix such as /lab/ must reach the hub), or the server's image lacks mlabhub's tools."
    )


def _check(finding: Json) -> Check:
    """Return a finding of a server. Raises `KeyError`, `TypeError` or `ValueError` if it is none."""
    status = finding["status"]
    if status not in STATUSES:
        raise ValueError("status")
    return Check(_plain(finding["name"]), status, _plain(finding["found"]), _plain(finding["fix"]))


def _plain(text: str) -> str:
    """Return a text of a server without what would move the cursor or give the terminal orders."""
    return "".join(one if one.isprintable() else " " for one in text[:LONGEST_TEXT])
