"""Connections to the cluster's API.

Guarantees: inside of a pod its service account is used, outside the kubeconfig and the context that `mlabhub up` chose;
a cluster that cannot be reached is a `ClusterUnavailable` with a sentence; a token that lasts for minutes, of a cloud's
program or in a file that somebody renews, is asked for again as long as the connection is there.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes_asyncio import client, config
from kubernetes_asyncio.config import ConfigException

from mlabhub.errors import ClusterUnavailable, InvalidConfiguration
from mlabhub.messages import N_, Message
from mlabhub.settings import Settings

RENEW_SECONDS = 60.0
"""How long a token of a kubeconfig is used before it is asked for again; those of clouds last for ten minutes."""
TOKEN = "BearerToken"
AWAY = (aiohttp.ClientError, asyncio.TimeoutError, OSError)
"""What a connection raises when nobody answers as the API should."""

log = logging.getLogger(__name__)


async def make_api_client(settings: Settings) -> Any:
    """Return a connection, to be closed. Raises `InvalidConfiguration` if the settings lead to no cluster."""
    return await connect(settings.kubeconfig, settings.kube_context)


async def connect(kubeconfig: Path | None, context: str) -> Any:
    """Return a connection by a kubeconfig's context, by a pod's own account without one. As `make_api_client`."""
    configuration = client.Configuration()
    try:
        if kubeconfig is None:
            config.load_incluster_config(client_configuration=configuration)
        else:
            await _load(kubeconfig, context, configuration)
    except (ConfigException, OSError, ValueError) as error:
        template = N_(
            "The cluster's configuration cannot be used: {reason}. Mend it, or name another one with --kubeconfig."
        )
        raise InvalidConfiguration(Message.of(template, reason=str(error).rstrip("."))) from error
    if kubeconfig is not None and TOKEN in configuration.api_key:
        configuration.refresh_api_key_hook = _renewing(kubeconfig, context, configuration.api_key[TOKEN])
    return client.ApiClient(configuration)


async def _load(kubeconfig: Path, context: str, configuration: client.Configuration) -> None:
    await config.load_kube_config(
        config_file=str(kubeconfig),
        context=context or None,
        client_configuration=configuration,
        persist_config=False,
    )


def _renewing(kubeconfig: Path, context: str, token: str) -> Callable[[client.Configuration], Awaitable[None]]:
    """Return what keeps the token of a configuration, and of its copies, as the kubeconfig has it now."""
    asked, lock = time.monotonic(), asyncio.Lock()

    async def renew(used: client.Configuration) -> None:
        nonlocal asked, token
        async with lock:
            if time.monotonic() > asked + RENEW_SECONDS:
                asked, fresh = time.monotonic(), client.Configuration()
                try:
                    await _load(kubeconfig, context, fresh)
                    token = fresh.api_key.get(TOKEN, token)
                except Exception as error:  # a program of somebody else's, and what the client makes of what it says
                    log.warning("The cluster's configuration cannot be read again: %s: %s", type(error).__name__, error)
        used.api_key[TOKEN] = token

    return renew


def unreachable(error: BaseException) -> ClusterUnavailable:
    """Return the error for a cluster that did not answer."""
    return ClusterUnavailable(
        Message(N_("The Kubernetes cluster does not answer, so nothing is known about its servers. Try again soon.")),
        log_text=f"{type(error).__name__}: {error}",
    )
