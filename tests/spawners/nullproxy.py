"""A proxy that only remembers its routes: spawner tests ask hub and servers directly."""

from __future__ import annotations

from typing import Any

from jupyterhub.proxy import Proxy


class NullProxy(Proxy):
    """Routes nothing."""

    should_start = False

    def __init__(self, **keywords: Any):
        super().__init__(**keywords)
        self.routes: dict[str, dict[str, Any]] = {}

    async def add_route(self, routespec: str, target: str, data: dict[str, Any]) -> None:
        self.routes[routespec] = {"routespec": routespec, "target": target, "data": data}

    async def delete_route(self, routespec: str) -> None:
        self.routes.pop(routespec, None)

    async def get_all_routes(self) -> dict[str, dict[str, Any]]:
        return self.routes
