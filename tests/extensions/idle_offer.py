"""A server whose agent was told what a test says: the file IDLE is the service's status; what is asked is kept.

The agent's own handlers answer; only the service behind them is the test's.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from jupyter_server.serverapp import ServerApp
from tornado import web

from mlabhub_agent.desk import Desk
from mlabhub_agent.handlers import get_routes
from mlabhub_agent.orders import Pages
from mlabhub_agent.sending import Answer, Way
from mlabhub_agent.standing import Standing

FILE = Path(os.environ["IDLE"])


def keep(what: str, body: Any) -> None:
    """Write down what was asked for."""
    with FILE.with_suffix(".posts").open("a") as posts:
        posts.write(json.dumps([what, body]) + "\n")


class Told(Standing):
    """What the test says; a number is an error of HTTP, and ``age`` how old it is."""

    @property
    def age(self) -> float | None:
        """Return what the test says."""
        age: float | None = (self._status or {}).get("age")
        return age

    def look(self) -> None:
        """Read the file."""
        said = json.loads(FILE.read_text())
        if isinstance(said, int):
            raise web.HTTPError(said)
        self.take(said)

    def view(self) -> dict[str, Any]:
        """Return what tools are shown."""
        self.look()
        return super().view()


class Service(Way):
    """Keeps what is asked for, and refuses what the test says."""

    async def ask(self, what: str, language: str = "en", **wish: Any) -> Answer:
        """Answer."""
        keep(what, wish)
        refused = FILE.with_suffix(".refused")
        if refused.exists():
            return Answer(409, said={"error": {"code": "refused", "message": refused.read_text()}})
        return Answer(200)


class Kept(Pages):
    """Pages, and which of them have saved."""

    def saved(self, page: str) -> None:
        """Keep it."""
        keep("saved-documents", page)
        super().saved(page)


async def seen(warning: float) -> None:
    """Keep that a warning was seen."""
    keep("seen", warning)


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    return [{"module": "idle_offer"}]


def _load_jupyter_server_extension(app: ServerApp) -> None:
    desk = Desk(Told(), Service("", "", ""), seen)
    app.web_app.add_handlers(".*", get_routes(app.base_url, desk, Kept()))
