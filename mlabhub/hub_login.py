"""The hub's side of `mlabhub login`: one question to whoever is logged in, and the token for the command that asked.

It is the hub that asks and makes the token, as its page Tokens does: no service needs a right to make tokens for that.

Guarantees: nothing is granted by GET, by a token, or by a form that the question did not show; the question cannot be
framed, fetched or held on to by another page, as `mlabhub.service.pages.confirm` explains; the browser is led to
127.0.0.1 alone, with a code that buys nothing without the command's secret; a token is made only when the command asks
for it, is never part of a page, an address or the log, and stands on the page Tokens under a name of its own.
"""

from __future__ import annotations

import time
from urllib.parse import urlencode

from jupyterhub import orm
from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.handlers.base import BaseHandler
from tornado import web

from mlabhub.core.confirm_token import ConfirmTokens
from mlabhub.core.terminal_login import (
    CALL,
    NO_TOKEN,
    PAGE,
    Ask,
    Codes,
    Granted,
    choose_lifetime,
    lifetimes,
    read_ask,
)

CODES, QUESTIONS = "mlabhub_login_codes", "mlabhub_login_questions"


class TerminalLoginHandler(BaseHandler):
    """``GET`` and ``POST login/terminal``: the question, and what its button does."""

    @property
    def questions(self) -> ConfirmTokens:
        """Which questions were shown."""
        tokens: ConfirmTokens = self.settings.setdefault(QUESTIONS, ConfirmTokens())
        return tokens

    @web.authenticated
    async def get(self) -> None:
        """Ask, in the second of two steps."""
        self._require_person()
        ask = read_ask({name: self.get_query_argument(name) for name in self.request.query_arguments})
        if ask is None or self._arrived(ask):
            await self._show(ask)

    @web.authenticated
    async def post(self) -> None:
        """Lead the browser back to the command with a code, if the question was seen; else ask again."""
        self._require_person()
        ask = read_ask({name: self.get_body_argument(name) for name in self.request.body_arguments})
        if ask is None:
            await self._show(None)
            return
        if not self.questions.redeem(self.get_body_argument("confirm", ""), *self._about("yes", ask), now=time.time()):
            self.redirect(f"{self.request.path}?{urlencode({**ask.words, 'stale': '1'})}", status=303)
            return
        person = self.current_user
        seconds = choose_lifetime(self.get_body_argument("seconds", ""), self._most())
        granted = Granted(person.name, person.orm_user.cookie_id, ask.machine, seconds, ask.challenge)
        codes: Codes = self.settings.setdefault(CODES, Codes())
        self.log.info("%s lets a terminal log in: %s", person.name, granted.note)
        self._set_rules(ask)
        self.redirect(ask.answer(code=codes.make(granted, time.monotonic())), status=303)

    def _require_person(self) -> None:
        """Refuse what a script sent, and a form of another site. That tokens open no pages is the hub's own rule."""
        sent = self.request.headers
        if (
            sent.get("Sec-Fetch-Mode", "navigate") != "navigate"
            or sent.get("Sec-Fetch-Dest", "document") != "document"
            or (self.request.method == "POST" and sent.get("Sec-Fetch-Site", "same-origin") != "same-origin")
        ):
            raise web.HTTPError(403, "This page is for a person at a browser: open it yourself, and press its button.")

    def _arrived(self, ask: Ask) -> bool:
        """Return whether this is the second of the two steps; else lead there."""
        now, about = time.time(), self._about("step", ask)
        if self.questions.redeem(self.get_query_argument("step", ""), *about, now=now):
            return True
        query = {**ask.words, "step": self.questions.make(*about, now=now)}
        if self.get_query_argument("stale", ""):
            query["stale"] = "1"
        self.set_header("Cross-Origin-Opener-Policy", "same-origin")
        self.set_header("Cache-Control", "no-store")
        self.redirect(f"{self.request.path}?{urlencode(query)}")
        return False

    async def _show(self, ask: Ask | None) -> None:
        """Show the question, or that the address is not whole."""
        self._set_rules(ask)
        if ask is None:
            self.set_status(400)
            self.finish(await self.render_template("login-terminal.html", fault=True))
            return
        shown = await self.render_template(
            "login-terminal.html",
            **ask.words,
            listener=ask.listener,
            no=ask.answer(error="denied"),
            lifetimes=lifetimes(self._most()),
            usual=choose_lifetime("", self._most()),
            stale=bool(self.get_query_argument("stale", "")),
            confirm=self.questions.make(*self._about("yes", ask), now=time.time()),
        )
        self.finish(shown)

    def _set_rules(self, ask: Ask | None) -> None:
        """Tell the browser what this page never does; its form leads to the command, and nowhere else."""
        to = f" {ask.listener}" if ask else ""
        rules = ("frame-ancestors 'none'", "base-uri 'none'", "object-src 'none'", f"form-action 'self'{to}")
        self.set_header("Content-Security-Policy", "; ".join(rules))
        self.set_header("Cross-Origin-Opener-Policy", "noopener-allow-popups")
        self.set_header("X-Frame-Options", "DENY")
        self.set_header("Referrer-Policy", "same-origin")
        self.set_header("Cache-Control", "no-store")

    def _about(self, act: str, ask: Ask) -> tuple[str, ...]:
        return (act, self.current_user.name, *ask.words.values())

    def _most(self) -> int:
        return int(self.settings.get("token_expires_in_max_seconds") or 0)


class LoginCodeHandler(APIHandler):
    """``GET`` and ``POST api/mlabhub/login``: for the command, which has no token yet."""

    def get(self) -> None:
        """Say that this hub can ask by a page, and by which."""
        self.write({"page": PAGE})

    def post(self) -> None:
        """Take a code, and make the token. It is refused, too, where the person's logins ended meanwhile."""
        body = self.get_json_body()
        given = body if isinstance(body, dict) else {}
        codes: Codes = self.settings.setdefault(CODES, Codes())
        granted = codes.redeem(str(given.get("code")), str(given.get("verifier")), time.monotonic())
        user = orm.User.find(self.db, granted.person) if granted else None
        if granted is None or user is None or user.cookie_id != granted.session:
            raise web.HTTPError(403, NO_TOKEN)
        token = user.new_api_token(note=granted.note, expires_in=granted.seconds)
        self.set_header("Cache-Control", "no-store")
        self.write({"token": token})


ROUTES: list[tuple[str, type]] = [(f"/{PAGE}", TerminalLoginHandler), (f"/api/{CALL}", LoginCodeHandler)]
