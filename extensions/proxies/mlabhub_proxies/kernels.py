"""Kernels' websockets that outlast a cut line, together with JupyterLab's side (``extensions/lab``).

Jupyter writes a kernel's messages into a connection without knowing whether they arrive: what was on its way when a
line broke, or was written into one that had been dead for a minute, is lost, and so is all that comes meanwhile unless
it was the kernel's only connection. Here a browser that names its websocket (``mlabhub_socket``) gets its messages
numbered and kept, and after a break it says how many it has seen (``mlabhub_seen``).

Guarantees: such a browser receives each message of a kernel once and in order, and a kernel each of the browser's, over
any number of connections; what is kept is bounded (`KEPT_BYTES` for each websocket, `AWAITED` websockets that are away,
for `AWAITED_SECONDS`), and if more was said the oldest is lost and logged; other browsers get Jupyter's own behaviour.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from tornado.ioloop import PeriodicCallback
from tornado.websocket import WebSocketClosedError

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

KEPT_BYTES = 16 * 2**20
AWAITED = 32
AWAITED_SECONDS = 24 * 3600
SWEEP_SECONDS = 30
LEFT_TO_COME_BACK = (None, 1006, 4000)
"""Closing codes of a line that broke, and of a browser that gave up on a dead one; all others say that it is done."""

Message = str | bytes


def load(app: ServerApp) -> None:
    """Let kernels' websockets be ours, unless the site chose a class of its own."""
    settings = app.web_app.settings
    if settings["kernel_websocket_connection_class"] is ZMQChannelsWebsocketConnection:
        settings["kernel_websocket_connection_class"] = LastingConnection


class Conversation:
    """What was said over one lasting websocket."""

    def __init__(self, seen: int) -> None:
        self.taken = 0
        """How many of the browser's messages went to the kernel."""
        self.channels: dict[str, Any] = {}
        """The kernel's channels while the browser is away."""
        self.connection: LastingConnection | None = None
        self.away_since = 0.0
        self._kept: deque[tuple[Message, bool]] = deque()
        self._before = seen
        self._bytes = 0

    def keep(self, message: Message, binary: bool) -> None:
        """Remember what is said to the browser."""
        self._kept.append((message, binary))
        self._bytes += len(message)
        while self._bytes > KEPT_BYTES and len(self._kept) > 1:
            self._bytes -= len(self._kept.popleft()[0])
            self._before += 1

    def after(self, seen: int) -> Iterator[tuple[Message, bool]]:
        """Yield what the browser has not seen."""
        missing = min(self._before + len(self._kept) - seen, len(self._kept))
        yield from list(self._kept)[len(self._kept) - missing :] if missing > 0 else ()

    def lost_before(self, seen: int) -> int:
        """Return how many messages are neither seen nor kept."""
        return max(0, self._before - seen)

    def close_channels(self) -> None:
        """Let go of the kernel."""
        for stream in self.channels.values():
            if not stream.closed():
                stream.on_recv(None)
                stream.close()
        self.channels = {}


class LastingConnection(ZMQChannelsWebsocketConnection):
    """A kernel connection that goes on where an earlier one of the same websocket broke off."""

    conversations: ClassVar[dict[str, Conversation]] = {}
    _sweeper: ClassVar[PeriodicCallback | None] = None

    _conversation: Conversation | None = None
    _name = ""
    _seen = 0
    _protocol: str | None = None
    _took_over = False
    _is_over = False

    async def prepare(self) -> None:
        """End an earlier connection of the same websocket if the server has not noticed yet that it is dead."""
        if name := self.websocket_handler.get_argument("mlabhub_socket", ""):
            self._name = f"{self.kernel_id}/{name[:64]}"
            seen = self.websocket_handler.get_argument("mlabhub_seen", "0")
            self._seen = int(seen) if seen.isdecimal() and len(seen) < 16 else 0
            known = self.conversations.get(self._name)
            if known and known.connection:
                dead = known.connection
                dead.disconnect()
                dead.websocket_handler.close()
        await super().prepare()

    def connect(self) -> asyncio.Future[None] | None:  # type: ignore[override]
        """Say what was taken, repeat what was not seen, go on."""
        self._protocol = self.subprotocol
        if self._name and self._protocol:  # the old protocol has no room for our numbers
            conversation = self.conversations.setdefault(self._name, Conversation(self._seen))
            conversation.connection = self
            self._conversation = conversation
            self._send(json.dumps({"taken": conversation.taken}), binary=False)
            if lost := conversation.lost_before(self._seen):
                self.log.warning("%s messages of kernel %s came in a cut line and are lost", lost, self.kernel_id)
            for message, binary in conversation.after(self._seen):
                self._send(message, binary)
        return super().connect()

    def create_stream(self) -> None:
        """Take the channels over that listened while the browser was away; they have missed nothing."""
        conversation = self._conversation
        if not conversation or not conversation.channels or self.multi_kernel_manager.ports_changed(self.kernel_id):
            super().create_stream()
            return
        self.channels, conversation.channels = conversation.channels, {}
        self._took_over = True
        for stream in self.channels.values():
            stream.on_recv_stream(self.handle_outgoing_message)

    def nudge(self) -> asyncio.Future[None]:
        """Ask a kernel for signs of life, unless the channels are known to work: it would swallow messages."""
        if not self._took_over:
            return super().nudge()
        done: asyncio.Future[None] = asyncio.Future()
        done.set_result(None)
        return done

    @property
    def subprotocol(self) -> str | None:
        """How messages are written: as agreed with the browser, also when it is away."""
        return self._protocol or super().subprotocol

    @property
    def write_message(self) -> Any:
        """What says something to the browser."""
        return self._say

    def _say(self, message: Message, binary: bool = False) -> None:
        if self._conversation:
            self._conversation.keep(message, binary)
        if not self._is_over:
            self._send(message, binary)

    def _send(self, message: Message, binary: bool) -> None:
        try:
            self.websocket_handler.write_message(message, binary=binary)
        except WebSocketClosedError:
            self.log.debug("Kernel %s: the line is cut", self.kernel_id)

    def handle_incoming_message(self, incoming_msg: str) -> None:
        """Pass a message to the kernel, and confirm it."""
        if self._is_over:
            return
        super().handle_incoming_message(incoming_msg)
        if self._conversation and self.channels:
            self._conversation.taken += 1
            self._send(json.dumps({"taken": self._conversation.taken}), binary=False)

    def disconnect(self) -> None:  # type: ignore[override]
        """Go on listening to the kernel if the line broke; otherwise do as Jupyter does."""
        if self._is_over:
            return
        self._is_over = True
        conversation = self._conversation
        if not conversation:
            super().disconnect()
            return
        conversation.connection = None
        broken = self.websocket_handler.close_code in LEFT_TO_COME_BACK
        if not broken or self.kernel_id not in self.multi_kernel_manager:
            self.conversations.pop(self._name, None)
            super().disconnect()
            return
        conversation.channels, self.channels = self.channels, {}
        super().disconnect()
        self.multi_kernel_manager.stop_buffering(self.kernel_id)  # Jupyter's own keeping, of no channel at all
        self.limit_rate = False  # nobody is flooded by what is only kept
        conversation.away_since = time.monotonic()
        self._sweep_from_now_on()

    def _sweep_from_now_on(self) -> None:
        cls = type(self)
        kernels = self.multi_kernel_manager
        if cls._sweeper is None:
            cls._sweeper = PeriodicCallback(lambda: cls.sweep(kernels), SWEEP_SECONDS * 1000)
        cls._sweeper.start()
        cls.sweep(kernels)

    @classmethod
    def sweep(cls, kernels: Any) -> None:
        """Forget conversations whose kernel is gone, and those that are away for too long or are too many."""
        away = [(each.away_since, name) for name, each in cls.conversations.items() if not each.connection]
        away.sort()
        limit = time.monotonic() - AWAITED_SECONDS
        for place, (since, name) in enumerate(away):
            if since < limit or place < len(away) - AWAITED or name.split("/")[0] not in kernels:
                cls.conversations.pop(name).close_channels()
        if cls._sweeper and not any(each.channels for each in cls.conversations.values()):
            cls._sweeper.stop()
