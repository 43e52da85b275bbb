"""Calls about servers and GPUs."""

from __future__ import annotations

from mlabhub.errors import NotPermitted
from mlabhub.service.handlers.base import ApiHandler, server_of
from mlabhub.service.queue_desk import FOR_ADMINISTRATORS


class ServersHandler(ApiHandler):
    """``GET servers``"""

    async def get(self) -> None:
        """List one's own servers; for who sees all ``?user=NAME``, or ``?all=1`` for all that hold something."""
        user = self.get_query_argument("user", self.person.name)
        everybody = self.get_query_argument("all", "") == "1"
        if (everybody or user != self.person.name) and not self.reader.admin:
            raise NotPermitted(FOR_ADMINISTRATORS)
        if everybody:
            self.answer({"servers": self.launcher.all_held()})
            return
        self.answer({"servers": await self.launcher.servers(user)})


class StopHandler(ApiHandler):
    """``POST servers/USER/SERVER/stop``"""

    async def post(self, user: str, server: str) -> None:
        """Stop a server."""
        await self.launcher.stop(self.person, user, server_of(server))
        self.answer({"state": "stopping"}, 202)


class ReleaseHandler(ApiHandler):
    """``POST servers/USER/SERVER/release``"""

    async def post(self, user: str, server: str) -> None:
        """Stop a server now and give back what it holds."""
        await self.launcher.stop(self.person, user, server_of(server))
        self.answer({"state": "stopping"}, 202)


class ResetHandler(ApiHandler):
    """``POST servers/USER/SERVER/reset``"""

    async def post(self, user: str, server: str) -> None:
        """Forget what was installed in a stopped server."""
        await self.launcher.reset(self.person, user, server_of(server))
        self.answer({"state": "reset"})


class SafeModeHandler(ApiHandler):
    """``POST servers/USER/SERVER/safe-mode``"""

    async def post(self, user: str, server: str) -> None:
        """Start a server without its person's start-up files."""
        self.answer(await self.launcher.launch_safe(self.person, user, server_of(server)), 201)


class GpusHandler(ApiHandler):
    """``GET gpus``"""

    async def get(self) -> None:
        """List every node and GPU, and who holds it."""
        self.answer({"nodes": await self.launcher.nodes(self.reader)})


class StorageHandler(ApiHandler):
    """``GET storage``"""

    async def get(self) -> None:
        """List one's folders and their room; for administrators of ``?user=NAME``."""
        user = self.subject(self.get_query_argument("user", None))
        self.answer({"folders": await self.launcher.storage(self.person, user)})
