"""The cluster as all spawners of one hub see it.

Guarantees: the connection is the settings' own, whatever the hub's account has in its kubeconfig.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from kubernetes_asyncio import client
from kubespawner import spawner as kubespawner

from mlabhub.catalog.folder import BASE_IMAGE
from mlabhub.cluster.client import make_api_client
from mlabhub.cluster.namespace import DEFAULT_NAMESPACE
from mlabhub.settings import Settings
from mlabhub.spawners.kube.site import ClusterSite
from mlabhub.spawners.kube.spec import SpecSource
from mlabhub.spawners.kube.storage import StorageKeeper
from mlabhub.spawners.mixin import Shared


class SharedCluster(Shared):
    """The cluster as all spawners of one hub see it."""

    def __init__(self, settings: Settings):
        super().__init__(settings)
        self.spec = SpecSource(settings.config_dir, settings.nas_dir)
        self.namespace = settings.namespace or DEFAULT_NAMESPACE
        self.site = ClusterSite(settings, self.namespace)
        self.storage = StorageKeeper(self.namespace, settings.instance, BASE_IMAGE.reference, settings.nas_dir)


def use_cluster(settings: Settings) -> None:
    """Have KubeSpawner speak to the settings' cluster, instead of the one in the kubeconfig of the hub's account."""

    async def configuration() -> client.Configuration:
        api = await make_api_client(settings)
        await api.close()
        return api.configuration

    with ThreadPoolExecutor(1) as pool:
        client.Configuration.set_default(pool.submit(asyncio.run, configuration()).result())
    kubespawner.load_config = lambda **_: None  # type: ignore
