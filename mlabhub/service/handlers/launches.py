"""Calls about launches and the queue: start, preview, watch, change, call off; who waits, who has to give back."""

from __future__ import annotations

from mlabhub.errors import NotFound
from mlabhub.service.bodies import ChangeBody, LaunchBody, MoveBody, PreviewBody
from mlabhub.service.handlers.base import ApiHandler
from mlabhub.service.views import LaunchAnswer
from mlabhub.service.wait_views import Queued


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
            queue=body.queue,
        )
        self.answer(answer, status_of(answer))


class PreviewHandler(ApiHandler):
    """``POST launches/preview``"""

    async def post(self) -> None:
        """Say what a launch would be answered, and every other choice."""
        body = self.body(PreviewBody)
        user = self.subject(body.user)
        preview = self.launcher.preview(self.person, user, body.user_options, body.server_name, every=body.every)
        self.answer(await preview)


class LaunchHandler(ApiHandler):
    """``GET``, ``PUT`` and ``DELETE launches/ID``"""

    async def get(self, launch_id: str) -> None:
        """Say how far a launch came, or its turn."""
        self.answer(await self.queue_desk.status(self.person, launch_id))

    async def put(self, launch_id: str) -> None:
        """Change what a launch that waits asks for."""
        answer = await self.queue_desk.change(self.person, launch_id, self.body(ChangeBody).user_options)
        self.answer(answer, status_of(answer))

    async def delete(self, launch_id: str) -> None:
        """Call a launch off; it leaves the queue, and its server is stopped if it runs already."""
        status = await self.queue_desk.status(self.person, launch_id)
        if status.state == "queued":
            try:
                await self.queue_desk.leave(self.person, launch_id, self.get_query_argument("reason", ""))
            except NotFound:  # its turn came, or somebody else was faster
                status = await self.queue_desk.status(self.person, launch_id)
        if status.state in ("starting", "ready"):
            await self.launcher.stop(self.person, status.user, status.server_name)
        self.answer(await self.queue_desk.status(self.person, launch_id))


class NearestHandler(ApiHandler):
    """``POST launches/ID/nearest``"""

    async def post(self, launch_id: str) -> None:
        """Start the nearest choice that can start now, in place of what waits."""
        self.answer(await self.queue_desk.nearest(self.person, launch_id), 201)


class QueueHandler(ApiHandler):
    """``GET queue``"""

    async def get(self) -> None:
        """List who waits, next first."""
        _, told = await self.queue_desk.queue_json(self.reader)
        self.finish(told)


class MoveHandler(ApiHandler):
    """``POST queue/ID/move``, for administrators"""

    async def post(self, launch_id: str) -> None:
        """Move an entry among those of its person."""
        body = self.body(MoveBody)
        self.require_admin()
        await self.queue_desk.move(self.person, launch_id, body.before, body.reason)
        self.answer(await self.queue_desk.status(self.person, launch_id))


class NoticesHandler(ApiHandler):
    """``GET notices``"""

    async def get(self) -> None:
        """List what one was told to give back; for administrators of ``?user=NAME``."""
        user = self.subject(self.get_query_argument("user", None))
        self.answer({"notices": await self.queue_desk.notices(self.person, user)})


def status_of(answer: LaunchAnswer | Queued) -> int:
    """Return the status of what somebody is told of a launch: created, or accepted and waiting."""
    return 202 if isinstance(answer, Queued) else 201
