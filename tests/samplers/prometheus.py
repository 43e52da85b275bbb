"""A Prometheus from the distribution's package, in a temporary folder, and an exporter that plays what a test gives it.

Guarantees: both are gone when the block ends or the tests do, however they end.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import shutil
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.installation import free_port, wait_for

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class Exporter:
    """Answers every scrape with ``text``, and that status."""

    def __init__(self) -> None:
        self.text = ""
        self.status = 200
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(exporter.status)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(exporter.text.encode())

            def log_message(self, format: str, *arguments: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def place(self) -> str:
        """Name and port."""
        return f"127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def run_prometheus(folder: Path, jobs: list[dict[str, Any]]) -> Iterator[str]:
    """Run a Prometheus that scrapes every half second, and yield its address."""
    program = shutil.which("prometheus", path="/usr/bin:/usr/local/bin")
    assert program, "prometheus is missing: `make test` installs it"
    folder.mkdir(parents=True, exist_ok=True)
    times = {"scrape_interval": "500ms", "scrape_timeout": "500ms"}
    (folder / "prometheus.yml").write_text(json.dumps({"global": times, "scrape_configs": jobs}))  # JSON is YAML
    port = free_port()
    argv = [
        program,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(argv, preexec_fn=_end_with_us, stdout=log, stderr=subprocess.STDOUT) as process,
    ):
        try:
            wait_for(lambda: _ready(port, process, folder), 30, f"Prometheus at port {port}")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _ready(port: int, process: subprocess.Popen[bytes], folder: Path) -> bool:
    assert process.poll() is None, (folder / "log").read_text()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _end_with_us() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
