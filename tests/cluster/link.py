"""A line between one hub and the API server that tests can cut, so that nobody else on the cluster notices.

Guarantees: what goes over it is not looked at; after `mend` new connections work, and those of before are gone.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit

from tests.cluster.kubectl import kubectl

BLOCK = 65536


class Link:
    """Listens on 127.0.0.1 and passes everything on to the API server of the current context."""

    def __init__(self) -> None:
        self._config = json.loads(kubectl("config", "view", "--raw", "--minify", "-o", "json"))
        server = urlsplit(self._config["clusters"][0]["cluster"]["server"])
        self._target = (str(server.hostname), server.port or 443)
        self._flows = threading.Event()
        self._flows.set()
        self._sockets: set[socket.socket] = set()
        self._hanging: set[socket.socket] = set()
        self._port = 0
        self._listen()

    def write_kubeconfig(self, folder: Path) -> Path:
        """Write a kubeconfig that leads over this line."""
        cluster = self._config["clusters"][0]["cluster"]
        cluster["server"] = f"https://127.0.0.1:{self._port}"
        cluster["tls-server-name"] = self._target[0]
        file = folder / "linked.kubeconfig"
        file.write_text(json.dumps(self._config))
        return file

    def refuse(self) -> None:
        """Cut all connections and refuse new ones, as when the API server is not there."""
        self._stop_listening()
        self._cut()

    def stall(self) -> None:
        """Let nothing through and answer nothing, as when the network is gone."""
        self._flows.clear()

    def hang(self) -> None:
        """Let nothing more come over the connections of now, which stay open; new ones work."""
        self._hanging |= self._sockets

    def mend(self) -> None:
        """Let everything through again."""
        self._cut()
        self._flows.set()
        if self._listening.fileno() == -1:
            self._listen()

    def close(self) -> None:
        """End it."""
        self._stop_listening()
        self._cut()
        self._flows.set()

    def _listen(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", self._port))
        self._port = self._listening.getsockname()[1]
        threading.Thread(target=self._take, args=(self._listening,), daemon=True).start()

    def _stop_listening(self) -> None:
        """Refuse new connections from now on: only closed, a socket takes one more of them where it is waited for."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _cut(self) -> None:
        for one in tuple(self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _take(self, listening: socket.socket) -> None:
        while True:
            try:
                near = listening.accept()[0]
            except OSError:
                return
            try:
                far = socket.create_connection(self._target, 10)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            self._sockets |= {near, far}
            if listening.fileno() == -1:  # refused in the meantime, maybe after those of then were cut
                self._cut()
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while block := source.recv(BLOCK):
                self._flows.wait()
                if source not in self._hanging:
                    target.sendall(block)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._sockets.discard(source)
        source.close()
