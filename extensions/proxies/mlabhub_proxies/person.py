"""What a person did in this server, by the tool in which they did it: the only thing of ours that counts as activity.

An open page asks and redraws by itself, for ever: VS Code's sends eight messages a second, a desktop's clock one a
minute, JupyterLab's looks for changes every ten seconds. So no request and no message counts because it came; what
counts is opening a page, a key, the pointer, and what changes something.

Guarantees: what is noted is when, and in which tool; never what was typed, drawn or copied. Setting the machine's time
makes nobody look older than they are: ages are of the monotonic clock.
"""

from __future__ import annotations

import time
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from jupyter_server._tz import utcnow
from jupyter_server.base.handlers import APIHandler

from mlabhub_proxies.base import ApiHandler
from mlabhub_proxies.surroundings import Route, Surroundings

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

SETTING = "mlabhub_person"
"""Under which name the web application's settings hold when a person last did something, by tool, as
`time.monotonic`."""
LISTENER = "mlabhub_person_listener"
"""Under which name they hold what is called each time that a person did something; it takes no time."""
READS = ("GET", "HEAD", "OPTIONS")
_record_request = APIHandler.update_api_activity


def note(settings: MutableMapping[str, Any], tool: str) -> None:
    """A person did something in a tool now."""
    settings.setdefault(SETTING, {})[tool] = time.monotonic()
    settings.setdefault("last_activity_times", {})[f"mlabhub {tool}"] = utcnow()
    if (listener := settings.get(LISTENER)) is not None:
        listener()


def last(settings: MutableMapping[str, Any]) -> float | None:
    """Return when a person last did something, whatever the tool, as `time.monotonic`; None if nobody did."""
    return max(settings.get(SETTING, {}).values(), default=None)


def ages(settings: MutableMapping[str, Any]) -> dict[str, float]:
    """Return how many seconds ago a person did something, by tool; nothing of tools where nobody did."""
    now = time.monotonic()
    return {tool: now - at for tool, at in settings.get(SETTING, {}).items()}


def load(app: ServerApp) -> None:
    """Let requests of Jupyter's own API that only read be no activity: pages make them by themselves."""
    APIHandler.update_api_activity = _record_change  # type: ignore[assignment,method-assign]


def _record_change(handler: APIHandler) -> None:
    if handler.request.method not in READS:
        _record_request(handler)


class TouchedHandler(ApiHandler):
    """Where a page that Jupyter itself serves tells that a person touched it."""

    def post(self, slug: str) -> None:
        """Note it."""
        if self.surroundings.tool(slug) is not None:
            note(self.settings, slug)
        self.set_status(204)


def get_routes(surroundings: Surroundings) -> list[Route]:
    """Return the addresses of this module."""
    return [(surroundings.url("mlabhub", "api", "touched", "([a-z]+)"), TouchedHandler)]
