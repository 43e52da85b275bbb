"""Ask the service for a verb: the one of this machine by its state folder, or any by ``MLABHUB_URL``.

Guarantees: whatever goes wrong is an `MLabError` with one sentence; a token goes nowhere but to the address that it was
given with, and is never part of a sentence.
"""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from mlabhub.client.service import PERSON_HEADER, error_of
from mlabhub.errors import InvalidConfiguration, Unavailable
from mlabhub.settings import SERVICE_NAME, Settings, load_settings

URL_VARIABLE = "MLABHUB_URL"
TOKEN_VARIABLE = "MLABHUB_TOKEN"
TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Service:
    """Where the service is, and who asks. ``here``: on this machine, where no proxy of the environment counts."""

    url: str
    token: str
    here: bool
    timeout_s: float = TIMEOUT_S

    def get(self, path: str) -> dict[str, Any]:
        """Return what ``GET api/v1/PATH`` answers. Raises an `MLabError`."""
        return self.ask("GET", path)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return what ``POST api/v1/PATH`` answers to a body. Raises an `MLabError`."""
        return self.ask("POST", path, body)

    def delete(self, path: str) -> dict[str, Any]:
        """Return what ``DELETE api/v1/PATH`` answers. Raises an `MLabError`."""
        return self.ask("DELETE", path)

    def ask(self, method: str, path: str, json: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the service answers. Raises an `MLabError`."""
        try:
            answer = httpx.request(
                method,
                f"{self.url}api/v1/{path}",
                headers={"Authorization": f"token {self.token}", **(_person() if self.here else {})},
                json=json,
                timeout=self.timeout_s,
                trust_env=not self.here,
            )
            told = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            hint = "Start it with `mlabhub up`." if self.here else f"Is {URL_VARIABLE} the hub's address?"
            raise Unavailable(f"The service at {self.url} does not answer. {hint}", log_text=str(error)) from error
        if answer.is_error or not isinstance(told, dict):
            raise error_of(answer.status_code, told)
        return told


def find_service(state: Path | None) -> Service:
    """Return the service: of the state folder, else where ``MLABHUB_URL`` says, else of the default state folder.

    Raises `InvalidConfiguration` when there is no installation here, or its secrets may not be read.
    """
    if state is None and (named := read_environment()):
        url, token = named
        return Service(f"{url}services/{SERVICE_NAME}/", token, here=False)
    settings = load_settings(state_dir=state)
    token = read_token(settings, f", or set {URL_VARIABLE} and {TOKEN_VARIABLE} to use an account of yours")
    return Service(settings.service_url, token, here=True)


def _person() -> dict[str, str]:
    """Say who of this machine's people it is: the token is the machine's, and the audit is to name somebody."""
    try:
        name = os.environ.get("SUDO_USER") or getpass.getuser()
    except (OSError, KeyError, ImportError):  # a number without a name
        return {}
    return {PERSON_HEADER: quote(name)}


def read_environment() -> tuple[str, str] | None:
    """Return address and token of the hub that the environment names, None if it names none.

    Raises `InvalidConfiguration` if it names an address alone.
    """
    url = os.environ.get(URL_VARIABLE, "").strip()
    if not url:
        return None
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token:
        raise InvalidConfiguration(
            f"{URL_VARIABLE} is set and {TOKEN_VARIABLE} is not. Make a token on the hub's page Tokens."
        )
    return f"{url.rstrip('/').removesuffix('/hub')}/", token


def read_token(settings: Settings, otherwise: str = "") -> str:
    """Return the command line's token of an installation here; ``otherwise`` says what one may do who cannot read it.

    Raises `InvalidConfiguration`.
    """
    try:
        return (settings.secrets_dir / "command-line-token").read_text()
    except OSError as error:
        raise InvalidConfiguration(
            f"The secrets in {settings.secrets_dir} cannot be read: {error.strerror}. Run this as root{otherwise}."
        ) from error
