"""Choose and prepare what people's servers run on: containers where an engine works, else plain processes.

Guarantees: a cluster is used only when it is asked for; root never falls back to plain processes by itself (everybody
would be root); a fallback says what it does not protect and which command mends it; the engine's service is ready, the
firewall up and the base image there before the hub starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from mlabhub.engine.cdi import remove_simulated_spec
from mlabhub.engine.firewall import FirewallUnavailable, apply_firewall, remove_firewall
from mlabhub.engine.found import Engine, find_engine
from mlabhub.engine.networks import interface_prefix
from mlabhub.engine.podman_service import podman_service_command
from mlabhub.errors import EngineUnavailable
from mlabhub.images.build import build_images, list_images
from mlabhub.inventory.simulated import prepare_simulated
from mlabhub.settings import BackendName, Settings
from mlabhub.supervisor.children import Command
from mlabhub.supervisor.commands import make_environment
from mlabhub.supervisor.steps import Steps

NOT_ISOLATED = (
    "Plain processes: nothing is isolated. Everybody's server runs as the user {user} and can read everybody's files "
    "and the hub's own secrets. Containers protect them: `sudo make up`."
)


@dataclass(frozen=True)
class ClusterOptions:
    """What the command line said of a cluster; empty where it is found."""

    kubeconfig: Path | None = None
    context: str = ""
    namespace: str = ""
    hub_host: str = ""


@dataclass
class Backend:
    """What was chosen, and what to tell about it."""

    name: BackendName
    engine: Engine | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def label(self) -> str:
        """What it is, in a few words; empty for plain processes."""
        return self.engine.kind if self.engine else ""

    def settings(self) -> dict[str, Any]:
        """Return what the installation's settings say of it."""
        if self.engine is None:
            return {}
        return {
            "engine_kind": self.engine.kind,
            "engine_url": self.engine.url,
            "engine_rootless": self.engine.rootless,
        }

    def prepare(self, settings: Settings) -> None:
        """Set up what containers need around them."""
        if settings.simulate_gpus:
            self.warnings.append(f"Simulated GPUs: {settings.simulate_gpus}. They compute nothing.")
        if self.engine is None:
            return
        prepare_simulated(settings)
        try:
            # Closes this machine's own ports to people's servers. The rules stay while servers run without the hub.
            apply_firewall(settings.instance, settings.port, settings.host)
        except FirewallUnavailable as error:
            if settings.host:
                raise
            self.warnings.append(str(error))

    def commands(self, settings: Settings) -> tuple[Command, ...]:
        """Return the processes that the backend needs: Podman's API; Docker has its own."""
        return (make_podman_command(settings),) if self.engine and self.engine.kind == "podman" else ()

    async def build_base_image(self, steps: Steps) -> None:
        """Build the base image if the engine does not have it at all; others are built when somebody chooses them."""
        if self.engine is None:
            return
        if any(image.name == "base" and image.id is None for image in await asyncio.to_thread(list_images)):
            with steps.step("image base: built once, takes some minutes"):
                await asyncio.to_thread(build_images, ["base"], no_cache=False, report=lambda line: None)

    async def close(self, settings: Settings) -> None:
        """Take back what was set around containers, unless some run on without the hub."""
        if self.engine is not None and not _has_networks(settings):
            with contextlib.suppress(FirewallUnavailable):
                await asyncio.to_thread(remove_firewall, settings.instance)
            await asyncio.to_thread(remove_simulated_spec, settings.instance)


def _has_networks(settings: Settings) -> bool:
    """Return whether a person's network is up: the engine makes its bridge with the first container, and ends it."""
    return any(name.startswith(interface_prefix(settings.instance)) for _, name in socket.if_nameindex())


def prepare_backend(wanted: BackendName | None, state_dir: Path) -> Backend:
    """Return the backend to use on this machine alone.

    Raises `EngineUnavailable` if containers are wanted, or needed, and impossible.
    """
    if wanted == "process":
        return Backend("process", warnings=[_not_isolated()])
    try:
        return Backend("container", find_engine(state_dir / "run"))
    except EngineUnavailable as error:
        if wanted == "container" or os.geteuid() == 0:
            raise
        return Backend("process", warnings=[str(error), _not_isolated()])


def _not_isolated() -> str:
    return NOT_ISOLATED.format(user=os.environ.get("USER") or os.geteuid())


def make_podman_command(settings: Settings) -> Command:
    """Return Podman's API service on a socket of our own."""
    argv, more = podman_service_command(settings)
    socket = settings.run_dir / "podman.sock"

    async def is_ready() -> bool:
        try:
            async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(socket)), timeout=5) as client:
                return (await client.get("http://podman/_ping")).is_success
        except (httpx.HTTPError, OSError):
            return False

    return Command(
        name="podman", argv=argv, env=make_environment(settings, **more), cwd=settings.state_dir, is_ready=is_ready
    )
