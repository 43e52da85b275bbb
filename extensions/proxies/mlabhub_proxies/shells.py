"""Jupyter's terminals, so that a page can come back to a shell after a cut line, and a flood of output drowns nobody.

They stay the shells that JupyterLab lists and that ``api/terminals`` starts and ends.

Guarantees: a shell runs on whatever happens to the browser; after a break the page goes on where it was, with what was
printed meanwhile and nothing twice, and what was typed is typed once; a flood of output costs neither the server nor
the browser more than a window of it (`WINDOW`, `mlabhub_proxies.tape`), and never slows the shell down; at most
`MOST_TERMINALS` run at once.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_core.utils import ensure_async
from jupyter_server._tz import utcnow
from jupyter_server.auth.decorator import ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from jupyter_server_terminals.terminalmanager import TerminalManager
from tornado import web
from tornado.ioloop import IOLoop
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from mlabhub_proxies.person import note
from mlabhub_proxies.tape import Tape

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

MOST_TERMINALS = 32
WINDOW = 2**18
"""Characters that may be on their way to a browser that has not drawn them yet."""
PIECE = 2**15
LONGEST_INPUT = 2**20
PAGES = 64
"""Pages of which a shell remembers how much of what they typed it has taken."""
LARGEST_SCREEN = 2000


def link(app: ServerApp) -> None:
    """Let Jupyter's terminals be ours, unless the site chose a class of its own."""
    point = app.extension_manager.extension_points.get("jupyter_server_terminals")
    if point and point.app.terminal_manager_class is TerminalManager:
        point.app.terminal_manager_class = LastingTerminals


class LastingTerminals(TerminalManager):
    """Jupyter's terminals, each with a tape, and not endlessly many."""

    def create(self, **kwargs: Any) -> Any:
        """Start a shell, in the home folder unless something else is asked for: the server itself runs in ``/``."""
        if len(self.terminals) >= MOST_TERMINALS:
            raise web.HTTPError(409, f"{MOST_TERMINALS} terminals run already. Close one of them first.")
        home = Path.home()
        if home.is_dir():
            kwargs.setdefault("cwd", str(home))
        return super().create(**kwargs)

    def new_terminal(self, **kwargs: Any) -> Any:
        """Start a shell whose output is kept on a tape, and which knows what each page has typed."""
        terminal: Any = super().new_terminal(**kwargs)
        terminal.read_buffer = Tape()
        terminal.taken = {}
        return terminal


class TerminalSocket(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """One page's view of one shell.

    JSON objects. From the page: ``{"number": n, "text": typed}``, ``{"size": [rows, columns]}``,
    ``{"drawn": position}``. To the page: ``{"tape": id, "taken": n}`` first, then
    ``{"start": position, "end": position, "text": printed}``, ``{"taken": n}``, ``{"ended": true}``.
    """

    auth_resource = "terminals"

    def initialize(self) -> None:
        """Be nobody's view yet."""
        self.size: tuple[int | None, int | None] = (None, None)
        self._terminal: Any = None  # terminado's, with what `LastingTerminals` adds
        self._page = ""
        self._sent = self._drawn = 0

    @property
    def _terminals(self) -> LastingTerminals:
        manager: LastingTerminals = self.settings["terminal_manager"]
        return manager

    @ws_authenticated
    async def get(self, name: str) -> None:
        """Connect, if the person may use terminals here."""
        user = self.current_user
        if not await ensure_async(self.authorizer.is_authorized(self, user, "execute", self.auth_resource)):
            raise web.HTTPError(403)
        await super().get(name)

    def open(self, name: str) -> None:
        """Go on where the page was, if its shell still runs."""
        super().open(name)
        terminal: Any = self._terminals.terminals.get(name)
        tape = self.get_argument("tape", "")
        if terminal is None or (tape and tape != terminal.read_buffer.id):
            self.on_pty_died()
            return
        self._terminal = terminal
        self._page = self.get_argument("page", "")[:64]
        position = self.get_argument("drawn", "")
        self._sent = self._drawn = int(position) if position.isdecimal() and len(position) < 16 else 0
        taken = terminal.taken.setdefault(self._page, 0)
        while len(terminal.taken) > PAGES:
            del terminal.taken[next(iter(terminal.taken))]
        self._send(tape=terminal.read_buffer.id, taken=taken)
        terminal.clients.append(self)
        self._pump()

    def on_pty_read(self, text: str) -> None:
        """The shell printed something; it is on the tape."""
        self._pump()

    def on_pty_died(self) -> None:
        """The shell ended."""
        self._pump(window=float("inf"))
        self._terminal = None
        self._send(ended=True)
        self.close(1000)

    def _pump(self, window: float = WINDOW) -> None:
        """Send what is new, as far as the page keeps up."""
        if self._terminal is None:
            return
        tape: Tape = self._terminal.read_buffer
        while self._sent < tape.end and self._sent - self._drawn < window:
            start, text = tape.read(self._sent, PIECE)
            self._drawn += start - self._sent  # what is skipped need not be drawn
            self._sent = start + len(text)
            self._send(start=start, end=self._sent, text=text)

    def _send(self, **content: Any) -> None:
        try:
            self.write_message(json.dumps(content))
        except WebSocketClosedError:
            self.log.debug("Terminal: the line is cut")

    async def on_message(self, message: str | bytes) -> None:
        """Take what the page says; what makes no sense is ignored."""
        try:
            said = json.loads(message)
        except ValueError:
            return
        if self._terminal is None or not isinstance(said, dict):
            return
        match said:
            case {"number": int(number), "text": str(text)}:
                await self._type(self._terminal, number, text[:LONGEST_INPUT])
            case {"size": [int(rows), int(columns)]} if 0 < rows <= LARGEST_SCREEN and 0 < columns <= LARGEST_SCREEN:
                self.size = (rows, columns)
                self._terminal.resize_to_smallest()
            case {"drawn": int(position)}:
                self._drawn = max(self._drawn, min(position, self._sent))
                self._pump()

    async def _type(self, terminal: Any, number: int, text: str) -> None:
        """Type it, unless an earlier connection of the page brought it already."""
        if number == terminal.taken.get(self._page, 0) + 1:
            terminal.taken[self._page] = number
            terminal.last_activity = utcnow()
            note(self.settings, "terminal")
            executor = self._terminals.blocking_io_executor
            await IOLoop.current().run_in_executor(executor, terminal.ptyproc.write, text)
        self._send(taken=terminal.taken.get(self._page, 0))

    def on_close(self) -> None:
        """Leave the shell alone; it runs on."""
        if self._terminal and self in self._terminal.clients:
            self._terminal.clients.remove(self)
            self._terminal.resize_to_smallest()
        super().on_close()
