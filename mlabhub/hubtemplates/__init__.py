"""The hub's own pages in our look and in the reader's language: templates, and what they are given.

Guarantees: every template extends the hub's own and changes only what differs; a page of the hub is readable also while
our service, which has the style sheet, is away.

The hub renders its templates without telling them about the request. A tornado *transform* is made for each request
before its handler runs, in the same context: that is where the reader's language is found out.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from datetime import datetime, timezone
from functools import partial
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.web import OutputTransform

from mlabhub.hubtemplates.stock import HubFrame, hub_words
from mlabhub.i18n import (
    DEFAULT_LANGUAGE,
    LANGUAGE_ARGUMENT,
    LANGUAGE_COOKIE,
    LANGUAGES,
    choose_language,
    get_translator,
    match_language,
)
from mlabhub.settings import Settings

FOLDER = Path(__file__).parent
YEAR_S = 365 * 86400

_language: ContextVar[str] = ContextVar("language", default=DEFAULT_LANGUAGE)
_path: ContextVar[str] = ContextVar("path", default="")


class LanguageTransform(OutputTransform):
    """Finds out the language of a request, and remembers one that was asked for."""

    def __init__(self, base_url: str, request: HTTPServerRequest) -> None:
        asked = dict(parse_qsl(request.query)).get(LANGUAGE_ARGUMENT)
        cookie = request.cookies.get(LANGUAGE_COOKIE)
        language = choose_language(asked, cookie.value if cookie else None, request.headers.get("Accept-Language"))
        self._cookie = _language_cookie(language, base_url) if match_language(asked) else None
        _language.set(language)
        _path.set(request.uri or "")

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        """Add the cookie, if a language was asked for."""
        if self._cookie is not None:
            headers.add("Set-Cookie", self._cookie)
        return status_code, headers, chunk


def template_vars(settings: Settings) -> dict[str, Any]:
    """Return ``JupyterHub.template_vars``; the hub calls those that are functions for each page."""
    return {
        "_": lambda user: get_translator(_language.get()),
        "mlabhub_words": lambda user: hub_words(get_translator(_language.get())),
        "mlabhub_now": lambda user: datetime.now(timezone.utc).replace(tzinfo=None),  # as the hub's own times are
        "mlabhub_languages": lambda user: _other_languages(),
        "mlabhub_prefix": settings.service_prefix,
        "mlabhub_backend": settings.backend,
        "mlabhub_simulated": settings.simulate_gpus,
    }


def jinja_options() -> dict[str, Any]:
    """Return ``JupyterHub.jinja_environment_options``."""
    return {"extensions": [HubFrame]}


def transforms(settings: Settings) -> list[Callable[[HTTPServerRequest], OutputTransform]]:
    """Return the ``transforms`` of the hub's tornado settings."""
    return [partial(LanguageTransform, settings.base_url)]


def _other_languages() -> list[tuple[str, str, str]]:
    """Return tag, name and address of this page in each other language.

    None on pages below ``/spawn``, where the hub takes every query argument for a server's option.
    """
    path, _, query = _path.get().partition("?")
    if "/spawn" in path:
        return []
    current = _language.get()
    arguments = [(name, value) for name, value in parse_qsl(query) if name != LANGUAGE_ARGUMENT]
    return [
        (code.replace("_", "-"), name, f"{path}?{urlencode([*arguments, (LANGUAGE_ARGUMENT, code)])}")
        for code, name in LANGUAGES.items()
        if code != current
    ]


def _language_cookie(language: str, path: str) -> str:
    cookie: SimpleCookie = SimpleCookie({LANGUAGE_COOKIE: language})
    cookie[LANGUAGE_COOKIE].update({"path": path, "max-age": str(YEAR_S), "samesite": "Lax"})
    return cookie[LANGUAGE_COOKIE].OutputString()
