"""The loop: look every few seconds, report once a minute, and at every look while a warning or an order is in force.

While a warning is in force, what a person does is reported at once, and near its deadline it is looked for more often:
who touches a key in the last seconds keeps the server.

Guarantees: it takes a two-hundredth of a core at most, for it looks the more seldom the longer a look takes; it never
blocks the server, whose loop it shares; whatever goes wrong in it is logged, and ends neither the server nor the loop.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import random
import time
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mlabhub_agent.desk import Desk
from mlabhub_agent.door import VARIABLE, open_door
from mlabhub_agent.handlers import get_routes
from mlabhub_agent.looking import Looking
from mlabhub_agent.orders import Orders, Pages
from mlabhub_agent.popup import Popup
from mlabhub_agent.processes import Processes, Seen
from mlabhub_agent.rescue import write_bundle
from mlabhub_agent.sending import TAKEN, Sender, Way
from mlabhub_agent.standing import Standing
from mlabhub_proxies import person
from mlabhub_proxies.surroundings import SETTING as SURROUNDINGS

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

log = logging.getLogger(__name__)
LOOK_S = 15.0
NEAR_LOOK_S = 3.0
"""How often it looks near a deadline."""
REPORT_S = 60.0
INPUT_S = 10.0
"""How long after a report of what a person did the next one comes, while a warning is in force."""
JITTER = 0.1
"""A report comes so much sooner or later than the minute: thousands of servers do not report in one moment."""
TRACE_S = 5.0
"""How long the bundle waits for what the service measured."""
SHARE = 200
"""A look may take one part of so many of the time until the next."""
SETTING = "mlabhub_agent"


class Agent:
    """Watches over one server. ``way`` leads to the service; None: this server was not told of one.

    ``settings`` are those of the server's web application.
    """

    def __init__(self, settings: MutableMapping[str, Any], processes: Processes, way: Way | None):
        self._settings = settings
        self._looking = Looking(settings)
        self._processes = processes
        self._turn = asyncio.Lock()
        self._sender = Sender(way.server, way.post, self._hear) if way is not None else None
        self._way = way
        self._news = asyncio.Event()
        self._input_told: float | None = None
        self._input_reported = -math.inf
        self.standing = Standing()
        self.pages = Pages()
        self.desk = Desk(self.standing, way, self._report_shown)
        self.popup = Popup(settings, self.standing, self.desk.seen)
        self.orders = Orders(self.standing, self.pages, self._write_bundle, way.saved) if way is not None else None

    async def run(self, look_s: float = LOOK_S, report_s: float = REPORT_S) -> None:
        """Look and report until cancelled."""
        due = time.monotonic() + report_s * random.random()
        self._settings[person.LISTENER] = self._hear_person
        while True:
            began, took = time.monotonic(), 0.0
            try:
                async with self._turn:
                    took = await self._look()
                    self._news.clear()
                    if time.monotonic() >= due or self._has_news:
                        due = time.monotonic() + report_s * random.uniform(1 - JITTER, 1 + JITTER)
                        await self._report()
                        if self.standing.is_urgent:
                            due = began + look_s
                self.popup.look()
            except Exception:
                log.exception("The agent could not look or report")
            await self._pause(SHARE * took, min(look_s, NEAR_LOOK_S) if self.standing.is_near else look_s)

    async def _pause(self, least: float, seconds: float) -> None:
        """Wait for the next look: less long if a person does something that the service should know now."""
        now = time.monotonic()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._news.wait(), max(least, seconds))
            until = max(now + least, self._input_reported + INPUT_S)
            await asyncio.sleep(min(until, now + max(least, seconds)) - time.monotonic())

    def _hear_person(self) -> None:
        if self.standing.is_urgent:
            self._news.set()

    @property
    def _has_news(self) -> bool:
        """Whether a person did something since the last report, and it cannot wait."""
        if not self.standing.is_urgent or time.monotonic() < self._input_reported + INPUT_S:
            return False
        last = person.last(self._settings)
        return last is not None and last != self._input_told

    async def _look(self) -> float:
        """Look once; return the seconds of CPU that it took."""
        seen, took = await asyncio.to_thread(self._timed_look)
        self._looking.take(seen)
        return took

    def _timed_look(self) -> tuple[Seen, float]:
        began = time.thread_time()
        seen = self._processes.look()
        return seen, time.thread_time() - began

    async def _report(self) -> None:
        if self._sender is not None:
            last = person.last(self._settings)
            if last != self._input_told:
                self._input_told, self._input_reported = last, time.monotonic()
            self._sender.add(self._looking.report())
            await self._sender.send()

    async def _report_shown(self, warning_at: float) -> None:
        """Tell at once that a tool has shown a warning."""
        if self._sender is None:
            return
        self._sender.show(warning_at)
        async with self._turn:
            await self._look()
            await self._report()

    def _hear(self, status: Any) -> None:
        self.standing.take(status)
        if self.orders is not None:
            self.orders.look()

    async def _write_bundle(self, order: Mapping[str, Any]) -> str:
        """Write what helps to go on later to the home; return where it is."""
        trace = None
        try:
            if self._way is not None:
                answer = await asyncio.wait_for(self._way.trace(), TRACE_S)
                trace = answer.said if answer.status == TAKEN else None
        except (OSError, asyncio.TimeoutError) as error:
            log.warning("The service does not say what it measured: %r", error)
        return await write_bundle(self._settings, order, trace)


def make_way(environ: Mapping[str, str]) -> Way | None:
    """Return where and as whom to report; None if the server was not told."""
    url, token = environ.get("MLABHUB_REPORTS_URL"), environ.get("MLABHUB_REPORT_TOKEN")
    if not url or not token:
        return None
    name = f"{environ.get('JUPYTERHUB_USER', '')}/{environ.get('JUPYTERHUB_SERVER_NAME', '')}"
    return Way(url, token, name)


def make_agent(app: ServerApp, environ: Mapping[str, str]) -> Agent:
    """Return the agent of a server; one that was not told where to report looks all the same, for the hub's sake."""
    launch_id, alone = environ.get("MLABHUB_LAUNCH_ID", ""), environ.get("MLABHUB_OWN_NETWORK") == "1"
    return Agent(app.web_app.settings, Processes(launch_id, all_are_ours=alone), make_way(environ))


def start(app: ServerApp) -> None:
    """Begin, as soon as the server's loop runs."""

    def begin() -> None:
        open_for_tools(app, agent)
        # Kept, or Python would forget the task.
        app.web_app.settings[SETTING] = asyncio.get_running_loop().create_task(agent.run(), name="mlabhub agent")

    agent = make_agent(app, os.environ)
    app.web_app.add_handlers(".*", get_routes(app.base_url, agent.desk, agent.pages))
    app.io_loop.add_callback(begin)


def open_for_tools(app: ServerApp, agent: Agent) -> None:
    """Listen for the server's programs, and let those that are started from now on know where."""
    surroundings = app.web_app.settings.get(SURROUNDINGS)
    if surroundings is None:
        return
    try:
        _, socket = open_door(surroundings.folder.fresh("agent"), agent.desk)
    except OSError as error:
        log.warning("VS Code and the desktop are not told how the server stands: %s", error)
        return
    os.environ[VARIABLE] = str(socket)
