"""Calls about launches: start, preview, watch, call off."""

from __future__ import annotations

from mlabhub.core.quote import quote
from mlabhub.errors import NotFound
from mlabhub.messages import N_, Message
from mlabhub.service.bodies import LaunchBody, PreviewBody
from mlabhub.service.handlers.base import ApiHandler
from mlabhub.service.views import LaunchStatus


class LaunchesHandler(ApiHandler):
    """``POST launches``"""

    async def post(self) -> None:
        """Start a server."""
        body = self.body(LaunchBody)
        answer = await self.launcher.launch(
            self.person,
            user=self.subject(body.user),
            server_name=body.server_name,
            display_name=body.display_name,
            user_options=body.user_options,
            idempotency_key=self.request.headers.get("Idempotency-Key"),
        )
        self.answer(answer, 201)


class PreviewHandler(ApiHandler):
    """``POST launches/preview``"""

    async def post(self) -> None:
        """Say what a launch would be answered, and every other choice."""
        body = self.body(PreviewBody)
        user = self.subject(body.user)
        preview = self.launcher.preview(self.person, user, body.user_options, body.server_name, every=body.every)
        self.answer(await preview)


class LaunchHandler(ApiHandler):
    """``GET`` and ``DELETE launches/ID``"""

    async def get(self, launch_id: str) -> None:
        """Say how far a launch came."""
        self.answer(await self._own(launch_id))

    async def delete(self, launch_id: str) -> None:
        """Call a launch off; its server is stopped if it runs already."""
        status = await self._own(launch_id)
        if status.state in ("starting", "ready"):
            await self.launcher.stop(self.person, status.user, status.server_name)
        self.answer(await self.launcher.launch_status(launch_id))

    async def _own(self, launch_id: str) -> LaunchStatus:
        status = await self.launcher.launch_status(launch_id)
        if status.user != self.person.name and not self.person.admin:
            raise NotFound(Message.of(N_("There is no launch {launch_id}."), launch_id=quote(launch_id)))
        return status
