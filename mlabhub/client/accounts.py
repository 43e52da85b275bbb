"""Client of the hub's calls about accounts, always with the token of whoever acts: the service itself may not.

Guarantees: the hub decides whether that token may; what it refuses is told in its own sentence; a hub whose logins come
from elsewhere has no such calls, and `NoPasswords` says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

from mlabhub.client.transport import Answer, NoAnswer, NotSent, exchange, make_http
from mlabhub.core.quote import plain
from mlabhub.errors import LaunchRefused, MLabError, NotFound, NotPermitted, Unavailable
from mlabhub.messages import N_, Message

AccountWord = Literal["open", "shut", "none", "elsewhere"]
Opened = Literal["opened", "approved", "already", "made"]
OURS = "mlabhub/accounts"
_PAGINATION = {"Accept": "application/jupyterhub-pagination+json"}
MAY_NOT = N_(
    "The hub did not take your login for this. Log out and in again; a token needs admin:users and admin:groups."
)
NO_USER = N_("The hub has no user of this name.")
ELSEWHERE = N_("Logins come from elsewhere here: accounts and passwords are given there, and not by this hub.")


class NoPasswords(LaunchRefused):
    """The hub has no accounts of its own."""

    code = "no_passwords"


@dataclass(frozen=True)
class Account:
    """An account at the hub. ``account``: whether its password logs in; ``none``: it has no password;
    ``elsewhere``: logins are given elsewhere.

    ``last_activity`` is in seconds since the epoch, None where the hub does not know it.
    """

    name: str
    admin: bool
    groups: tuple[str, ...]
    account: AccountWord
    last_activity: float | None = None


@dataclass(frozen=True)
class AccountsPage:
    """Some accounts, by name. ``total`` counts those that were searched for; ``asked`` wait for an administrator."""

    items: tuple[Account, ...]
    total: int
    asked: tuple[str, ...] = ()


class HubAccounts:
    """Talks to the hub about accounts."""

    def __init__(self, hub_url: str, *, timeout_s: float = 30.0):
        self._http = make_http(hub_url.rstrip("/") + "/api/", "", timeout_s=timeout_s)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def page(self, token: str, search: str, offset: int, limit: int) -> AccountsPage:
        """Return the accounts whose name has ``search`` in it, or the members of a group for ``group:NAME``."""
        parameters = {"search": search, "offset": str(offset), "limit": str(limit)}
        try:
            body = await self._ask(token, "GET", OURS, params=parameters)
        except NoPasswords:
            return await self._users(token, search, offset, limit)
        return AccountsPage(tuple(_account(one) for one in body["items"]), int(body["total"]), tuple(body["asked"]))

    async def _users(self, token: str, search: str, offset: int, limit: int) -> AccountsPage:
        """Return the hub's users where it has no accounts of its own; it cannot search for a group's members."""
        parameters = {"name_filter": search, "offset": str(offset), "limit": str(limit), "sort": "name"}
        body = await self._ask(token, "GET", "users", params=parameters, headers=_PAGINATION)
        users = tuple(_account({**one, "account": "elsewhere"}) for one in body["items"])
        return AccountsPage(users, int(body["_pagination"]["total"]))

    async def groups(self, token: str) -> tuple[str, ...]:
        """Return the names of all groups."""
        try:
            return tuple((await self._ask(token, "GET", "mlabhub/groups"))["groups"])
        except NoPasswords:
            page = await self._ask(token, "GET", "groups", params={"limit": "200"}, headers=_PAGINATION)
            return tuple(str(one["name"]) for one in page["items"])

    async def account(self, token: str, name: str) -> Account:
        """Return one account. Raises `NotFound`."""
        try:
            return _account(await self._ask(token, "GET", _path(name)))
        except NoPasswords:
            return _account({**await self._ask(token, "GET", _user_path(name)), "account": "elsewhere"})

    async def open(self, token: str, name: str, *, groups: Sequence[str], admin: bool, password: str | None) -> Opened:
        """Open an account, and say how.

        ``approved``: it was asked for, and keeps its password; ``already``: it was open, and only groups and rights
        were added; ``made``: logins come from elsewhere, and the user is known from now on.
        """
        body = {"groups": list(groups), "admin": admin, "password": password}
        try:
            opened: Opened = (await self._ask(token, "POST", _path(name), json=body))["account"]
        except NoPasswords:
            return await self._make_user(token, name, groups, admin)
        return opened

    async def _make_user(self, token: str, name: str, groups: Sequence[str], admin: bool) -> Opened:
        """Make a user whose login comes from elsewhere; what is there already stays."""
        made = await self._try(token, "POST", _user_path(name))
        if admin:
            await self._ask(token, "PATCH", _user_path(name), json={"admin": True})
        await self._put_into(token, name, groups)
        return "made" if made else "already"

    async def _put_into(self, token: str, name: str, groups: Sequence[str]) -> None:
        for group in groups:
            await self._try(token, "POST", _group_path(group))
            await self._ask(token, "POST", f"{_group_path(group)}/users", json={"users": [name]})

    async def _try(self, token: str, method: str, path: str) -> bool:
        """Make something; False if it is there already, for which 409 is the hub's word."""
        answer = await self._exchange(token, method, path)
        if answer.status >= 400 and answer.status != 409:
            raise _refusal(answer, path)
        return answer.status != 409

    async def act(self, token: str, name: str, act: Literal["close", "reopen"]) -> None:
        """Close or reopen an account: whoever is logged in there is logged out."""
        await self._ask(token, "POST", f"{_path(name)}/{act}", json={})

    async def set_password(self, token: str, name: str, password: str) -> None:
        """Set a password, and log out whoever used the old one."""
        await self._ask(token, "POST", f"{_path(name)}/password", json={"password": password})

    async def set_groups(self, token: str, name: str, groups: Sequence[str]) -> None:
        """Let these be the groups of a person, and no others."""
        try:
            await self._ask(token, "POST", f"{_path(name)}/groups", json={"groups": list(groups)})
        except NoPasswords:
            await self._put_into(token, name, groups)
            before = (await self.account(token, name)).groups
            for group in set(before) - set(groups):
                await self._ask(token, "DELETE", f"{_group_path(group)}/users", json={"users": [name]})

    async def _ask(self, token: str, method: str, path: str, **keywords: Any) -> Any:
        answer = await self._exchange(token, method, path, **keywords)
        if answer.status >= 400:
            raise _refusal(answer, path)
        return answer.body

    async def _exchange(
        self, token: str, method: str, path: str, *, headers: Mapping[str, str] | None = None, **keywords: Any
    ) -> Answer:
        sent = {"Authorization": f"token {token}", **(headers or {})}
        try:
            return await exchange(self._http, method, path, headers=sent, **keywords)
        except (NotSent, NoAnswer) as error:
            raise _unreachable(str(error)) from error


def _path(name: str) -> str:
    return f"{OURS}/{quote(name, safe='')}"


def _user_path(name: str) -> str:
    return f"users/{quote(name, safe='')}"


def _group_path(group: str) -> str:
    return f"groups/{quote(group, safe='')}"


def _account(model: Any) -> Account:
    seen = model["last_activity"]
    at = datetime.fromisoformat(seen.replace("Z", "+00:00")).timestamp() if seen else None
    return Account(model["name"], model["admin"], tuple(model["groups"]), model["account"], at)


def _refusal(answer: Answer, path: str) -> MLabError:
    said = plain(answer.sentence)
    if answer.status == 404 and said.startswith("There is no "):
        return NotFound(said)
    if answer.status == 404:
        # The hub's own word for an address that it has no call for is the bare status.
        return NoPasswords(ELSEWHERE) if path.startswith("mlabhub/") else NotFound(NO_USER)
    if answer.status in (401, 403):
        return NotPermitted(MAY_NOT, log_text=said)
    if answer.status < 500:
        return LaunchRefused(said or MAY_NOT)
    return _unreachable(said or f"HTTP {answer.status}")


def _unreachable(reason: str) -> MLabError:
    return Unavailable(
        Message.of(N_("The hub cannot be asked now ({reason}). Try again in a minute."), reason=reason),
        log_text=f"hub: {reason}",
    )
