"""Ask for a token by the browser: a page of the hub asks its person, and tells a listener on this machine.

Guarantees: the listener is reached from this machine alone, under one address, and takes one answer, which has to carry
the state that was made for it; what is typed meanwhile is not shown; it ends after five minutes, and by Ctrl-C, in
words. Neither code nor token is ever printed.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import select
import socket
import sys
import termios
import threading
import time
import webbrowser
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import typer

from mlabhub.cli.logins import Login
from mlabhub.cli.remote import exchange, no_answer
from mlabhub.core.terminal_login import CALL, HOST, NO_TOKEN, PAGE, Ask, is_word, make_challenge, make_word
from mlabhub.errors import InvalidConfiguration, NotPermitted
from mlabhub.i18n import N_, Translator, choose_language, get_translator

PATIENCE_S = 300.0
SECONDS = 20.0
LONGEST_LINE = 8192
DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")
NO_TERMINAL = "There is no terminal to ask for the token on: give it by --token-stdin."
SEEN = N_("You said yes. You can close this page: the command goes on in its terminal.")
DENIED = N_("You said no, and the command got nothing. You can close this page.")
STRANGE = N_("This is not the answer that the command waits for. It goes on waiting; you can close this page.")
RULES = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
LOOK = (
    "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:15vh auto;padding:0 1rem}"
    ":root{color-scheme:light dark}"
)


@dataclass(frozen=True)
class Answer:
    """What came of asking: a code of the hub's page, or a token that was pasted."""

    code: str = ""
    token: str = ""


class Listener(ThreadingTCPServer):
    """Waits on 127.0.0.1 for the browser; readable, as `select` has it, once it was told something."""

    daemon_threads = True

    def __init__(self, state: str) -> None:
        super().__init__((HOST, 0), _Told)
        self.state = state
        self.code: str | None = None
        self._heard, self._tell = socket.socketpair()
        self._lock = threading.Lock()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    @property
    def heard(self) -> socket.socket:
        """What is readable once there is an answer."""
        return self._heard

    def take(self, query: dict[str, str]) -> str | None:
        """Return what to say to the browser if this is the one answer, else None. No code is a no."""
        mine = hmac.compare_digest(query.get("state", "").encode(), self.state.encode())
        code = query.get("code", "")
        denied = query.get("error") == "denied"
        with self._lock:
            if not mine or self.code is not None or not (denied or is_word(code)):
                return None
            self.code = "" if denied else code
        return DENIED if denied else SEEN

    def wake(self) -> None:
        """Let the command go on."""
        self._tell.send(b"!")

    def close(self) -> None:
        """Listen no longer."""
        self.shutdown()
        self.server_close()
        self._heard.close()
        self._tell.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that hung up."""


class _Told(BaseHTTPRequestHandler):
    """One call of the browser."""

    server: Listener
    timeout = 10

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path != "/" or self.headers.get("Host") != f"{HOST}:{self.server.port}":
            self.send_error(404)
            return
        said = self.server.take(dict(parse_qsl(parts.query)))
        self._say(200 if said else 400, said or STRANGE)
        if said:
            self.server.wake()

    def _say(self, status: int, sentence: str) -> None:
        t = get_translator(choose_language(None, None, self.headers.get("Accept-Language")))
        body = page_text(t, sentence).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", RULES)
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: an address has the code in it."""


def page_text(t: Translator, sentence: str) -> str:
    """Return a page that needs nothing from elsewhere."""
    return (
        f'<!DOCTYPE html><html lang="{t.html_lang}"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>mlabhub</title><style>{LOOK}</style></head>'
        f"<body><main><h1>mlabhub</h1><p>{escape(t(sentence))}</p></main></body></html>"
    )


def ask_token(login: Login, browser: bool) -> str:
    """Ask for a token, by the browser where the hub has a page for it, and on the terminal. Raises an `MLabError`."""
    typed = sys.stdin.isatty()
    shown = browser and has_display()
    if not typed and not shown:
        raise InvalidConfiguration(NO_TERMINAL)
    if _call(login, "GET")[0] != 200:  # a hub that only knows its page Tokens
        return _ask_on_terminal(login, shown, typed)
    verifier, state = make_word(), make_word()
    listener = Listener(state)
    try:
        ask = Ask(listener.port, state, make_challenge(verifier), socket.gethostname() or HOST)
        page = f"{login.url}hub/{PAGE}?{urlencode(ask.words)}"
        typer.echo(f"Open this page in the browser, and say yes there:\n{page}", err=True)
        if shown:
            webbrowser.open(page)
        with unseen() if typed else contextlib.nullcontext():
            if typed:
                _prompt(login)
            answer = wait(listener, PATIENCE_S, typed)
    except KeyboardInterrupt:
        raise NotPermitted("It was ended before somebody said yes in the browser. Nothing is kept.") from None
    finally:
        listener.close()
    return answer.token or _redeem(login, answer.code, verifier)


def has_display() -> bool:
    """Return whether a browser can be opened; without a display it might be one that takes the terminal."""
    return sys.platform == "darwin" or any(os.environ.get(name) for name in DISPLAYS)


def wait(listener: Listener, patience_s: float, typed: bool) -> Answer:
    """Return the first answer, of the browser or of the terminal. Raises `NotPermitted` if there is none."""
    until = time.monotonic() + patience_s
    sources: list[Any] = [listener.heard, *([sys.stdin.fileno()] if typed else [])]
    while (left := until - time.monotonic()) > 0:
        ready, _, _ = select.select(sources, [], [], left)
        if listener.heard in ready:
            return _answer_of(listener)
        if ready and (line := os.read(sys.stdin.fileno(), LONGEST_LINE)):
            return Answer(token=line.decode(errors="replace"))
        if ready:  # the terminal was closed
            sources.pop()
    minutes = round(patience_s / 60)
    raise NotPermitted(f"Nobody said yes in the browser within {minutes} minutes. Nothing is kept; run it again.")


def _answer_of(listener: Listener) -> Answer:
    if not listener.code:
        raise NotPermitted("You said no in the browser. Nothing is kept.")
    return Answer(code=listener.code)


@contextlib.contextmanager
def unseen() -> Iterator[None]:
    """Show nothing of what is typed on the terminal."""
    there = sys.stdin.fileno()
    before = termios.tcgetattr(there)
    silent = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    try:
        termios.tcsetattr(there, termios.TCSADRAIN, silent)
        yield
    finally:
        termios.tcsetattr(there, termios.TCSADRAIN, before)
        typer.echo("", err=True)


def _prompt(login: Login) -> None:
    typer.echo(f"If the browser runs on another machine, make a token there instead: {login.url}hub/token", err=True)
    typer.echo("Token, to paste (not shown): ", err=True, nl=False)


def _ask_on_terminal(login: Login, shown: bool, typed: bool) -> str:
    if not typed:
        raise InvalidConfiguration(NO_TERMINAL)
    page = f"{login.url}hub/token"
    typer.echo(f"Make a token on this page, then paste it here: {page}", err=True)
    if shown:
        webbrowser.open(page)
    return str(typer.prompt("Token (not shown)", hide_input=True, err=True))


def _redeem(login: Login, code: str, verifier: str) -> str:
    status, told = _call(login, "POST", {"code": code, "verifier": verifier})
    token = told.get("token")
    if status != 200 or not isinstance(token, str):
        raise NotPermitted(NO_TOKEN)
    return token


def _call(login: Login, method: str, body: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
    """Return status and answer of the hub's call, which is asked without a token. Raises `Unavailable`."""
    url = f"{login.url}hub/api/{CALL}"
    authority = None if login.authority is None else Path(login.authority)
    try:
        answer = exchange(method, url, {}, False, authority, SECONDS, body)
        told = answer.json() if answer.status_code == 200 else {}
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise no_answer("hub", f"{login.url}hub/api/", False, error) from error
    return answer.status_code, told if isinstance(told, dict) else {}
