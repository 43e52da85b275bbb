"""The hub's side of the page People: accounts with their passwords, which lie in the hub's own database.

`mlabhub.authenticator` adds these calls to the hub's API. Guarantees: a call needs a token with ``admin:users`` (and
``admin:groups`` where groups are named), so it is the hub that decides who may; the browser's login alone is not
enough, since a page of somebody's server shares our origin; nobody but an administrator makes administrators, or
changes the account of one; the last administrator who can log in is not closed; each call can be repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import bcrypt
from jupyterhub import orm
from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.roles import assign_default_roles
from jupyterhub.scopes import needs_scope
from jupyterhub.utils import isoformat, maybe_future, new_token
from nativeauthenticator.orm import UserInfo
from sqlalchemy import select
from sqlalchemy.orm import Query, Session, selectinload
from tornado import web

from mlabhub.core.people import fault_of_password

MOST_OF_PAGE = 200
SERVERS_OWN = "Server at"
"""How the note of a token begins that a running server needs."""


def log_out(db: Session, name: str) -> None:
    """End the sessions and tokens of a closed account. What its servers need to run on stays."""
    user = orm.User.find(db, name)
    if user is None:
        return
    for token in list(user.api_tokens):
        if not (token.note or "").startswith(SERVERS_OWN):
            db.delete(token)
    user.cookie_id = new_token()
    db.commit()


def check_may_change(by: Any, user: orm.User) -> None:
    """Refuse somebody whose role lets them change accounts, but who is no administrator, the account of one.

    Who sets an administrator's password is one. Raises ``HTTPError`` 403.
    """
    if user.admin and not _is_administrator(by):
        raise web.HTTPError(403, f"{user.name} is an administrator; only administrators change that account.")


def _is_administrator(by: Any) -> bool:
    """Whether it is one, or a service that was given the right by the hub's configuration."""
    return isinstance(by, orm.Service) or bool(by.admin)


class _AccountsCall(APIHandler):
    """A call of a token; what it answers is JSON."""

    def require_token(self) -> None:
        """Refuse the browser's login."""
        if not getattr(self, "_token_authenticated", False):
            raise web.HTTPError(403, "Accounts are changed with a token, never by the browser's login alone.")

    def read(self, **shape: type) -> dict[str, Any]:
        """Return the body's values by name; those that are missing are None."""
        body = self.get_json_body() or {}
        if not isinstance(body, dict) or set(body) - set(shape):
            raise web.HTTPError(400, f"The body is an object that has {', '.join(shape)} and nothing else.")
        for name, kind in shape.items():
            if body.get(name) is not None and not isinstance(body[name], kind):
                raise web.HTTPError(400, f"{name} is no {kind.__name__}.")
        return {name: body.get(name) for name in shape}

    def groups(self, names: Sequence[Any]) -> list[orm.Group]:
        """Return the groups of these names; those that are not there yet are made."""
        if names and "admin:groups" not in self.expanded_scopes:
            raise web.HTTPError(403, "The token may not change groups; it needs admin:groups.")
        found = []
        for name in dict.fromkeys(str(one) for one in names):
            group = orm.Group.find(self.db, name=name)
            if group is None:
                group = orm.Group(name=name)
                self.db.add(group)
            found.append(group)
        return found


class AccountsHandler(_AccountsCall):
    """``GET api/mlabhub/accounts``"""

    @needs_scope("admin:users")
    def get(self) -> None:
        """List accounts by name, page by page; ``search`` is part of a name, or of a group's with ``group:`` before."""
        self.require_token()
        offset, limit = (self._number(name, most) for name, most in (("offset", 10**9), ("limit", MOST_OF_PAGE)))
        found = self._found(self.get_argument("search", ""))
        users = found.order_by(orm.User.name).offset(offset).limit(limit).options(selectinload(orm.User.groups)).all()
        names = [str(user.name) for user in users]
        known = {one.username: bool(one.is_authorized) for one in _infos(self.db, names)}
        items = [_view(user, known.get(user.name)) for user in users]
        self.write({"items": items, "total": found.count(), "asked": self._asked()})

    def _asked(self) -> list[str]:
        """Return who asked for an account that nobody opened yet, those who asked first first."""
        waiting = self.db.query(UserInfo.username).filter(
            UserInfo.is_authorized.is_not(True), UserInfo.username.not_in(select(orm.User.name))
        )
        return [row.username for row in waiting.order_by(UserInfo.id).limit(MOST_OF_PAGE)]

    def _found(self, search: str) -> Query[orm.User]:
        users = self.db.query(orm.User)
        group = search.removeprefix("group:")
        if group != search:
            return users.filter(orm.User.groups.any(orm.Group.name == group))
        return users.filter(orm.User.name.contains(search.lower(), autoescape=True)) if search else users

    def _number(self, name: str, most: int) -> int:
        text = self.get_argument(name, "0" if name == "offset" else "50")
        if not text.isascii() or not text.isdecimal() or int(text[:12]) > most:
            raise web.HTTPError(400, f"{name} is a whole number, at most {most}.")
        return int(text)


class GroupNamesHandler(_AccountsCall):
    """``GET api/mlabhub/groups``"""

    @needs_scope("admin:groups")
    def get(self) -> None:
        """List the groups' names alone: with their members, as the hub lists them, it takes seconds."""
        self.require_token()
        self.write({"groups": [row.name for row in self.db.query(orm.Group.name).order_by(orm.Group.name)]})


class AccountHandler(_AccountsCall):
    """``GET`` and ``POST api/mlabhub/accounts/NAME``"""

    @needs_scope("admin:users")
    def get(self, user_name: str) -> None:
        """Tell of one account; one that was only asked for has no user yet."""
        self.require_token()
        user, info = orm.User.find(self.db, user_name), UserInfo.find(self.db, user_name)
        if user is None and info is None:
            raise web.HTTPError(404, f"There is no account {user_name!r}.")
        state = None if info is None else bool(info.is_authorized)
        self.write(_view(user, state) if user is not None else {**_NO_USER, "name": user_name, "account": _word(state)})

    @needs_scope("admin:users")
    async def post(self, user_name: str) -> None:
        """Open an account: user, groups, and the password where there is none yet.

        ``account`` of the answer is ``opened``, ``approved`` (it was asked for, and keeps the password that its person
        chose) or ``already``.
        """
        self.require_token()
        wanted = self.read(groups=list, admin=bool, password=str)
        name = self.authenticator.normalize_username(user_name)
        if not self.authenticator.validate_username(name):
            raise web.HTTPError(400, f"{name!r} cannot be a user's name.")
        hashed = await _hashed(wanted["password"]) if wanted["password"] is not None else None
        self._allow_admin(bool(wanted["admin"]))
        await self._make_user(name, bool(wanted["admin"]), self.groups(wanted["groups"] or []))
        self.write({"account": self._open(name, hashed)})
        self.set_status(201)

    def _allow_admin(self, admin: bool) -> None:
        if admin and not _is_administrator(self.current_user):
            raise web.HTTPError(403, "Only administrators make administrators.")

    async def _make_user(self, name: str, admin: bool, groups: Sequence[orm.Group]) -> None:
        known = self.find_user(name)
        user = known if known is not None else self.user_from_username(name)
        if admin and not user.admin:
            user.admin = True
        assign_default_roles(self.db, entity=user.orm_user)
        for group in groups:
            if group not in user.orm_user.groups:
                user.orm_user.groups.append(group)
        self.db.commit()
        if known is None:
            await maybe_future(self.authenticator.add_user(user))

    def _open(self, name: str, hashed: bytes | None) -> str:
        info = UserInfo.find(self.db, name)
        if info is not None and info.is_authorized:
            return "already"
        if info is None:
            if hashed is None:
                raise web.HTTPError(400, "A new account needs a password.")
            self.db.add(UserInfo(username=name, password=hashed, is_authorized=True))
        else:
            info.is_authorized = True
        self.db.commit()
        return "opened" if info is None else "approved"


class AccountActHandler(_AccountsCall):
    """``POST api/mlabhub/accounts/NAME/close`` and the like"""

    @needs_scope("admin:users")
    async def post(self, user_name: str, act: str) -> None:
        """Close or reopen an account, set its password, or set its groups."""
        self.require_token()
        user = orm.User.find(self.db, user_name)
        if user is None:
            raise web.HTTPError(404, f"There is no user {user_name!r}.")
        check_may_change(self.current_user, user)
        if act == "close":
            self._close(user)
        elif act == "reopen":
            self._authorize(user_name, True)
        elif act == "password":
            await self._set_password(user_name)
        else:
            self._set_groups(user)
        self.write({"name": user_name})

    def _close(self, user: orm.User) -> None:
        by, name = self.current_user, str(user.name)
        if not isinstance(by, orm.Service) and by.name == name:
            raise web.HTTPError(409, "This is your own account; another administrator can close it.")
        if user.admin and not self._other_admins(name):
            raise web.HTTPError(409, f"{name} is the last administrator who can log in.")
        self._authorize(name, False)
        log_out(self.db, name)

    def _other_admins(self, name: str) -> bool:
        admins = self.db.query(orm.User.name).filter(orm.User.admin.is_(True), orm.User.name != name)
        infos = _infos(self.db, [row.name for row in admins])
        return any(info.is_authorized for info in infos)

    def _authorize(self, name: str, may_log_in: bool) -> None:
        info = UserInfo.find(self.db, name)
        if info is not None:
            info.is_authorized = may_log_in
            self.db.commit()

    async def _set_password(self, name: str) -> None:
        """Set it; whoever is logged in with the old one is logged in no longer."""
        password = self.read(password=str)["password"]
        hashed = await _hashed(password or "")
        info = UserInfo.find(self.db, name)
        if info is None:
            self.db.add(UserInfo(username=name, password=hashed, is_authorized=True))
        else:
            info.password = hashed
        self.db.commit()
        log_out(self.db, name)

    def _set_groups(self, user: orm.User) -> None:
        """Let these be the groups, and no others."""
        names = self.read(groups=list)["groups"]
        if names is None:
            raise web.HTTPError(400, "Name the groups.")
        user.groups = self.groups(names)
        self.db.commit()


ROUTES: list[tuple[str, type]] = [
    (r"/api/mlabhub/groups", GroupNamesHandler),
    (r"/api/mlabhub/accounts", AccountsHandler),
    (r"/api/mlabhub/accounts/([^/]+)", AccountHandler),
    (r"/api/mlabhub/accounts/([^/]+)/(close|reopen|password|groups)", AccountActHandler),
]
_NO_USER = {"admin": False, "groups": [], "last_activity": None}


def _infos(db: Session, names: Sequence[str]) -> list[UserInfo]:
    return db.query(UserInfo).filter(UserInfo.username.in_(names)).all() if names else []


def _view(user: orm.User, authorized: bool | None) -> dict[str, Any]:
    seen = user.last_activity
    return {
        "name": user.name,
        "admin": bool(user.admin),
        "groups": sorted(group.name for group in user.groups),
        "account": _word(authorized),
        "last_activity": isoformat(seen) if seen else None,
    }


def _word(authorized: bool | None) -> str:
    return "none" if authorized is None else "open" if authorized else "shut"


async def _hashed(password: str) -> bytes:
    """Return the hash that NativeAuthenticator compares with; bcrypt takes 0.2 s of CPU, beside the event loop."""
    fault = fault_of_password(password)
    if fault is not None:
        raise web.HTTPError(400, str(fault))
    return await asyncio.to_thread(bcrypt.hashpw, password.encode(), bcrypt.gensalt())
