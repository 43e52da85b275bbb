"""Calls about the map of all GPUs: as it is, as it was, and whenever it changed."""

from __future__ import annotations

import json

from mlabhub.service.cluster_map.desk import MapDesk
from mlabhub.service.cluster_map.sending import send
from mlabhub.service.cluster_map.views import JsonPen
from mlabhub.service.handlers.base import ApiHandler
from mlabhub.service.handlers.events import EventsHandler

PEN = JsonPen()


class MapHandler(ApiHandler):
    """``GET gpus/map``"""

    async def get(self) -> None:
        """Return the map of now, or of ``?at=``."""
        desk: MapDesk = self.application.settings["map_desk"]
        piece = await desk.draw(self.launcher.viewer(self.reader), PEN, self.moment("at"))
        send(self, piece)


class MapEventsHandler(EventsHandler):
    """``GET gpus/map/events``"""

    event = "map"

    async def get(self) -> None:
        """Follow the map."""
        desk: MapDesk = self.application.settings["map_desk"]

        async def look() -> tuple[int, bytes, bool]:
            tick = await desk.look()
            return tick.changes, json.dumps({"revision": tick.revision}).encode(), False

        await self.follow(look)
