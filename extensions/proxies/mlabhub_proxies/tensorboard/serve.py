"""Run TensorBoard on a unix socket: ``python -m mlabhub_proxies.tensorboard.serve --socket S --folders F``.

TensorBoard itself listens on TCP only and asks nobody who they are, so that on a shared machine every local user could
read it. This program gives it a server of its own on a socket that only its person may open.

Guarantees: nothing listens on TCP unless ``--own-network`` says that the network is this person's alone (TensorBoard's
fast loader needs a port of its own between its two processes); each of its processes stays below ``--memory-mib`` and
is the first to go when an environment's memory runs out, so that logs never take a notebook's kernel down; when it
cannot go on it says why in its last line and ends. A plug-in that cannot be loaded is left out.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from importlib import metadata
from types import ModuleType
from typing import Any

# TensorFlow would be taken where it is installed: half a gigabyte and many seconds, for nothing that is needed here.
sys.modules["tensorboard.compat.notf"] = ModuleType("tensorboard.compat.notf")

from tensorboard import default  # noqa: E402
from tensorboard.backend.event_processing import io_wrapper  # noqa: E402
from tensorboard.program import TensorBoard, TensorBoardServer  # noqa: E402
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler  # noqa: E402

from mlabhub_proxies.tensorboard.look import Budget, walk  # noqa: E402

RELOAD_S = 5
STACK_BYTES = 1024**2
SCRIPT = b'<script type="module" src="../mlabhub/static/tensorboard.js"></script>'
# Its letters are the one thing that TensorBoard's page asks for at the address's root, where another server may be.
AT_ROOT, BELOW_PAGE = b"url(/font-roboto/", b"url(font-roboto/"
MOST_FOLDERS = 200_000
# Without the fast loader a point of a curve takes 1.2 KiB instead of 0.1.
FEW_SAMPLES = {"scalars": 300, "histograms": 100, "images": 10}

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class RequestHandler(WSGIRequestHandler):
    """Keeps connections open, and says nothing about each request."""

    protocol_version = "HTTP/1.1"

    def log_request(self, *args: object) -> None:
        """Say nothing."""


class UnixServer(ThreadedWSGIServer, TensorBoardServer):
    """Serves TensorBoard on the socket that its ``host`` names."""

    def __init__(self, wsgi_app: Wsgi, flags: argparse.Namespace) -> None:
        self._flags = flags
        before = os.umask(0o177)
        try:
            super().__init__(flags.host, 0, with_script(wsgi_app), RequestHandler)
        finally:
            os.umask(before)

    def server_bind(self) -> None:
        """Bind; the base class would ask the name service what a socket's path is called."""
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "localhost", 0

    def get_url(self) -> str:
        """Return where it is."""
        return str(self._flags.host)


def with_script(application: Wsgi) -> Wsgi:
    """Let TensorBoard's own page load our script, which has the way to the list of folders, and its own letters."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("PATH_INFO") not in ("", "/", "/index.html"):
            return application(environ, start_response)
        environ.pop("HTTP_ACCEPT_ENCODING", None)
        started: list[Any] = []
        page = b"".join(application(environ, lambda *given: started.append(given)))
        page = page.replace(b"</head>", SCRIPT + b"</head>", 1).replace(AT_ROOT, BELOW_PAGE)
        status, headers, *_ = started[0]
        others = [(name, value) for name, value in headers if name.lower() != "content-length"]
        start_response(status, [*others, ("Content-Length", str(len(page)))])
        return [page]

    return answer


def load_plugins() -> Iterator[Any]:
    """Yield TensorBoard's own plug-ins and those of other packages that can be loaded."""
    yield from default.get_static_plugins()
    for entry in metadata.entry_points(group="tensorboard_plugins"):
        try:
            yield entry.load()
        except Exception as fault:
            print(f"Plug-in {entry.name} is left out: {fault}", flush=True)


def stay_small(memory_mib: int) -> None:
    """Bound this process and those it starts, and let them be the first to go when memory runs out."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = memory_mib * 1024**2
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    threading.stack_size(STACK_BYTES)
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as stream:
        stream.write("1000")


def find_runs(path: str) -> Iterator[str]:
    """Yield the folders with event files below one; unlike TensorBoard's own way it ends where links form a loop."""
    return (folder for folder, event_files in walk(path, Budget(MOST_FOLDERS, 60.0)) if event_files)


def list_files(folder: str, usual: Callable[[str], Iterable[str]] = io_wrapper.ListDirectoryAbsolute) -> Iterator[str]:
    """Yield what TensorBoard may open in a folder: a pipe would keep it for ever, a link to itself would end it."""
    return (path for path in usual(folder) if os.path.isfile(path))


def end(why: str) -> None:
    """Say why, and end with all that was started."""
    print(why, flush=True)
    os._exit(1)


def end_with_loader(ended: threading.ExceptHookArgs) -> None:
    """End when the thread that reads the logs has ended: the curves would stand still and nobody would know."""
    threading.__excepthook__(ended)
    if ended.thread is not None and ended.thread.name.startswith("Reloader"):
        end(f"Reading the logs failed: {ended.exc_type.__name__}. {TOO_MUCH}")


TOO_MUCH = "If they are very large, choose folders further down, or fewer."


def main() -> None:
    """Serve until told to end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--socket", required=True)
    parser.add_argument("--folders", required=True, help="a folder with a link for each log folder")
    parser.add_argument("--memory-mib", type=int, default=1024)
    parser.add_argument("--own-network", action="store_true")
    chosen = parser.parse_args()
    stay_small(chosen.memory_mib)
    threading.excepthook = end_with_loader
    # Where a site has an HTTP proxy, TensorBoard would ask it for the way to its own loader.
    os.environ["no_grpc_proxy"] = "localhost,127.0.0.1,::1"  # noqa: SIM112
    io_wrapper.GetLogdirSubdirectories = find_runs
    io_wrapper.ListDirectoryAbsolute = list_files
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

    board = TensorBoard(plugins=list(load_plugins()), server_class=UnixServer)
    board.configure(
        ("tensorboard", f"--logdir={chosen.folders}"),
        host=f"unix://{chosen.socket}",
        reload_interval=RELOAD_S,
        load_fast="auto" if chosen.own_network else "false",
        samples_per_plugin={} if chosen.own_network else FEW_SAMPLES,
    )
    board.launch()
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
    except ChildProcessError:
        signal.pause()
    end(f"Reading the logs took more than {chosen.memory_mib} MiB of memory, or failed otherwise. {TOO_MUCH}")


if __name__ == "__main__":
    main()
