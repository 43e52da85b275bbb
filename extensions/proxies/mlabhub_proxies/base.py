"""What all our handlers share: the reader's language, pages, errors as a page or as JSON.

Guarantees: nobody without a login gets further than `prepare`, websockets neither; every error is a sentence, never a
traceback; no page runs a script or loads a file that is not ours.
"""

from __future__ import annotations

import hashlib
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jupyter_server.base.handlers import JupyterHandler
from tornado import web

from mlabhub_proxies.frames import with_key
from mlabhub_proxies.surroundings import SETTING, Surroundings
from mlabhub_proxies.words import LANGUAGE_ARGUMENT, LANGUAGE_COOKIE, N_, Translator, choose_language, get_translator

STATIC = Path(__file__).parent / "static"
TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined
)
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
"""The content security policy of our pages; a page that needs more overrides `Speaking.policy`. Who may frame them
all the same, `mlabhub_proxies.frames` says."""
SENTENCES = {
    400: N_("This request cannot be understood."),
    403: N_("You may not open this here. Sign in again and come back."),
    404: N_("There is no such page in this server."),
    405: N_("This address is not made for that."),
}
CODES = {400: "bad_request", 403: "forbidden", 404: "not_found", 405: "not_allowed"}
FAULT = N_("Something went wrong in the server. Its log says more.")


class Refused(web.HTTPError):
    """An error with a code for programs and a sentence for people, in the language of the request."""

    def __init__(self, status: int, code: str, sentence: str) -> None:
        super().__init__(status)
        self.code = code
        self.sentence = sentence


class Speaking(JupyterHandler):
    """A handler that speaks the reader's language; base of pages, API and proxied tools."""

    policy: dict[str, str] = POLICY
    answers_json = False

    @property
    def surroundings(self) -> Surroundings:
        """The server that this is a page of."""
        surroundings: Surroundings = self.settings[SETTING]
        return surroundings

    @cached_property
    def t(self) -> Translator:
        """Say things in the reader's language."""
        wish = self.request.query_arguments.get(LANGUAGE_ARGUMENT, [b""])[-1].decode(errors="replace")
        accepted = self.request.headers.get("Accept-Language")
        return get_translator(choose_language(wish, self.get_cookie(LANGUAGE_COOKIE), accepted))

    async def prepare(self) -> None:  # type: ignore[override]
        """Let nobody in without a login: a page asks for one, all else is refused."""
        if (prepared := super().prepare()) is not None:
            await prepared
        if self._finished or self.current_user:
            return
        if self.answers_json or not is_navigation(self):
            raise web.HTTPError(403)
        web.authenticated(lambda handler: None)(self)

    def render_page(self, template: str, /, *, status: int = 200, **values: Any) -> None:
        """Answer with one of our templates."""
        html = TEMPLATES.get_template(template).render(
            t=self.t,
            url=self.surroundings.url,
            keyed=lambda *parts: with_key(self.surroundings.url(*parts), self),
            static=lambda path: static_url(self.surroundings, path),
            xsrf_token=self.xsrf_token.decode(),
            **values,
        )
        self.set_status(status)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Security-Policy", "; ".join(f"{name} {value}" for name, value in self.policy.items()))
        self.set_header("Referrer-Policy", "same-origin")
        self.finish(html)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with a sentence."""
        fault = kwargs.get("exc_info", (None, None))[1]
        if isinstance(fault, Refused):
            code, sentence = fault.code, fault.sentence
        else:
            code = CODES.get(status_code, "fault")
            sentence = self.t(SENTENCES.get(status_code, FAULT))
        if self.answers_json or not is_navigation(self):
            self.set_header("Content-Type", "application/json")
            self.finish({"error": {"code": code, "message": sentence}})
        else:
            heading = self.t(N_("This is not here")) if status_code == 404 else self.t(N_("This did not work"))
            self.render_page("problem.html", status=status_code, heading=heading, sentence=sentence)


class PageHandler(Speaking):
    """A page of ours."""


class ApiHandler(Speaking):
    """An address for programs; answers JSON, and only to pages of this server."""

    answers_json = True

    async def prepare(self) -> None:  # type: ignore[override]
        """Refuse what comes from another site's page."""
        await super().prepare()
        if not self.check_origin():
            raise web.HTTPError(403)

    def body_json(self) -> dict[str, Any]:
        """Return the body, which must be a JSON object."""
        try:
            body = self.get_json_body()
        except web.HTTPError:
            body = None
        if not isinstance(body, dict):
            raise Refused(400, "bad_request", self.t(N_("The body must be a JSON object.")))
        return body


class StaticHandler(web.StaticFileHandler, Speaking):
    """Our scripts, styles and pictures."""

    def check_xsrf_cookie(self) -> None:
        """Let modules load one another: a browser sends no token then, and there is nothing to protect."""

    def parse_url_path(self, url_path: str) -> str:
        """Refuse what can be no file's name."""
        if "\0" in url_path:
            raise web.HTTPError(404)
        return str(super().parse_url_path(url_path))

    def set_extra_headers(self, path: str) -> None:
        """Let the browser keep a file for ever under the name with its hash, and ask again under another."""
        kept = "max-age=31536000, immutable" if self.get_query_argument("v", None) else "no-cache"
        self.set_header("Cache-Control", f"private, {kept}")


def is_navigation(handler: web.RequestHandler) -> bool:
    """Return whether a person's browser asks for a page, and not a page for a part of it."""
    headers = handler.request.headers
    if handler.request.method not in ("GET", "HEAD") or headers.get("Upgrade"):
        return False
    if mode := headers.get("Sec-Fetch-Mode"):
        return bool(mode == "navigate")
    return "text/html" in headers.get("Accept", "")


def static_url(surroundings: Surroundings, path: str) -> str:
    """Return the address of one of our files, which changes with its content."""
    return f"{surroundings.url('mlabhub', 'static', path)}?v={_content_hash(path)}"


@cache
def _content_hash(path: str) -> str:
    try:
        return hashlib.sha256((STATIC / path).read_bytes()).hexdigest()[:12]
    except OSError:
        return "0"
