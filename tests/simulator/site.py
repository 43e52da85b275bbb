"""A made site: machines, a hub with spawners, and the lines between them and the service, on which anything may happen.

What goes wrong is drawn from the story's chances (`Chances`): each question or message may be slow, lost on the way
there or back, or delivered twice; the hub may be killed in the middle of anything; machines fall silent, are closed,
lose and get GPUs; containers end by themselves, and starts die in every stage.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from mlabhub.client import HubServer, HubUser
from mlabhub.client.transport import NoAnswer, NotSent
from mlabhub.core.capacity import Node
from mlabhub.errors import LaunchRefused, MLabError, NotFound, Unavailable
from mlabhub.inventory import BackendServer, BackendUnreachable
from mlabhub.messages import Message
from mlabhub.service.bodies import ReleasedBody, ReserveBody
from mlabhub.service.desk import SpawnerDesk
from tests.doubles import ScriptedBackend, unreachable
from tests.simulator.laws import Accounts

T = TypeVar("T")
Key = tuple[str, str]
Tell = Callable[[str, Callable[[SpawnerDesk], Awaitable[Any]]], Awaitable[Any]]
HUB_ANSWERS_S = 10.0
POLL_S = 30.0


@dataclass
class Chances:
    """How likely what goes wrong is; ``off`` are kinds that do not happen in this story."""

    dice: random.Random
    off: frozenset[str] = frozenset()
    rates: dict[str, float] = field(default_factory=dict)
    calm: bool = False

    def __call__(self, kind: str) -> bool:
        """Whether it happens now."""
        rate = self.rates.get(kind, 0.0)
        return self.dice.random() < rate and kind not in self.off and not self.calm

    def pause(self) -> float:
        """Return how long something takes."""
        if self.calm:
            return 0.05
        return self.dice.choice((0.0, 0.0, 0.01, 0.2, 1.0, 4.0)) if "slow" not in self.off else 0.0


class Machines(ScriptedBackend):
    """The backend. ``doubtful``: what it says is as slow and as lost as the chances have it."""

    def __init__(self, nodes: tuple[Node, ...], accounts: Accounts):
        super().__init__(nodes=nodes)
        self.accounts = accounts

    def start(self, launch_id: str, key: Key, plan: dict[str, Any], gpus: tuple[str, ...]) -> None:
        """Run a server as its plan says."""
        node = next((one for one in self.nodes if one.name == plan["node"]), None)
        if node is None or self.down:
            raise BackendUnreachable("The engine does not answer.")
        self.accounts.runs(launch_id, node, gpus, plan["cpu"], plan["memory_gib"])
        one = BackendServer(
            *(launch_id, *key, "running", 1.0, gpus, f"c-{launch_id}"),  # type: ignore[arg-type]
            node=node.name,
            cpu=plan["cpu"],
            memory_gib=plan["memory_gib"],
        )
        self.running[launch_id] = one

    def end(self, launch_id: str) -> bool:
        """Let a server be gone; whether it was there."""
        self.accounts.ends(launch_id)
        return self.running.pop(launch_id, None) is not None

    async def remove(self, server: BackendServer) -> None:
        """Remove what a look found."""
        self._answer()
        if self.end(server.launch_id):
            self.removed.append(server.launch_id)

    def exits(self, launch_id: str) -> None:
        """Let a server end by itself; its container stays until it is removed."""
        self.running[launch_id] = replace(self.running[launch_id], state="exited")
        self.accounts.ends(launch_id)

    def of(self, key: Key) -> list[BackendServer]:
        """Return what is there of a server."""
        return [one for one in self.running.values() if (one.user, one.server_name) == key]


class Hub:
    """A hub: people, their servers, and spawners that do what ours do. ``killed`` takes all that it does along."""

    def __init__(
        self, machines: Machines, chances: Chances, tell: Tell, wall: Callable[[], float], make_id: Callable[[], str]
    ):
        self.users: dict[str, HubUser] = {}
        self.servers: dict[Key, HubServer] = {}
        self.tasks: dict[asyncio.Task[None], Key] = {}
        self.up = True
        self.silent = False
        self._machines = machines
        self._chances = chances
        self._tell = tell
        self._wall = wall
        self._make_id = make_id

    # -- what the service asks, as `mlabhub.client.HubClient` answers it

    async def user(self, name: str, *, stopped: bool = False) -> HubUser:
        """Return a person with their servers."""
        self._answers()
        if name not in self.users:
            raise NotFound(f"The hub has no user {name}.")
        own = (one for (user, _), one in self.servers.items() if user == name)
        return replace(self.users[name], servers=tuple(one for one in own if stopped or one.active))

    async def active_servers(self) -> tuple[HubServer, ...]:
        """Return what is active."""
        self._answers()
        return tuple(one for one in self.servers.values() if one.active)

    async def groups(self) -> tuple[str, ...]:
        """Return the groups."""
        self._answers()
        return tuple(dict.fromkeys(one for user in self.users.values() for one in user.groups))

    async def last_told(self, user: str, server: str) -> Message | None:
        """Nothing is told."""
        return None

    async def start(self, user: str, server: str, *, display_name: str, user_options: dict[str, Any]) -> None:
        """Start a server; the answer comes after a while, whether it runs by then or not."""
        if not self.up:
            raise NotSent("connection refused")
        if self.silent:
            raise NoAnswer("timed out")
        if user not in self.users:
            raise NotFound(f"The hub has no user {user}.")
        if self._chances("hub refuses"):
            raise LaunchRefused("Too many users try to log in right now.", hub_status=429)
        known = self.servers.get((user, server))
        if known is not None and known.pending is not None:
            raise LaunchRefused(f"{user}:{server} is pending {known.pending}", hub_status=400)
        if known is not None and known.ready:
            raise LaunchRefused(f"{user}:{server} is already running", hub_status=400)
        one = HubServer(user, server, display_name, pending="spawn", user_options=dict(user_options))
        self.servers[user, server] = one
        await self._wait_for(self._begin((user, server), self._spawn(one)))

    async def stop(self, user: str, server: str) -> None:
        """Stop a server; fine if it does not run."""
        self._answers()
        known = self.servers.get((user, server))
        if known is None or not known.active:
            return
        if known.pending is not None:
            if known.pending == "spawn":
                raise Unavailable(f"{user}:{server} is pending spawn")
            return
        self.servers[user, server] = replace(known, pending="stop")
        try:
            await self._wait_for(self._begin((user, server), self._end(user, server)))
        except NoAnswer:
            raise unreachable() from None

    # -- what happens to it

    def kill(self) -> None:
        """Kill the hub: what it was doing is not finished, and it does not answer."""
        self.up = False
        for task in tuple(self.tasks):
            task.cancel()

    def come_back(self) -> None:
        """Start it again: it knows the servers that it had saved."""
        if self.up:
            return
        self.up = True
        for key, one in list(self.servers.items()):
            if one.pending == "spawn":
                self.servers[key] = replace(one, pending=None, ready=False)
            elif one.pending == "stop":
                self.servers[key] = replace(one, pending=None)

    def poll(self) -> None:
        """Notice the servers that ended by themselves, and clean up."""
        for key, one in list(self.servers.items()):
            if self.up and one.ready and one.pending is None and not self._runs(key):
                self.servers[key] = replace(one, pending="stop")
                self._begin(key, self._end(*key))

    def _runs(self, key: Key) -> bool:
        return any(one.state == "running" for one in self._machines.of(key))

    # -- what spawners do

    async def _spawn(self, one: HubServer) -> None:
        key = (one.user, one.name)
        try:
            await self._start(one)
        except MLabError:
            self.servers[key] = replace(self.servers[key], pending=None)
            raise
        self.servers[key] = replace(self.servers[key], pending=None, ready=True, last_activity=self._wall())

    async def _start(self, one: HubServer) -> None:
        """Redeem, run, confirm; what goes wrong after the redemption is undone, as our spawners do."""
        key, options = (one.user, one.name), one.user_options
        groups = list(self.users[one.user].groups)
        body = ReserveBody(launch_id=self._make_id(), user_options=options, groups=groups, deadline=60.0)
        await asyncio.sleep(self._chances.pause())
        answer = await self._tell("reserve", lambda desk: desk.reserve(*key, body))
        if answer["decision"] == "refuse":
            raise LaunchRefused(answer["reasons"][0]["message"])
        launch_id = answer["launch_id"]
        try:
            for old in self._machines.of(key):
                self._machines.end(old.launch_id)
            await asyncio.sleep(self._chances.dice.choice((0.5, 3.0, 20.0)) if not self._chances.calm else 0.5)
            if self._chances("start dies"):
                raise MLabError("The image is gone.")
            self._machines.start(launch_id, key, answer["plan"], tuple(answer["placement"]["gpus"]))
            await asyncio.sleep(self._chances.pause())
            await self._tell("held", lambda desk: desk.held(*key, launch_id))
        except MLabError as error:
            self._machines.end(launch_id)
            reason = str(error) if self._chances.dice.random() < 0.3 else ""
            await self._tell_released(key, launch_id, reason)
            raise

    async def _end(self, user: str, server: str) -> None:
        key = (user, server)
        await asyncio.sleep(self._chances.dice.choice((0.2, 2.0, 15.0)) if not self._chances.calm else 0.2)
        if self._chances("stop fails"):
            self.servers[key] = replace(self.servers[key], pending=None)
            return
        for one in self._machines.of(key):
            self._machines.end(one.launch_id)
            await self._tell_released(key, one.launch_id, "")
        self.servers[key] = replace(self.servers[key], pending=None, ready=False)

    async def _tell_released(self, key: Key, launch_id: str, reason: str) -> None:
        body = ReleasedBody(launch_id=launch_id, reason=reason)
        try:
            await self._tell("released", lambda desk: desk.released(*key, body))
        except MLabError:
            return  # nobody waits for that answer; the reconciler sees it

    # -- how it works

    def _begin(self, key: Key, doing: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(doing, name=f"hub {key}")
        self.tasks[task] = key
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[None]) -> None:
        del self.tasks[task]
        if not task.cancelled():
            task.exception()

    async def _wait_for(self, task: asyncio.Task[None]) -> None:
        """Answer when it is done, or after a while."""
        done, _ = await asyncio.wait({task}, timeout=HUB_ANSWERS_S)
        if task.cancelled():
            raise NoAnswer("the connection was closed")
        if done:
            task.result()

    def _answers(self) -> None:
        if not self.up or self.silent:
            raise unreachable()
