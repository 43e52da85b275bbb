"""The loop: look every few seconds, report once a minute.

Guarantees: it takes a two-hundredth of a core at most, for it looks the more seldom the longer a look takes; it never
blocks the server, whose loop it shares; whatever goes wrong in it is logged, and ends neither the server nor the loop.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mlabhub_agent.looking import Looking
from mlabhub_agent.processes import Processes, Seen
from mlabhub_agent.sending import Sender, Way

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

log = logging.getLogger(__name__)
LOOK_S = 15.0
REPORT_S = 60.0
JITTER = 0.1
"""A report comes so much sooner or later than the minute: thousands of servers do not report in one moment."""
SHARE = 200
"""A look may take one part of so many of the time until the next."""
SETTING = "mlabhub_agent"


class Agent:
    """Watches over one server."""

    def __init__(self, looking: Looking, processes: Processes, sender: Sender | None):
        self._looking = looking
        self._processes = processes
        self._sender = sender

    async def run(self, look_s: float = LOOK_S, report_s: float = REPORT_S) -> None:
        """Look and report until cancelled."""
        due = time.monotonic() + report_s * random.random()
        while True:
            took = 0.0
            try:
                took = await self._look()
                if self._sender is not None and time.monotonic() >= due:
                    due = time.monotonic() + report_s * random.uniform(1 - JITTER, 1 + JITTER)
                    self._sender.add(self._looking.report())
                    await self._sender.send()
            except Exception:
                log.exception("The agent could not look or report")
            await asyncio.sleep(max(look_s, SHARE * took))

    async def _look(self) -> float:
        """Look once; return the seconds of CPU that it took."""
        seen, took = await asyncio.to_thread(self._timed_look)
        self._looking.take(seen)
        return took

    def _timed_look(self) -> tuple[Seen, float]:
        began = time.thread_time()
        seen = self._processes.look()
        return seen, time.thread_time() - began


def make_way(environ: Mapping[str, str]) -> Way | None:
    """Return where and as whom to report; None if the server was not told."""
    url, token = environ.get("MLABHUB_REPORTS_URL"), environ.get("MLABHUB_REPORT_TOKEN")
    if not url or not token:
        return None
    name = f"{environ.get('JUPYTERHUB_USER', '')}/{environ.get('JUPYTERHUB_SERVER_NAME', '')}"
    return Way(url, token, name)


def make_agent(app: ServerApp, environ: Mapping[str, str]) -> Agent:
    """Return the agent of a server; one that was not told where to report looks all the same, for the hub's sake."""
    way = make_way(environ)
    launch_id, alone = environ.get("MLABHUB_LAUNCH_ID", ""), environ.get("MLABHUB_OWN_NETWORK") == "1"
    return Agent(
        Looking(app.web_app.settings),
        Processes(launch_id, all_are_ours=alone),
        Sender(way.server, way.post) if way is not None else None,
    )


def start(app: ServerApp) -> None:
    """Begin, as soon as the server's loop runs."""
    agent = make_agent(app, os.environ)

    def begin() -> None:
        # Kept, or Python would forget the task.
        app.web_app.settings[SETTING] = asyncio.get_running_loop().create_task(agent.run(), name="mlabhub agent")

    app.io_loop.add_callback(begin)
