"""A whole service on a real port, with a real SQLite ledger; hub and backend are doubles."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from tornado.httpserver import HTTPServer

from mlabhub.client import ServiceClient
from mlabhub.errors import LaunchRefused
from mlabhub.ledger import Reservation
from mlabhub.service.app import Service, login_options, make_service, open_world
from mlabhub.service.projection import Projection
from mlabhub.service.scopes import PEOPLE_SCOPES
from mlabhub.service.world import World
from mlabhub.settings import Settings
from tests.doubles import KnownTokens, ScriptedAccounts, ScriptedBackend, ScriptedHub
from tests.installation import free_port

SECRET = "s" * 32

PROFILES = """
profiles:
  cpu: {display_name: CPU, images: [base], cpu: {min: 1, max: 8, default: 1}, memory_gib: {min: 1, max: 64, default: 2}}
  gpu:
    display_name: GPU
    images: [base]
    cpu: {min: 1, max: 8, default: 1}
    memory_gib: {min: 1, max: 64, default: 2}
    gpus: {min: 1, max: 8, default: 1}
    gpu_types: [any]
  vision-only: {display_name: V, images: [base], cpu: 1, memory_gib: 1, groups: [vision]}
"""
IMAGES = "images: {base: {display_name: Base, reference: localhost/mlabhub/base:latest}}\n"
QUOTAS = 'groups: {vision: {limit: {"gpu:a100": 6}}}\nusers: {default: {servers: 20, gpu: 8}}\n'


def make_settings(folder: Path, **values: Any) -> Settings:
    """Return an installation in ``folder``, with a small catalogue."""
    config = folder / "config"
    config.mkdir()
    (config / "profiles.yaml").write_text(PROFILES)
    (config / "images.yaml").write_text(IMAGES)
    (config / "quotas.yaml").write_text(QUOTAS)
    settings = Settings(
        instance="cafe0123",
        state_dir=folder / "state",
        config_dir=config,
        backend="container",
        public_url="http://127.0.0.1:8000/",
        hub_port=1,
        proxy_api_port=2,
        service_port=free_port(),
        **values,
    )
    settings.secrets_dir.mkdir(parents=True, mode=0o700)
    settings.spawner_secret_file.write_text(SECRET)
    settings.service_token_file.write_text(secrets.token_hex(16))
    return settings


@dataclass
class Running:
    """A service that runs in this process, and everything around it."""

    settings: Settings
    service: Service
    hub: ScriptedHub
    accounts: ScriptedAccounts
    backend: ScriptedBackend
    tokens: KnownTokens
    http: httpx.AsyncClient
    spawner: ServiceClient

    @property
    def world(self) -> World:
        return self.service.world

    @property
    def projection(self) -> Projection:
        return self.world.writer.projection

    def of_server(self, user: str, server: str = "") -> Reservation | None:
        return self.projection.of_server(user, server)

    async def call(self, method: str, path: str, who: str | None = "alice", **keywords: Any) -> httpx.Response:
        """Call the API as somebody, by their token."""
        headers = {**({"Authorization": f"token t-{who}"} if who else {}), **keywords.pop("headers", {})}
        return await self.http.request(method, path, headers=headers, **keywords)

    async def spawn(self, user: str, server: str, user_options: dict[str, Any]) -> None:
        """Do what our spawners do: redeem, run, confirm."""
        groups = self.hub.users[user].groups
        admission = await self.spawner.reserve(
            user,
            server,
            launch_id=self.world.make_launch_id(),
            user_options=user_options,
            groups=groups,
            backend="container",
            deadline_s=60,
        )
        if not admission.admitted or admission.plan is None:
            raise LaunchRefused(admission.sentence)
        plan = admission.plan
        self.backend.run(plan.launch_id, user, server, plan.gpus)
        await self.spawner.held(user, server, plan.launch_id)

    async def despawn(self, user: str, server: str) -> None:
        """Do what our spawners do at a stop: end the server, tell the service."""
        for one in list(self.backend.running.values()):
            if (one.user, one.server_name) == (user, server):
                del self.backend.running[one.launch_id]
                await self.spawner.released(user, server, one.launch_id)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with run_service(make_settings(tmp_path)) as one:
        yield one


@asynccontextmanager
async def run_service(
    settings: Settings, hub: ScriptedHub | None = None, backend: ScriptedBackend | None = None
) -> AsyncIterator[Running]:
    """Run a service over its settings' ledger, with a hub and machines of its own unless some are given."""
    hub, backend = hub or ScriptedHub(), backend or ScriptedBackend()
    async with open_world(settings, hub=hub, backend=backend) as world:
        tokens = KnownTokens(**login_options(settings, "t" * 32))
        tokens.models = {}
        accounts = ScriptedAccounts(hub)
        service = make_service(world, hub_auth=tokens, spawner_secret=SECRET, accounts=accounts)
        server = HTTPServer(service.application)
        server.listen(settings.service_port, "127.0.0.1")
        async with httpx.AsyncClient(base_url=settings.service_url, trust_env=False, verify=False, timeout=30) as http:
            spawner = ServiceClient(settings.service_url, lambda: SECRET, retry_s=0.3)
            one = Running(settings, service, hub, accounts, backend, tokens, http, spawner)
            hub.spawn, hub.stop_takes = one.spawn, one.despawn
            add_people(one)
            yield one
            await spawner.close()
        server.stop()
        await server.close_all_connections()
        await asyncio.sleep(0)


def add_people(one: Running) -> None:
    """Let alice and bob (vision), carol (nlp) and admin exist, each with a token ``t-NAME``."""
    everything = ("start:servers", "delete:servers", *PEOPLE_SCOPES)
    for name, groups in {"alice": ["vision"], "bob": ["vision"], "carol": ["nlp"], "admin": []}.items():
        admin = name == "admin"
        one.hub.add_user(name, *groups, admin=admin)
        one.tokens.vouch(f"t-{name}", name, *groups, admin=admin, scopes=everything if admin else ())
