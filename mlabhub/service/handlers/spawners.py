"""Calls of spawners: reserve, placed, short, held, released."""

from __future__ import annotations

from mlabhub.service.bodies import HeldBody, PlacedBody, ReleasedBody, ReserveBody, ShortBody
from mlabhub.service.handlers.base import SpawnerHandler


class ReserveHandler(SpawnerHandler):
    """``PUT reservations/USER/SERVER``"""

    async def put(self, user: str, server: str) -> None:
        """Redeem a launch, or be admitted on the spot."""
        self.answer(await self.desk.reserve(user, self.path_server(server), self.body(ReserveBody)))


class PlacedHandler(SpawnerHandler):
    """``POST reservations/USER/SERVER/placed``"""

    async def post(self, user: str, server: str) -> None:
        """Note on which node it is."""
        self.answer(await self.desk.placed(user, self.path_server(server), self.body(PlacedBody)))


class ShortHandler(SpawnerHandler):
    """``POST reservations/USER/SERVER/short``"""

    async def post(self, user: str, server: str) -> None:
        """Say what there is too little of."""
        self.answer(await self.desk.short(user, self.path_server(server), self.body(ShortBody)))


class HeldHandler(SpawnerHandler):
    """``POST reservations/USER/SERVER/held``"""

    async def post(self, user: str, server: str) -> None:
        """Confirm that it runs."""
        body = self.body(HeldBody)
        self.answer(await self.desk.held(user, self.path_server(server), body.launch_id, tuple(body.notes)))


class ReleasedHandler(SpawnerHandler):
    """``POST reservations/USER/SERVER/released``"""

    async def post(self, user: str, server: str) -> None:
        """Give back."""
        self.answer(await self.desk.released(user, self.path_server(server), self.body(ReleasedBody)))
