"""Connections to the cluster's API.

Guarantees: inside of a pod its service account is used, outside the kubeconfig and the context that `mlabhub up` chose;
a cluster that cannot be reached is a `ClusterUnavailable` with a sentence.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kubernetes_asyncio import client, config
from kubernetes_asyncio.config import ConfigException

from mlabhub.errors import ClusterUnavailable, InvalidConfiguration
from mlabhub.messages import N_, Message
from mlabhub.settings import Settings


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
            await config.load_kube_config(
                config_file=str(kubeconfig),
                context=context or None,
                client_configuration=configuration,
                persist_config=False,
            )
    except (ConfigException, OSError, ValueError) as error:
        template = N_(
            "The cluster's configuration cannot be used: {reason}. Mend it, or name another one with --kubeconfig."
        )
        raise InvalidConfiguration(Message.of(template, reason=str(error).rstrip("."))) from error
    return client.ApiClient(configuration)


def unreachable(error: BaseException) -> ClusterUnavailable:
    """Return the error for a cluster that did not answer."""
    return ClusterUnavailable(
        Message(N_("The Kubernetes cluster does not answer, so nothing is known about its servers. Try again soon.")),
        log_text=f"{type(error).__name__}: {error}",
    )
