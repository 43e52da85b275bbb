"""A small real program that tests offer as a tool: ``program.py SOCKET WHAT...``, things to do in this order.

``serve`` answers every path with what it was asked, as JSON, and echoes websockets at ``/echo``.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tornado import httpserver, netutil, web, websocket


class Asked(web.RequestHandler):
    """Says what it was asked."""

    def prepare(self) -> None:
        """Answer any method."""
        if self.request.path == "/end":
            sys.exit(int(self.get_query_argument("status")))
        asked = {
            "method": self.request.method,
            "uri": self.request.uri,
            "headers": dict(self.request.headers.get_all()),
        }
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(asked))


class Large(web.RequestHandler):
    """Says very much, or something for ever, and keeps a file that says how far it came."""

    async def get(self) -> None:
        """Say ``mib`` mebibytes."""
        for number in range(int(self.get_query_argument("mib"))):
            await asyncio.to_thread(Path(self.get_query_argument("mark")).write_text, str(number))
            self.write(bytes(1024 * 1024))
            await self.flush()


class Cut(web.RequestHandler):
    """Promises more than it says, and closes."""

    async def get(self) -> None:
        """Say so many bytes first."""
        if said := int(self.get_query_argument("after")):
            if self.get_query_argument("length", None):
                self.set_header("Content-Length", 1000)
            self.write(bytes(said))
            await self.flush()
            await asyncio.sleep(0.1)
        self.detach().close()


class Leads(web.RequestHandler):
    """Leads elsewhere."""

    def get(self) -> None:
        """Lead where it was asked to."""
        self.set_header("Set-Cookie", "one=1; Path=/")
        self.add_header("Set-Cookie", "two=2; Path=/")
        self.set_header("Location", self.get_query_argument("to"))
        self.set_header("Content-Disposition", "attachment; filename=图.txt".encode().decode("latin-1"))
        self.set_status(302)


class Policy(web.RequestHandler):
    """Has a content security policy of its own."""

    def get(self) -> None:
        """Answer."""
        self.set_header("Content-Security-Policy", "script-src 'self'")
        self.finish()


class Raw(web.RequestHandler):
    """Answers with these very bytes."""

    async def get(self) -> None:
        """Answer."""
        stream = self.detach()
        await stream.write(bytes.fromhex(self.get_query_argument("hex")))
        stream.close()


class Echo(websocket.WebSocketHandler):
    """Says again what it is told."""

    def on_message(self, message: str | bytes) -> None:
        """Say it."""
        self.write_message(message, binary=isinstance(message, bytes))


async def serve(socket: str) -> None:
    """Serve until the end."""
    app = web.Application(
        [
            ("/echo", Echo),
            ("/large", Large),
            ("/leads", Leads),
            ("/cut", Cut),
            ("/policy", Policy),
            ("/raw", Raw),
            (".*", Asked),
        ]
    )
    httpserver.HTTPServer(app).add_socket(netutil.bind_unix_socket(socket, 0o600))
    await asyncio.Event().wait()


def daemon() -> None:
    """Leave a process behind that has cut all its ties, ignores what asks it to end, and says so in the log."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            os.execvp("sleep", ["sleep", os.environ["DAEMON_SLEEPS"]])
        os._exit(0)
    os.wait()


def once(what: str, socket: str) -> None:
    """Do something at the first start in this server only."""
    mark = f"{os.path.dirname(os.path.dirname(socket))}/{what}"
    if not os.path.exists(mark):
        os.close(os.open(mark, os.O_CREAT))
        do(what, socket)


def do(what: str, socket: str) -> None:
    """Do one thing."""
    verb, _, value = what.partition("=")
    if verb == "serve":
        asyncio.run(serve(socket))
    elif verb == "wait":
        time.sleep(float(value))
    elif verb == "link":
        os.symlink(value, socket)
    elif verb == "say":
        print(value, flush=True)
    elif verb == "flood":
        flood = subprocess.Popen(["yes", value])
        flood.poll()
    elif verb == "daemon":
        daemon()
    elif verb == "once":
        once(value, socket)
    elif verb == "exit":
        sys.exit(int(value))
    else:
        raise SystemExit(f"unknown: {what}")


if __name__ == "__main__":
    for one in sys.argv[2:]:
        do(one, sys.argv[1])
