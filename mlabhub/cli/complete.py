"""Names that a shell completes by asking the service: servers, what waits, groups, profiles.

Guarantees: silent and within `PATIENCE_S` whatever happens; a name goes to the shell only if no shell would read more
into it than a name, whoever chose it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import typer

from mlabhub.cli.remote import Service, find_service
from mlabhub.client.service import DEFAULT_SERVER
from mlabhub.errors import MLabError

PATIENCE_S = 1.5
MOST = 200
_HARMLESS = re.compile(r"[\w@.+/-]{1,120}")

Json = dict[str, Any]


def servers(context: typer.Context, incomplete: str) -> list[str]:
    """Return one's own servers; behind ``USER/`` that person's."""
    owner, slash, _ = incomplete.partition("/")
    found = _ask(context, f"servers?user={quote(owner, safe='')}" if slash else "servers", "servers")
    start = f"{owner}/" if slash else ""
    return fitting((f"{start}{one['server_name'] or DEFAULT_SERVER}" for one in found), incomplete)


def entries(context: typer.Context, incomplete: str) -> list[str]:
    """Return what of one's own waits, by its server's name, and everything by its id once that was begun."""
    found = _ask(context, "queue", "entries")
    names = [one["server_name"] for one in found if one["own"] and one["server_name"]]
    ids = [one["launch_id"] for one in found if incomplete and one["launch_id"]]
    return fitting([*names, *ids], incomplete)


def groups(context: typer.Context, incomplete: str) -> list[str]:
    """Return the groups that have a quota, or hold something."""
    return fitting((one["name"] for one in _ask(context, "quotas", "groups")), incomplete)


def groups_and_users(context: typer.Context, incomplete: str) -> list[str]:
    """Return groups and users that have a quota, or hold something."""
    found = [*_ask(context, "quotas", "groups"), *_ask(context, "quotas", "users")]
    return fitting((one["name"] for one in found), incomplete)


def profiles(context: typer.Context, incomplete: str) -> list[str]:
    """Return the profiles that one may start."""
    found = _ask(context, "launches/preview", "choices", {"every": True})
    return fitting((one["profile"] for one in found), incomplete)


def _ask(context: typer.Context, path: str, part: str, body: Json | None = None) -> list[Json]:
    """Return a list of the service's; nothing if it cannot be had in time."""
    try:
        service: Service = replace(find_service(context.params.get("state")), timeout_s=PATIENCE_S)
        found = (service.get(path) if body is None else service.post(path, body))[part]
    except (MLabError, OSError, KeyError):
        return []
    return list(found) if isinstance(found, list) else []


def fitting(names: Iterable[str], incomplete: str) -> list[str]:
    """Return the names that complete a word, and that a shell takes for nothing but a name."""
    known = {name for name in names if name.startswith(incomplete) and _HARMLESS.fullmatch(name)}
    return sorted(known)[:MOST]
