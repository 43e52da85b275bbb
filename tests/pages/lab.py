"""A lab as it might be this afternoon: the whole service over a real ledger, for pictures and for eyes on every page.

Two groups share three machines; what they ran for two weeks, who waits, and how busy each GPU was for a day is made by
`lab_past`. Hub and machines are doubles, the driver is one that knows; all else is as in production.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from jupyterhub.services.auth import HubOAuth
from tornado.httpserver import HTTPServer
from tornado.web import StaticFileHandler

from mlabhub.client import HubServer
from mlabhub.core.capacity import Node
from mlabhub.core.readings import Reading, Watched
from mlabhub.ledger import SqlLedger, open_ledger
from mlabhub.service.app import login_options, loops_of, make_service, open_world
from mlabhub.service.idle.sources import Sources
from mlabhub.service.world import World
from mlabhub.settings import Settings
from tests.doubles import KnownTokens, ScriptedAccounts, ScriptedBackend, ScriptedHub, make_node
from tests.installation import CHECKOUT, free_port
from tests.pages.lab_past import ADMIN, NOW, PEOPLE, Work, fill, launches, percent_at
from tests.pages.site import HUB_STATIC, Landing, LoginAs, Logo

EXAMPLE = CHECKOUT / "docs" / "examples" / "two-groups"
QUOTAS = """
groups:
  vision: {guaranteed: {"gpu:a100": 6}, limit: {"gpu:a100": 8, gpu: 12}}
  nlp: {guaranteed: {"gpu:a100": 6}, limit: {"gpu:a100": 10, gpu: 12}}
users:
  default: {servers: 6, gpu: 8, soft: [gpu]}
privacy: open
"""
ROUND_S = 5.0


@dataclass(frozen=True)
class Lab:
    """The service on a port of its own; ``subjects`` are what the pages of the table are about."""

    world: World
    origin: str
    url: str
    subjects: dict[str, str]


class Driver:
    """Tells of all GPUs and cores what `lab_past` made of them."""

    def __init__(self, works: dict[str, tuple[int, Work]]):
        self._works = works

    async def sample(self, watched: Iterable[Watched], now: float) -> tuple[Reading, ...]:
        """Return readings."""
        return tuple(self._reading(one, now) for one in watched)

    def _reading(self, one: Watched, now: float) -> Reading:
        number, work = self._works[one.launch_id]
        percent, count = percent_at(work, 0.0, number), len(one.gpus)
        cores = 0.6 * work.gpus if percent else 0.02
        memory = 30e9 if percent else 2e9
        return Reading(one.server, one.launch_id, now, (percent,) * count, (memory,) * count, cores, ROUND_S)


@asynccontextmanager
async def open_lab(folder: Path) -> AsyncIterator[Lab]:
    """Run the lab in a folder until it is left; all loops of the service go on meanwhile."""
    settings, now = make_settings(folder), time.time()
    ledger = open_ledger(settings)
    assert isinstance(ledger, SqlLedger)
    fill(ledger, now)
    ledger.close()
    hub, backend, works = make_outside(settings, now)
    async with open_world(settings, hub=hub, backend=backend) as world:
        world.watch._sources = Sources([Driver(works)])
        logins, accounts = make_logins(settings), ScriptedAccounts(hub)
        service = make_service(world, hub_auth=logins, spawner_secret="s" * 32, accounts=accounts)
        service.application.settings["servers_pages"] = {}
        service.application.add_handlers(
            r".*",
            [
                (r"/hub/static/(.+)", StaticFileHandler, {"path": str(HUB_STATIC)}),
                (r"/hub/logo", Logo),
                (r"/login-as/([\w-]+)", LoginAs),
                (r"/((?:user|hub)/.*)", Landing),
            ],
        )
        server = HTTPServer(service.application)
        server.listen(settings.service_port, "127.0.0.1")
        await settle(world)
        tasks = [asyncio.create_task(run(), name=name) for name, run in loops_of(service).items() if name != "watch"]
        await world.queue.round_now()
        origin = f"http://127.0.0.1:{settings.service_port}"
        yield Lab(
            world,
            origin,
            origin + settings.service_prefix,
            {**launches(), "group": "vision", "profile": "train", "user": "mei"},
        )
        server.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.close_all_connections()


def make_settings(folder: Path) -> Settings:
    """Write the configuration of the example in the documentation, with quotas for three machines."""
    config, nas = folder / "config", folder / "nas"
    config.mkdir(parents=True)
    for name in ("images.yaml", "profiles.yaml"):
        shutil.copy(EXAMPLE / name, config / name)
    (config / "quotas.yaml").write_text(QUOTAS)
    for person in PEOPLE:
        (nas / "user" / person).mkdir(parents=True)
    for group in ("vision", "nlp"):
        (nas / "share" / group).mkdir(parents=True)
    (config / "storage.yaml").write_text(f"user_root: {nas}/user\nshare_root: {nas}/share\n")
    port = free_port()
    settings = Settings(
        instance="1ab00009",
        state_dir=folder / "state",
        config_dir=config,
        backend="container",
        public_url=f"http://127.0.0.1:{port}/",
        hub_port=1,
        proxy_api_port=2,
        service_port=port,
    )
    settings.secrets_dir.mkdir(parents=True, mode=0o700)
    settings.spawner_secret_file.write_text("s" * 32)
    settings.service_token_file.write_text(secrets.token_hex(16))
    return settings


def make_outside(settings: Settings, now: float) -> tuple[ScriptedHub, ScriptedBackend, dict[str, tuple[int, Work]]]:
    """Return hub and machines on which everything runs, and by launch what it is."""
    nodes = (make_node("gpu1"), make_node("gpu2"), make_node("gpu3", gpu_type="t4"))
    hub, backend = ScriptedHub(), ScriptedBackend(nodes=tuple(map(real, nodes)))
    for name, groups in PEOPLE.items():
        hub.add_user(name, *groups, admin=name == ADMIN)
    ledger = open_ledger(settings)
    reservations = {(one.user, one.server): one for one in ledger.load(now).reservations}
    ledger.close()
    works = {}
    for number, work in enumerate(NOW):
        one = reservations[work.user, work.server]
        works[one.launch_id] = (number, work)
        ready = one.state == "held"
        if ready:
            backend.run(one.launch_id, one.user, one.server, one.gpus)
        hub.servers[one.user, one.server] = HubServer(
            one.user,
            one.server,
            one.display_name,
            ready=ready,
            pending=None if ready else "spawn",
            user_options={"launch_id": one.launch_id},
            last_activity=now - 3600.0 * work.idle_h,
        )
    return hub, backend, works


def real(node: Node) -> Node:
    """Return a machine as the driver tells of one."""
    names = {"a100": "NVIDIA A100-SXM4-80GB", "t4": "Tesla T4"}
    gpus = (
        replace(gpu, simulated=False, name=names[gpu.type], index=number, utilisation=0.0, used_gib=1.0)
        for number, gpu in enumerate(node.gpus)
    )
    return replace(node, gpus=tuple(gpus))


def make_logins(settings: Settings) -> HubOAuth:
    """Return logins whose token is a person's name, as `LoginAs` gives them."""
    logins = KnownTokens(**login_options(settings, "t" * 32))
    logins.models = {}
    for name, groups in PEOPLE.items():
        logins.vouch(name, name, *groups, admin=name == ADMIN)
    return logins


async def settle(world: World) -> None:
    """Let the watch remember its day, and have seen a whole minute that is over now, on clocks that are behind."""
    clock, monotonic = world.clock, world.monotonic
    behind = 180.0
    world.clock, world.monotonic = lambda: clock() - behind, lambda: monotonic() - behind
    await world.watch._remember()
    rounds = world.watch._started()
    while behind > 0:
        behind -= ROUND_S
        await rounds.round()
        if world.watch._telling is not None:
            await world.watch._telling
    world.clock, world.monotonic = clock, monotonic
    await world.idle.look()
