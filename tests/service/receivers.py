"""Real receivers of messages on this machine: an HTTP server that behaves as it is told, and a mail server."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller

from tests.installation import free_port


@dataclass
class Receiver:
    """What came in. ``answers`` are the next statuses, then 200; ``behave`` is done before every answer."""

    port: int = 0
    got: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    behave: str = "answer"
    delay: float = 0.0
    asked: int = 0
    free: threading.Event = field(default_factory=threading.Event)

    def address(self, rest: str = "") -> str:
        """Return the address of Apprise for it."""
        return f"json://robot:hunter2hunter2@127.0.0.1:{self.port}/secret-path/{rest}"


@contextmanager
def http_receiver() -> Iterator[Receiver]:
    """Run a receiver of webhooks."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.asked += 1
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if receiver.behave == "close":
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            if receiver.behave == "hang":
                receiver.free.wait(60)
                return
            if receiver.behave == "drip":
                self._drip()
                return
            time.sleep(receiver.delay)
            status = receiver.answers.pop(0) if receiver.answers else 200
            if status == 200:
                receiver.got.append(json.loads(body))
                receiver.paths.append(self.path)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"hunter2hunter2 is what you sent")

        def _drip(self) -> None:
            """Answer a byte at a time, so that no time-out between two bytes ever ends it."""
            try:
                for character in b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 10_000:
                    self.wfile.write(bytes([character]))
                    if receiver.free.wait(0.2):
                        return
            except OSError:
                return

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.free.set()
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Mailbox:
    """Mails that came in: to whom by the envelope, and what they are."""

    port: int = 0
    got: list[tuple[list[str], EmailMessage]] = field(default_factory=list)
    refuse: str = ""

    def address(self, rest: str) -> str:
        """Return the address of Apprise for it."""
        return f"mailto://127.0.0.1:{self.port}?from=robot@lab.example&mode=insecure&{rest}"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.refuse:
            return self.refuse
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.got.append((list(envelope.rcpt_tos), mail))
        return "250 OK"


@contextmanager
def mail_server() -> Iterator[Mailbox]:
    """Run a mail server."""
    box = Mailbox()
    box.port = free_port()
    controller = Controller(box, hostname="127.0.0.1", port=box.port)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()
