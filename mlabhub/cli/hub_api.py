"""The hub's own API, as the command line asks it: of this machine's hub, or of one elsewhere."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from mlabhub.cli.address import whom_to_trust
from mlabhub.cli.logins import Login
from mlabhub.cli.remote import exchange, named_hub, no_answer, read_token
from mlabhub.settings import load_settings

SECONDS = 20.0


@dataclass(frozen=True)
class Hub:
    """A hub as this command reaches it: its API, the address that people use, and in whose name one asks."""

    api: str
    public_url: str
    token: str = field(repr=False)
    authority: Path | None = None
    """A file with whom to trust beside the system's authorities."""
    here: bool = False

    def whom_to_trust(self) -> ssl.SSLContext:
        """Return whom to trust over https. Raises `InvalidConfiguration`."""
        return whom_to_trust(self.authority)

    def call(self, method: str, path: str, json: Any = None) -> tuple[int, Any]:
        """Return status and JSON of a call of the hub's API. Raises `Unavailable`."""
        headers = {"Authorization": f"token {self.token}"}
        try:
            answer = exchange(method, self.api + path, headers, self.here, self.authority, SECONDS, json)
            return answer.status_code, answer.json() if answer.content else {}
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise no_answer("hub", self.api, self.here, error) from error


def find_hub(state: Path | None) -> Hub:
    """Return the hub: of the state folder, else the one that is named or logged in to, else of this machine.

    Raises `InvalidConfiguration`.
    """
    if state is None and (named := named_hub()):
        return hub_of(named)
    settings = load_settings(state_dir=state)
    token = read_token(settings, ", or use an account of yours by `mlabhub login --url ADDRESS`")
    authority = settings.ca_file if settings.ca_file.exists() else None
    return Hub(f"{settings.hub_url}api/", settings.public_url, token, authority, here=True)


def hub_of(login: Login) -> Hub:
    """Return a hub elsewhere."""
    authority = None if login.authority is None else Path(login.authority)
    return Hub(f"{login.url}hub/api/", login.url, login.token, authority)
