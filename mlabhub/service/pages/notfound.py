"""The page for an address that leads nowhere."""

from __future__ import annotations

from tornado.web import HTTPError

from mlabhub.service.pages.base import PageHandler


class NotFoundHandler(PageHandler):
    """Answers every address that no other route answers; the application's ``default_handler_class``."""

    def check_xsrf_cookie(self) -> None:
        """There is nothing here to protect, and "not found" is the true answer."""

    async def prepare(self) -> None:
        """Say so; a person who is not logged in is led to the login first."""
        await super().prepare()
        if not self._finished:
            raise HTTPError(404)
