"""The site's settings as one hub hands them to people's pods.

Guarantees: without any settings nothing is made or mounted, and no right is needed for it; where the cluster does not
let the hub make the ConfigMap servers start without, and the log says so. Lists of apt's sources are not among it: the
hub cannot look into an image.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from kubernetes_asyncio.client.exceptions import ApiException

from mlabhub.cluster.apply import apply
from mlabhub.cluster.client import AWAY, unreachable
from mlabhub.cluster.site_files import CA, PodSite, get_site_manifest, make_pod_site
from mlabhub.settings import Settings
from mlabhub.site import inside
from mlabhub.spawners.kube.refusals import refusal_of

log = logging.getLogger(__name__)


class ClusterSite:
    """The site of one hub; its files are those of when the hub was started."""

    def __init__(self, settings: Settings, namespace: str):
        self._settings = settings
        self._namespace = namespace
        names = inside.names_in(settings.site_dir)
        self._files = {name: (settings.site_dir / name).read_bytes() for name in names}
        if settings.ca_file.exists():
            self._files[CA] = settings.ca_file.read_bytes()
        self._ready: PodSite | None = None

    async def ensure(self, api: Any) -> PodSite:
        """Return what pods get of it; the ConfigMap is there then. Raises `MLabError`."""
        if self._ready is None:
            self._ready = await self._make(api)
        return self._ready

    def forget(self) -> None:
        """Make the ConfigMap again with the next start, as this one came to nothing: somebody may have deleted it."""
        self._ready = None

    async def _make(self, api: Any) -> PodSite:
        if not self._files:
            return self._of({})
        try:
            await apply(api, get_site_manifest(self._settings.instance, self._namespace, self._files))
        except ApiException as error:
            if error.status != 403:
                raise refusal_of(error.status, str(error.reason), self._namespace) from error
            log.error("Servers get no file of the site's settings: the hub may not make a ConfigMap: %s", error.body)
            return self._of({})
        except AWAY as error:
            raise unreachable(error) from error
        return self._of(self._files)

    def _of(self, files: Mapping[str, bytes]) -> PodSite:
        settings, site = self._settings, inside.saved_site(self._settings)
        ca = inside.CA_INSIDE if CA in files else ""
        direct = (settings.hub_host, settings.tls_name)
        environment = inside.make_environment(site, files, ca=ca if site.ca_file else "", direct=direct)
        if settings.tls_name and ca:
            environment["SSL_CERT_FILE"] = ca
        return make_pod_site(settings.instance, files, environment)
