"""The processes of one installation: their arguments, their environments, and how each says that it is ready.

Guarantees: secrets travel by environment or by files of mode 0600, never by arguments that every local user can read.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from mlabhub.errors import InvalidConfiguration
from mlabhub.settings import SETTINGS_VARIABLE, Settings
from mlabhub.supervisor.children import Command

CHECKOUT = Path(__file__).resolve().parents[2]
PROXY = "configurable-http-proxy"


def find_proxy() -> tuple[str, ...]:
    """Return how to call configurable-http-proxy: the checkout's own, else the one on PATH.

    Raises `InvalidConfiguration` if there is none.
    """
    script = CHECKOUT / ".node" / "node_modules" / ".bin" / PROXY
    if script.exists():
        return (find_node(), str(script))
    on_path = shutil.which(PROXY)
    if on_path:
        return (on_path,)
    raise InvalidConfiguration(f"{PROXY} is not installed. Run `make up`, or `npm install -g {PROXY}`.")


def find_node() -> str:
    """Return Node: the one that set-up chose for this checkout, else the machine's."""
    chosen = CHECKOUT / ".node" / "bin" / "node"
    node = str(chosen) if chosen.exists() else shutil.which("node")
    if node is None:
        raise InvalidConfiguration("Node.js is not installed. Run `make up`, which installs it.")
    return node


def make_environment(settings: Settings, **more: str) -> dict[str, str]:
    """Return the environment of our own processes: this one's, our settings, and this Python's programs on PATH."""
    programs = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    return {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{path}",
        "PYTHONUNBUFFERED": "1",
        SETTINGS_VARIABLE: str(settings.settings_file),
        **more,
    }


def make_proxy_command(settings: Settings) -> Command:
    """Return the public proxy."""
    hub = f"http://127.0.0.1:{settings.hub_port}"
    argv = [*find_proxy(), "--port", str(settings.port), "--api-ip", "127.0.0.1"]
    argv += ["--api-port", str(settings.proxy_api_port), "--default-target", hub]
    argv += ["--error-target", f"{hub}{settings.base_url}hub/error"]
    # For containers it listens on all addresses, and the firewall closes those that are not `host`.
    if settings.host and settings.backend != "container":
        argv += ["--ip", settings.host]
    if settings.tls_cert and settings.tls_key:
        argv += ["--ssl-cert", str(settings.tls_cert), "--ssl-key", str(settings.tls_key)]
    token = settings.proxy_token_file.read_text()

    async def is_ready() -> bool:
        return await answers(f"{settings.proxy_api_url}/api/routes", {"Authorization": f"token {token}"})

    return Command(
        name="proxy",
        argv=tuple(argv),
        env=make_environment(settings, CONFIGPROXY_AUTH_TOKEN=token),
        cwd=settings.state_dir,
        is_ready=is_ready,
        on_restart=lambda: restore_routes(settings),
    )


def make_hub_command(settings: Settings) -> Command:
    """Return JupyterHub with our configuration."""

    async def is_ready() -> bool:
        return await answers(f"{settings.hub_url}health")

    return Command(
        name="hub",
        argv=(sys.executable, "-m", "mlabhub.supervisor.hub", "--config", str(find_hub_config(settings))),
        env=make_environment(settings),
        cwd=settings.state_dir,
        is_ready=is_ready,
    )


def find_hub_config(settings: Settings) -> Path:
    """Return the checkout's ``jupyterhub_config.py``, else a generated one that does the same."""
    own = CHECKOUT / "jupyterhub_config.py"
    if own.exists():
        return own
    generated = settings.run_dir / "jupyterhub_config.py"
    generated.write_text("from mlabhub.config import configure\n\nconfigure(c)  # noqa: F821\n")
    return generated


def make_service_command(settings: Settings) -> Command:
    """Return the service that admits launches."""

    async def is_ready() -> bool:
        return await answers(f"{settings.service_url}health")

    return Command(
        name="service",
        argv=(sys.executable, "-m", "mlabhub.service", "--settings", str(settings.settings_file)),
        env=make_environment(settings),
        cwd=settings.state_dir,
        is_ready=is_ready,
    )


async def answers(url: str, headers: Mapping[str, str] | None = None) -> bool:
    """Return whether an address of this machine answers with success."""
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            return (await client.get(url, headers=headers)).is_success
    except httpx.HTTPError:
        return False


async def restore_routes(settings: Settings) -> None:
    """Have the hub give a restarted proxy its routes at once, instead of at its next check minutes later.

    A hub that is down itself does so when it starts.
    """
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        with contextlib.suppress(httpx.HTTPError, OSError):
            token = (settings.secrets_dir / "supervisor-token").read_text()
            await client.post(f"{settings.hub_url}api/proxy", headers={"Authorization": f"token {token}"})
