"""Client of the hub's API, as the service needs it: who a user is, which servers there are, start one, stop one.

Guarantees: every page of a list is read, and a user whom the hub repeats counts once. A list may still miss a user
who moved between two pages, so absence from it proves nothing: ask for the user before acting on absence.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, TypeVar
from urllib.parse import quote

import httpx

from mlabhub.client.transport import Answer, NoAnswer, NotSent, exchange, make_http
from mlabhub.core.quote import plain
from mlabhub.errors import LaunchRefused, MLabError, NotFound, NotPermitted, Unavailable
from mlabhub.messages import N_, Message, read_message

T = TypeVar("T")
_PAGE = 200
_TOLD_SECONDS = 5.0
_QUIET_SECONDS = 0.5
_MOST_LISTENING = 8
_PAGINATION = {"Accept": "application/jupyterhub-pagination+json"}


@dataclass(frozen=True)
class HubServer:
    """A server as the hub sees it. ``pending`` is what the hub is doing with it: spawn, stop, check, or nothing.

    ``last_activity`` (seconds since the epoch) is None where the hub does not know it.
    """

    user: str
    name: str
    display_name: str = ""
    pending: str | None = None
    ready: bool = False
    url: str = ""
    started: str | None = None
    user_options: dict[str, Any] = field(default_factory=dict, hash=False)
    last_activity: float | None = None

    @property
    def active(self) -> bool:
        """Return whether it runs, or is on its way up or down."""
        return self.ready or self.pending is not None

    @property
    def launch_id(self) -> str | None:
        """Return the launch it was started with, if it came through the service's launch."""
        value = self.user_options.get("launch_id")
        return value if isinstance(value, str) else None


@dataclass(frozen=True)
class HubUser:
    """A user as the hub sees them, with the servers that were asked for (active ones, or all)."""

    name: str
    admin: bool
    groups: tuple[str, ...]
    servers: tuple[HubServer, ...] = ()

    def server(self, name: str) -> HubServer | None:
        """Return the server of that name, if the hub told of it."""
        return next((server for server in self.servers if server.name == name), None)


class HubClient:
    """Talks to the hub's API with the service's token."""

    def __init__(self, hub_url: str, token: str, *, timeout_s: float = 30.0):
        self._http = make_http(hub_url.rstrip("/") + "/api/", f"token {token}", timeout_s=timeout_s)
        self._listening = 0

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def user(self, name: str, *, stopped: bool = False) -> HubUser:
        """Return one user and their active servers (``stopped``: all of them). Raises `NotFound`."""
        parameters = {"include_stopped_servers": "1"} if stopped else {}
        answer = await self._ask("GET", f"users/{quote(name, safe='')}", params=parameters)
        if answer.status == 404:
            raise NotFound(_no_user(name), user=name)
        return _user(_good(answer))

    async def active_servers(self) -> tuple[HubServer, ...]:
        """Return every server that runs or is on its way up or down."""
        users = {user.name: user async for user in self._all("users", _user, {"state": "active"})}
        return tuple(server for user in users.values() for server in user.servers if server.active)

    async def groups(self) -> tuple[str, ...]:
        """Return the names of all groups."""
        names = [name async for name in self._all("groups", lambda model: str(model["name"]), {})]
        return tuple(dict.fromkeys(names))

    async def _all(self, path: str, read: Callable[[Any], T], parameters: dict[str, str]) -> AsyncIterator[T]:
        """Yield every item of a list, page by page."""
        offset: int | None = 0
        while offset is not None:
            query = {**parameters, "offset": str(offset), "limit": str(_PAGE)}
            page = _good(await self._ask("GET", path, params=query, headers=_PAGINATION))
            try:
                items = [read(item) for item in page["items"]]
                following = page["_pagination"]["next"]
                offset = int(following["offset"]) if following else None
            except (KeyError, TypeError, ValueError) as error:
                raise _unreachable(f"a page of {path} without {error}") from error
            for item in items:
                yield item

    async def start(self, user: str, server: str, *, display_name: str, user_options: dict[str, Any]) -> None:
        """Ask the hub to start a server. Its answer is no proof of anything: the spawner's word counts.

        Raises `LaunchRefused`, `NotPermitted` or `NotFound` with the hub's own sentence, `NotSent` when the hub never
        got the request, `NoAnswer` when nobody knows whether it did.
        """
        body = {"display_name": display_name, "user_options": user_options}
        answer = await exchange(self._http, "POST", _server_path(user, server), json=body)
        if answer.status == 404:
            raise NotFound(_no_user(user), user=user)
        if answer.status >= 400:
            kind = NotPermitted if answer.status == 403 else LaunchRefused
            raise kind(answer.sentence or _refused(answer.status), hub_status=answer.status)

    async def stop(self, user: str, server: str) -> None:
        """Ask the hub to stop a server; fine if it does not run. Raises `Unavailable` if the hub cannot be asked."""
        answer = await self._ask("DELETE", _server_path(user, server))
        if answer.status != 404:
            _good(answer)

    async def last_told(self, user: str, server: str) -> Message | None:
        """Return the last sentence of a start that is going on; None if there is none, or the hub does not say.

        The hub tells all sentences so far at once and then waits for the next, so this ends with the first silence.
        While many ask at once, as a class does that starts together, most get None: the hub has starts to make.
        """
        if self._listening >= _MOST_LISTENING:
            return None
        self._listening += 1
        try:
            return await self._listen(user, server)
        finally:
            self._listening -= 1

    async def _listen(self, user: str, server: str) -> Message | None:
        told: Message | None = None
        path = f"{_server_path(user, server)}/progress"
        with contextlib.suppress(httpx.HTTPError, asyncio.TimeoutError, StopAsyncIteration):
            async with self._http.stream("GET", path, timeout=_TOLD_SECONDS) as response:
                lines = response.aiter_lines()
                while response.is_success:
                    told = _said(await asyncio.wait_for(anext(lines), _QUIET_SECONDS)) or told
        return told

    async def _ask(self, method: str, path: str, **keywords: Any) -> Answer:
        try:
            return await exchange(self._http, method, path, **keywords)
        except (NotSent, NoAnswer) as error:
            raise _unreachable(str(error)) from error


def _good(answer: Answer) -> Any:
    if answer.status >= 400:
        raise _unreachable(answer.sentence or f"HTTP {answer.status}")
    return answer.body


def _user(model: Any) -> HubUser:
    try:
        name = str(model["name"])
        servers = model.get("servers") or {}
        return HubUser(
            name=name,
            admin=bool(model.get("admin", False)),
            groups=tuple(str(group) for group in model.get("groups") or ()),
            servers=tuple(_server(name, server) for server in servers.values()),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise _unreachable(f"a user model without {error}") from error


def _server(user: str, model: dict[str, Any]) -> HubServer:
    options = model.get("user_options")
    return HubServer(
        user=user,
        name=str(model["name"]),
        display_name=str(model.get("display_name") or ""),
        pending=str(model["pending"]) if model.get("pending") else None,
        ready=bool(model.get("ready")),
        url=str(model.get("url") or ""),
        started=model.get("started"),
        user_options=options if isinstance(options, dict) else {},
        last_activity=_moment(model.get("last_activity")),
    )


def _moment(value: Any) -> float | None:
    """Return a time of the hub's, ``2026-11-26T21:00:00.123456Z``, in seconds since the epoch; None if it is none."""
    try:
        found = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except (AttributeError, ValueError):
        return None
    return (found if found.tzinfo is not None else found.replace(tzinfo=timezone.utc)).timestamp()


def _said(line: str) -> Message | None:
    """Return the sentence in a line of a start's progress, if the spawner put one there."""
    try:
        event = json.loads(line.removeprefix("data:"))
        return read_message(event["said"])
    except (ValueError, KeyError, TypeError):
        return None


def _server_path(user: str, server: str) -> str:
    owner = f"users/{quote(user, safe='')}"
    return f"{owner}/servers/{quote(server, safe='')}" if server else f"{owner}/server"


def _no_user(name: str) -> Message:
    return Message.of(N_("The hub has no user {user}. People appear there after their first login."), user=plain(name))


def _refused(status: int) -> Message:
    return Message.of(N_("The hub refused to start the server, without a reason (HTTP {status})."), status=status)


def _unreachable(reason: str) -> MLabError:
    return Unavailable(
        Message.of(N_("The hub cannot be asked now ({reason}). Try again in a minute."), reason=reason),
        log_text=f"hub: {reason}",
    )
