"""Accounts of a lab without a company directory: people ask for one, an administrator opens it.

NativeAuthenticator does the work; this adds what it lacks on JupyterHub 6: its login handler calls a ``statsd`` that is
gone, passwords beyond bcrypt's 72 bytes end in a traceback, and opening or discarding an account is a plain link, which
any page of the same origin (a user's own server, say) could have an administrator's browser follow.

Guarantees: the first administrator exists before the first page is served; no act on an account happens by GET.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import bcrypt
from jupyterhub.scopes import needs_scope
from nativeauthenticator.handlers import (  # type: ignore[attr-defined]  # LoginHandler stands over an import
    DiscardHandler,
    LoginHandler,
    ToggleAuthorizationHandler,
)
from nativeauthenticator.nativeauthenticator import NativeAuthenticator
from nativeauthenticator.orm import UserInfo
from tornado import web
from traitlets import Unicode

from mlabhub import hub_login
from mlabhub.core.names import check_user_name
from mlabhub.core.people import BCRYPT_BYTES
from mlabhub.errors import MLabError
from mlabhub.hub_accounts import ROUTES, log_out


class MLabLoginHandler(LoginHandler):
    """The login page."""

    async def post(self) -> None:
        """Log in, or show the page again with the reason."""
        data = {name: self.get_argument(name, strip=False) for name in self.request.arguments}
        username, password = data.setdefault("username", ""), data.setdefault("password", "")
        user = await self.login_user(data)
        if user:
            self._jupyterhub_user = user
            self.redirect(self.get_next_url(user))
            return
        error = "Invalid username or password."
        if await self.authenticator.is_waiting(username, password):
            error = f"The account {username} waits for an administrator's approval."
        self.finish(await self._render(login_error=error, username=username))


class MLabAuthorizeHandler(ToggleAuthorizationHandler):
    """Open an account, or close it again."""

    async def get(self, name: str) -> None:
        """Lead a link of old to the page where it is a button."""
        self.redirect(self.hub.base_url + "authorize")

    @needs_scope("admin:users")
    async def post(self, name: str) -> None:
        """Toggle; the hub has checked the XSRF token before."""
        if self.authenticator.get_user(name) is None:
            raise web.HTTPError(404, f"There is no account {name!r}; it may have been discarded.")
        if not UserInfo.change_authorization(self.db, name).is_authorized:
            log_out(self.db, name)
        self.redirect(self.hub.base_url + "authorize")


class MLabDiscardHandler(DiscardHandler):
    """Throw away a request for an account."""

    async def get(self, name: str) -> None:
        """Lead a link of old to the page where it is a button."""
        self.redirect(self.hub.base_url + "authorize")

    @needs_scope("admin:users")
    async def post(self, name: str) -> None:
        """Discard an account that was not opened yet."""
        await DiscardHandler.get(self, name)


_OWN_HANDLERS = {
    LoginHandler: MLabLoginHandler,
    ToggleAuthorizationHandler: MLabAuthorizeHandler,
    DiscardHandler: MLabDiscardHandler,
}


class MLabAuthenticator(NativeAuthenticator):
    """NativeAuthenticator with the first administrator made from ``first-run.json``."""

    first_run_file = Unicode(
        config=True,
        help="Path of the JSON file with `admin` and `password` of the first administrator; empty for none.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.first_run_file:
            self._make_first_admin(json.loads(Path(self.first_run_file).read_text()))

    def get_authed_users(self) -> set[str]:
        """Return who may log in. Being named an administrator opens no account: anyone could sign up under the name."""
        return {info.username for info in UserInfo.all_users(self.db) if info.is_authorized}

    def _make_first_admin(self, first_run: dict[str, str]) -> None:
        """Make the very first account; whoever changes or deletes it later means it."""
        name = self.normalize_username(first_run["admin"])
        if not UserInfo.all_users(self.db):
            hashed = bcrypt.hashpw(first_run["password"].encode(), bcrypt.gensalt())
            self.db.add(UserInfo(username=name, password=hashed, is_authorized=True))
            self.db.commit()

    def get_handlers(self, app: Any) -> list[tuple[str, type]]:
        """Return the routes, with our handlers in place of those they mend, the calls of the page People, and login."""
        theirs = super().get_handlers(app)
        return [*((route, _OWN_HANDLERS.get(one, one)) for route, one in theirs), *ROUTES, *hub_login.ROUTES]

    async def authenticate(self, handler: Any, data: dict[str, str]) -> str | None:
        """Return the name if the password fits an open account, else None.

        bcrypt takes 0.2 s of CPU on purpose: it runs beside the event loop, so that logins do not hold up the hub.
        """
        username = self.normalize_username(data["username"])
        user = self.get_user(username)
        if user is None or self.is_blocked(username):
            return None
        fits = await _fits(user, data["password"])
        if user.has_2fa:
            fits = fits and bool(user.is_valid_token(data.get("2fa")))
        if fits and user.is_authorized:
            self.successful_login(username)
            return username
        self.add_login_attempt(username)
        return None

    async def is_waiting(self, username: str, password: str) -> bool:
        """Return whether this is the right password of an account that nobody opened yet."""
        user = self.get_user(username)
        if user is None or user.is_authorized or self.is_blocked(self.normalize_username(username)):
            return False
        return await _fits(user, password)

    def is_password_strong(self, password: str) -> bool:
        """Refuse what bcrypt cannot hash, beside NativeAuthenticator's own rules."""
        return _is_hashable(password) and bool(super().is_password_strong(password))

    def validate_username(self, username: str) -> bool:
        """Return whether the name can be a user's: on the NAS, in a container and in an address."""
        try:
            check_user_name(username)
        except MLabError:
            return False
        return bool(super().validate_username(username))


def _is_hashable(password: str) -> bool:
    return "\0" not in password and len(password.encode()) <= BCRYPT_BYTES


async def _fits(user: UserInfo, password: str) -> bool:
    if not _is_hashable(password):
        return False
    hashed: Any = user.password
    return await asyncio.to_thread(bcrypt.checkpw, password.encode(), hashed)
