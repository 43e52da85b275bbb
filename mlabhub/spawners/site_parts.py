"""The site's settings for one container: variables, and files of the hub's machine at their places inside.

Guarantees: an image is looked into only where apt has to be told something, and its people may be root; one that cannot
be looked into keeps its own apt sources.
"""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from mlabhub.engine import EngineApi, EngineError
from mlabhub.settings import Settings
from mlabhub.site import inside

LOOKED_AT = ("/usr/lib/os-release", "/etc/apt/sources.list", "/etc/apt/sources.list.d", "/etc/apt/apt.conf.d")
MOST_IMAGES = 256
"""Images that are remembered: each saved one is another."""


class SiteParts:
    """What servers of one installation get of the site."""

    def __init__(self, settings: Settings, api: EngineApi):
        self._settings = settings
        self._api = api
        self._site = inside.saved_site(settings)
        self._names = inside.names_in(settings.site_dir)
        self._apt: dict[str, Mapping[str, str] | None] = {}
        self.ca = inside.CA_INSIDE if settings.ca_file.exists() else ""

    def environment(self, gateway: str) -> dict[str, str]:
        """Return the variables; the hub at its end of the server's network is reached without the proxy."""
        direct = (gateway, self._settings.tls_name, self._settings.network_pool)
        ca = self.ca if self._site.ca_file else ""
        return inside.make_environment(self._site, self._names, ca=ca, direct=direct)

    async def places(self, image: str, *, root: bool) -> dict[str, str]:
        """Return what is mounted where, for a server of an image in which somebody may be ``root``."""
        apt_files = await self._apt_files(image) if root and inside.wants_apt(self._site) else None
        return inside.make_places(self._settings.site_dir, self._names, apt_files)

    async def _apt_files(self, image: str) -> Mapping[str, str] | None:
        found = await self._api.image(image)
        if found is None:
            return None
        if found.id not in self._apt:
            try:
                files = await self._api.image_files(image, LOOKED_AT)
            except (EngineError, httpx.HTTPError):
                return None
            if len(self._apt) >= MOST_IMAGES:
                self._apt.clear()
            self._apt[found.id] = inside.write_apt_files(self._settings.run_dir / inside.APT_SOURCES, files, self._site)
        return self._apt[found.id]
