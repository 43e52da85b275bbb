"""Ask the service for a verb: the one of this machine by its state folder, or one elsewhere, as somebody.

Guarantees: whatever goes wrong is an `MLabError` with one sentence; a token goes nowhere but to the address that it was
given with, not over an unencrypted way to another machine unless that was asked for, and is never part of a sentence.
"""

from __future__ import annotations

import getpass
import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from mlabhub.cli.address import is_secure, read_hub_address, whom_to_trust
from mlabhub.cli.logins import Login, read_logins
from mlabhub.client.service import PERSON_HEADER, error_of
from mlabhub.core.quote import quote as shown
from mlabhub.errors import InvalidConfiguration, MLabError, Unavailable
from mlabhub.settings import SERVICE_NAME, Settings, load_settings

URL_VARIABLE = "MLABHUB_URL"
TOKEN_VARIABLE = "MLABHUB_TOKEN"
HTTP_VARIABLE = "MLABHUB_ALLOW_HTTP"
TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Service:
    """Where the service is, and who asks. ``here``: on this machine, where no proxy of the environment counts."""

    url: str
    token: str = field(repr=False)
    here: bool
    timeout_s: float = TIMEOUT_S
    authority: Path | None = None

    @property
    def verify(self) -> ssl.SSLContext | bool:
        """Whom to trust, as httpx takes it. Raises `InvalidConfiguration`."""
        return whom_to_trust(self.authority) if self.url.startswith("https:") else True

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
        headers = {"Authorization": f"token {self.token}", **(_person() if self.here else {})}
        url = f"{self.url}api/v1/{path}"
        try:
            answer = exchange(method, url, headers, self.here, self.authority, self.timeout_s, json)
            told = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise no_answer("service", self.url, self.here, error) from error
        if answer.is_error or not isinstance(told, dict):
            raise error_of(answer.status_code, told)
        return told


def exchange(
    method: str,
    url: str,
    headers: dict[str, str],
    here: bool,
    authority: Path | None,
    timeout_s: float,
    json: Any = None,
) -> httpx.Response:
    """Return an answer. Raises `httpx.HTTPError`, `httpx.InvalidURL`, or `Unavailable` if it leads elsewhere.

    A redirect is not followed: the token is for the address that it was given with.
    """
    verify: bool | ssl.SSLContext = whom_to_trust(authority) if url.startswith("https:") else True
    answer = httpx.request(
        method, url, headers=headers, json=json, timeout=timeout_s, verify=verify, trust_env=not here
    )
    if answer.is_redirect:
        there = shown(answer.headers.get("location", ""))
        raise Unavailable(f"{url} leads to {there}. Log in by the address that the hub has now: `mlabhub login --url`.")
    return answer


def no_answer(what: str, url: str, here: bool, error: Exception) -> MLabError:
    """Return the sentence for who does not answer as it should; of a certificate, what to do."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        why = str(error).partition("failed: ")[2].partition(" (_ssl")[0] or "it is not trusted"
        return Unavailable(
            f"The certificate of {url} is not good: {why}. If an authority of your own signed it, name its file: "
            "`mlabhub login --ca FILE`, or SSL_CERT_FILE.",
            log_text=str(error),
        )
    hint = "Start it with `mlabhub up`." if here else "Is that the hub's address, and is it reached from here?"
    return Unavailable(f"The {what} at {url} does not answer. {hint}", log_text=str(error))


def find_service(state: Path | None) -> Service:
    """Return the service: of the state folder, else of the hub that is named or logged in to, else of this machine.

    Raises `InvalidConfiguration` when there is no installation here, or its secrets may not be read.
    """
    if state is None and (named := named_hub()):
        return service_of(named)
    settings = load_settings(state_dir=state)
    token = read_token(settings, ", or use an account of yours by `mlabhub login --url ADDRESS`")
    return Service(settings.service_url, token, here=True)


def service_of(login: Login, timeout_s: float = TIMEOUT_S) -> Service:
    """Return the service of a hub elsewhere."""
    authority = None if login.authority is None else Path(login.authority)
    return Service(f"{login.url}services/{SERVICE_NAME}/", login.token, False, timeout_s, authority)


def _person() -> dict[str, str]:
    """Say who of this machine's people it is: the token is the machine's, and the audit is to name somebody."""
    try:
        name = os.environ.get("SUDO_USER") or getpass.getuser()
    except (OSError, KeyError, ImportError):  # a number without a name
        return {}
    return {PERSON_HEADER: quote(name)}


def named_hub() -> Login | None:
    """Return the hub that the environment names, else the one that was logged in to last, else None.

    ``MLABHUB_URL`` alone names one that was logged in to. Raises `InvalidConfiguration`.
    """
    text, token = (os.environ.get(name, "").strip() for name in (URL_VARIABLE, TOKEN_VARIABLE))
    if not text:
        return read_logins().find(None)
    url = read_hub_address(text)
    if not token:
        if kept := read_logins().find(url):
            return kept
        raise InvalidConfiguration(
            f"{URL_VARIABLE} is set and {TOKEN_VARIABLE} is not. Log in by `mlabhub login --url {url}`, or set it to "
            "a token of the hub's page Tokens."
        )
    allowed = os.environ.get(HTTP_VARIABLE, "") == "1"
    refuse_plain_http(url, allowed, f"set {HTTP_VARIABLE}=1")
    return Login(url, "", token, None, allowed)


def refuse_plain_http(url: str, allowed: bool, how: str) -> None:
    """Refuse to send a token unencrypted to another machine; ``how`` one asks for it. Raises `InvalidConfiguration`."""
    if not allowed and not is_secure(url):
        raise InvalidConfiguration(
            f"{url} is not encrypted: everybody on the way could read the token. Use its https address; to do it all "
            f"the same, {how}."
        )


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
