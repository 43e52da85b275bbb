"""Calls about forecasts: how good they were."""

from __future__ import annotations

from mlabhub.service.handlers.base import ApiHandler


class AccuracyHandler(ApiHandler):
    """``GET forecast/accuracy``, for administrators"""

    async def get(self) -> None:
        """Say how often people's turn came when they had been told."""
        self.answer(await self.queue_desk.accuracy(self.person))
