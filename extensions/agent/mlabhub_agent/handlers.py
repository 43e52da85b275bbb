"""The addresses at which pages of this server learn how things stand, and ask for what a person wants.

Guarantees: as everywhere below ``mlabhub/api``: nobody without a login, no change without the token against forged
requests; asking is no activity.
"""

from __future__ import annotations

from typing import Any

from mlabhub_agent.desk import Desk, Refusal
from mlabhub_agent.orders import Pages
from mlabhub_proxies.base import ApiHandler, Refused

LONGEST_NAME = 64


class IdleHandler(ApiHandler):
    """``GET mlabhub/api/idle``."""

    def initialize(self, desk: Desk, pages: Pages) -> None:
        """Know whom to ask."""
        self.desk = desk
        self.pages = pages

    def get(self) -> None:
        """Say how things stand. A page may say its name (``?page=``), so that its saving is told from another's."""
        self.pages.asks(self.get_query_argument("page", "")[:LONGEST_NAME])
        self.finish(self.desk.view())


class WishHandler(IdleHandler):
    """``POST mlabhub/api/idle/...``."""

    async def post(self, what: str) -> None:
        """Do what is asked, and say how things stand then."""
        try:
            self.finish(await self._do(what, self.body_json()))
        except Refusal as refusal:
            raise Refused(refusal.status, refusal.code, refusal.sentence) from None

    async def _do(self, what: str, body: dict[str, Any]) -> dict[str, Any]:
        if what == "keep":
            return await self.desk.keep(body, self.t.language)
        if what == "release":
            return await self.desk.release(self.t.language)
        if what == "seen":
            self.desk.seen(body.get("warning"))
        else:
            self.pages.saved(str(body.get("page", ""))[:LONGEST_NAME])
        return self.desk.view()


def get_routes(base_url: str, desk: Desk, pages: Pages) -> list[tuple[Any, ...]]:
    """Return the addresses of this module."""
    with_these = {"desk": desk, "pages": pages}
    return [
        (base_url + "mlabhub/api/idle", IdleHandler, with_these),
        (base_url + "mlabhub/api/idle/(keep|release|seen|saved-documents)", WishHandler, with_these),
    ]
