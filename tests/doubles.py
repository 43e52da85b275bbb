"""Small real implementations of the service's outside: a hub, its logins, a backend. They keep state and can fail.

`ScriptedHub` starts servers through a spawner that asks the service as ours does, so that whole flows run in one
process without containers; everything that tests want to go wrong is an attribute.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from jupyterhub.services.auth import HubOAuth

from mlabhub.client import Account, AccountsPage, HubServer, HubUser
from mlabhub.client.accounts import Opened
from mlabhub.core.capacity import Capacity, Gpu, Node
from mlabhub.engine.origin import WantedImage
from mlabhub.engine.own import OwnImage
from mlabhub.errors import LaunchRefused, MLabError, NotFound, Unavailable
from mlabhub.inventory import BackendServer, BackendUnreachable, SavedLayer
from mlabhub.inventory.backend import NO_LOG
from mlabhub.inventory.images import Images, Missing, Report
from mlabhub.messages import Message

Spawn = Callable[[str, str, dict[str, Any]], Awaitable[None]]


def make_node(
    name: str = "n1", gpus: int = 8, gpu_type: str = "a100", cpu: float = 64.0, memory_gib: float = 512.0
) -> Node:
    """Return a machine with simulated GPUs."""
    found = tuple(
        Gpu(f"GPU-{name}-{gpu_type}-{number}", gpu_type, name, gpu_type.upper(), 80.0, simulated=True)
        for number in range(gpus)
    )
    return Node(name, cpu, memory_gib, found)


@dataclass
class ScriptedHub:
    """A hub that knows some users. ``spawn`` is what its spawner does; it may raise the refusal that the hub shows."""

    users: dict[str, HubUser] = field(default_factory=dict)
    servers: dict[tuple[str, str], HubServer] = field(default_factory=dict)
    spawn: Spawn | None = None
    fault: Exception | None = None
    stop_takes: Callable[[str, str], Awaitable[None]] | None = None
    calls: list[str] = field(default_factory=list)
    starts: int = 0
    told: Message | None = None
    empty_groups: tuple[str, ...] = ()

    def add_user(self, name: str, *groups: str, admin: bool = False) -> None:
        """Let the hub know a user."""
        self.users[name] = HubUser(name, admin, groups)

    async def user(self, name: str, *, stopped: bool = False) -> HubUser:
        """Return one user with their servers."""
        self._note(f"user {name}")
        if name not in self.users:
            raise NotFound(f"The hub has no user {name}.")
        own = (one for (user, _), one in self.servers.items() if user == name)
        return replace(self.users[name], servers=tuple(one for one in own if stopped or one.active))

    async def active_servers(self) -> tuple[HubServer, ...]:
        """Return the active servers."""
        self._note("active_servers")
        return tuple(one for one in self.servers.values() if one.active)

    async def groups(self) -> tuple[str, ...]:
        """Return the groups of all users, and those that have nobody."""
        self._note("groups")
        return tuple(dict.fromkeys([*self.empty_groups, *(one for user in self.users.values() for one in user.groups)]))

    async def start(self, user: str, server: str, *, display_name: str, user_options: dict[str, Any]) -> None:
        """Start a server as the hub does: pending, spawner, ready."""
        self._note(f"start {user}/{server}")
        self.starts += 1
        if user not in self.users:
            raise NotFound(f"The hub has no user {user}.")
        known = self.servers.get((user, server))
        if known is not None and known.pending == "spawn":
            return
        if known is not None and known.ready:
            raise LaunchRefused(f"{user}:{server} is already running")
        one = HubServer(user, server, display_name, pending="spawn", user_options=user_options)
        self.servers[user, server] = one
        try:
            if self.spawn is not None:
                await self.spawn(user, server, user_options)
        except BaseException:
            self.servers[user, server] = replace(one, pending=None)
            raise
        self.servers[user, server] = replace(one, pending=None, ready=True)

    async def stop(self, user: str, server: str) -> None:
        """Stop a server; fine if it does not run."""
        self._note(f"stop {user}/{server}")
        known = self.servers.get((user, server))
        if known is None:
            return
        self.servers[user, server] = replace(known, ready=False, pending="stop")
        if self.stop_takes is not None:
            await self.stop_takes(user, server)
        self.servers[user, server] = replace(known, ready=False, pending=None)

    async def last_told(self, user: str, server: str) -> Message | None:
        """Return what the spawner said last."""
        return self.told

    def lose(self, user: str, server: str) -> None:
        """Forget a server, as a hub does that was killed before it saved its state."""
        self.servers.pop((user, server), None)

    def _note(self, call: str) -> None:
        self.calls.append(call)
        if self.fault is not None:
            raise self.fault


@dataclass
class ScriptedAccounts:
    """The accounts of a `ScriptedHub`: ``passwords`` by name; who is ``shut`` may not log in.

    ``fault`` makes every call fail; the calls say whose token came with them.
    """

    hub: ScriptedHub
    passwords: dict[str, str] = field(default_factory=dict)
    shut: set[str] = field(default_factory=set)
    asked: tuple[str, ...] = ()
    fault: MLabError | None = None
    calls: list[str] = field(default_factory=list)

    async def page(self, token: str, search: str, offset: int, limit: int) -> AccountsPage:
        """Return those whose name has ``search`` in it, or the members of a group."""
        self._note(token, "page")
        group = search.removeprefix("group:")
        found = [
            name
            for name, user in sorted(self.hub.users.items())
            if (group in user.groups if group != search else search in name)
        ]
        accounts = tuple(self._account(name) for name in found[offset : offset + limit])
        return AccountsPage(accounts, len(found), self.asked)

    async def groups(self, token: str) -> tuple[str, ...]:
        """Return the names of all groups."""
        self._note(token, "groups")
        return await self.hub.groups()

    async def account(self, token: str, name: str) -> Account:
        """Return one account."""
        self._note(token, f"account {name}")
        self._require(name)
        return self._account(name)

    async def open(self, token: str, name: str, *, groups: Sequence[str], admin: bool, password: str | None) -> Opened:
        """Open an account; what is there stays."""
        self._note(token, f"open {name}")
        known = self.hub.users.get(name, HubUser(name, False, ()))
        together = tuple(dict.fromkeys((*known.groups, *groups)))
        self.hub.users[name] = replace(known, admin=known.admin or admin, groups=together)
        if name in self.shut or name in self.asked:
            self.shut.discard(name)
            return "approved"
        if name in self.passwords:
            return "already"
        assert password is not None
        self.passwords[name] = password
        return "opened"

    async def act(self, token: str, name: str, act: Literal["close", "reopen"]) -> None:
        """Close or reopen an account."""
        self._note(token, f"{act} {name}")
        self._require(name)
        (self.shut.add if act == "close" else self.shut.discard)(name)

    async def set_password(self, token: str, name: str, password: str) -> None:
        """Set a password."""
        self._note(token, f"password {name}")
        self._require(name)
        self.passwords[name] = password

    async def set_groups(self, token: str, name: str, groups: Sequence[str]) -> None:
        """Set the groups."""
        self._note(token, f"groups {name}")
        self._require(name)
        self.hub.users[name] = replace(self.hub.users[name], groups=tuple(groups))

    def _account(self, name: str) -> Account:
        user = self.hub.users[name]
        return Account(name, user.admin, user.groups, "shut" if name in self.shut else "open")

    def _require(self, name: str) -> None:
        if name not in self.hub.users:
            raise NotFound(f"There is no account {name!r}.")

    def _note(self, token: str, call: str) -> None:
        self.calls.append(f"{token}: {call}")
        if self.fault is not None:
            raise self.fault


@dataclass
class ScriptedBackend:
    """Machines with servers on them; ``down`` makes every question fail."""

    nodes: tuple[Node, ...] = (make_node(),)
    running: dict[str, BackendServer] = field(default_factory=dict)
    kept: dict[tuple[str, str], SavedLayer] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    down: bool = False
    before_servers: Callable[[], None] | None = None
    images: Images | None = None
    logs: dict[tuple[str, str], list[bytes]] = field(default_factory=dict)
    ended: bool = False
    """Whether the logs' servers have."""

    def run(
        self, launch_id: str, user: str, server: str, gpus: tuple[str, ...] = (), state: str = "running"
    ) -> BackendServer:
        """Put a server on the machine."""
        one = BackendServer(launch_id, user, server, state, 1.0, gpus, f"c-{launch_id}")  # type: ignore[arg-type]
        self.running[launch_id] = one
        return one

    async def capacity(self) -> Capacity:
        """Return the machines."""
        self._answer()
        return Capacity(self.nodes)

    async def servers(self) -> tuple[BackendServer, ...]:
        """Return what runs."""
        self._answer()
        if self.before_servers is not None:
            self.before_servers()
        return tuple(self.running.values())

    async def lost(self, launch_id: str) -> Message | None:
        """Return why nobody can tell whether a server still runs."""
        self._answer()
        one = self.running.get(launch_id)
        return one.lost if one is not None else None

    async def remove(self, server: BackendServer) -> None:
        """Remove a server, keeping its layer."""
        self._answer()
        if self.running.pop(server.launch_id, None) is not None:
            self.removed.append(server.launch_id)
            layer = SavedLayer(server.user, server.server_name, "base", False)
            self.kept[server.user, server.server_name] = layer

    async def saved(self, user: str) -> tuple[SavedLayer, ...]:
        """Return a user's layers."""
        self._answer()
        return tuple(layer for (owner, _), layer in self.kept.items() if owner == user)

    async def reset(self, user: str, server_name: str) -> None:
        """Forget a layer."""
        self._answer()
        self.kept.pop((user, server_name), None)

    async def log(self, user: str, server_name: str, *, follow: bool = False) -> AsyncIterator[bytes]:
        """Yield what a server wrote; with ``follow``, also what is written until it ends."""
        self._answer()
        written = self.logs.get((user, server_name))
        if written is None:
            raise NotFound(NO_LOG)
        at = 0
        while True:
            while at < len(written):
                at += 1
                yield written[at - 1]
            if not follow or self.ended:
                return
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        """Nothing is open."""

    def _answer(self) -> None:
        if self.down:
            raise BackendUnreachable("The engine does not answer.")


class KnownTokens(HubOAuth):
    """The hub's word on tokens, without the hub: a dictionary of user models."""

    models: dict[str, dict[str, Any]]

    def vouch(
        self, token: str, name: str, *groups: str, admin: bool = False, scopes: tuple[str, ...] = (), kind: str = "user"
    ) -> None:
        """Let a token stand for someone."""
        access = "access:services!service=mlabhub"
        self.models[token] = {
            "kind": kind,
            "name": name,
            "admin": admin,
            "groups": list(groups),
            "scopes": [access, *scopes] if "none" not in scopes else [],
        }

    async def _check_hub_authorization(
        self, url: str, api_token: str, cache_key: str | None = None, use_cache: bool = True
    ) -> dict[str, Any] | None:
        await asyncio.sleep(0)
        return self.models.get(api_token)


def unreachable() -> Unavailable:
    """Return the error of a hub that does not answer."""
    return Unavailable("The hub cannot be asked now (connection refused).")


@dataclass
class ScriptedImages:
    """Images of a machine: what is ``here``, and what ``registries`` have: a sentence is why they do not give it."""

    here: set[str] = field(default_factory=set)
    registries: dict[str, str] = field(default_factory=dict)
    pulled: list[str] = field(default_factory=list)
    owned: dict[str, tuple[OwnImage, ...]] = field(default_factory=dict)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    down: bool = False

    async def missing(self, wanted: WantedImage) -> Missing | None:
        """Return what is not here."""
        if self.down:
            raise BackendUnreachable("The engine does not answer.")
        return None if wanted.reference in self.here else Missing(wanted.reference)

    async def pull(self, reference: str, report: Report) -> None:
        """Fetch half of an image, wait to be told to go on, and fetch the rest."""
        self.pulled.append(reference)
        report(50.0, Message("1 of 2 layers"))
        await self.go_on.wait()
        if reference not in self.registries or self.registries[reference]:
            raise MLabError(self.registries.get(reference, "There is no such image."))
        self.here.add(reference)

    async def unpack(self) -> None:
        """Do nothing: nothing is ever packed here."""

    async def own(self, user: str) -> tuple[OwnImage, ...]:
        """Return a user's images."""
        return self.owned.get(user, ())

    async def save(self, user: str, server_name: str, name: str, description: str) -> OwnImage:
        """Save a server."""
        image = OwnImage(name, user, f"own:{name}", "id", "base", description, 1.0, 5, root=False, outside=False)
        self.owned[user] = (*self.owned.get(user, ()), image)
        return image

    async def remove(self, user: str, name: str) -> None:
        """Delete an image."""
        if all(one.name != name for one in self.owned.get(user, ())):
            raise NotFound("There is no saved image of that name.")
        self.owned[user] = tuple(one for one in self.owned[user] if one.name != name)
