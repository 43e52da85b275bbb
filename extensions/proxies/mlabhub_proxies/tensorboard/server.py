"""A server that is TensorBoard alone: ``python -m mlabhub_proxies.tensorboard.server``.

It takes the place of ``jupyterhub-singleuser`` where somebody wants to look at training runs without an environment;
the hub starts it and knows who may open it, as with every server.

Guarantees: nothing in it starts a kernel or a terminal, reads or writes a file by request, or proxies to anything but
our TensorBoard; no configuration file is read, the person's own neither, so none can add to that. When nobody has used
it for ``MLABHUB_UNUSED_SECONDS`` it ends with status 75 and says so in its last line; however else it ends, it has
another status.
"""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import sys
from typing import Any

# Read when Jupyter is first imported.
os.environ["JUPYTER_NO_CONFIG"] = "1"
os.environ["JUPYTERHUB_DEFAULT_URL"] = "/tensorboard/"

from jupyter_core.paths import jupyter_config_dir
from jupyter_server.serverapp import ServerApp
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from jupyter_server_proxy.config import make_handlers
from jupyterhub.singleuser.extension import JupyterHubSingleUser
from tornado.ioloop import PeriodicCallback
from traitlets import Bool, Type, default

from mlabhub_proxies.surroundings import SETTING
from mlabhub_proxies.tensorboard.board import KEY, Board
from mlabhub_proxies.tensorboard.use import read_longest

UNUSED_STATUS = 75
"""The exit status that tells the hub that nobody used it."""
UNUSED_SECONDS = "MLABHUB_UNUSED_SECONDS"
LOOKS_PER_SPAN = 20


class NoFiles(AsyncLargeFileManager):
    """Has no address from which a file could be read."""

    def get_extra_handlers(self) -> list[Any]:
        """Add none."""
        return []


class TensorBoardServer(ServerApp):
    """A Jupyter server without kernels, files and terminals, which ends when nobody uses it."""

    default_services: tuple[str, ...] = ("auth", "api", "security")  # type: ignore[assignment]
    allow_root = Bool(True)
    terminals_enabled = Bool(False)
    contents_manager_class = Type(NoFiles)
    unused = False

    @default("cookie_secret")
    def _default_cookie_secret(self) -> bytes:
        """Keep it to this run: the base class writes it into the home, which may be full."""
        return secrets.token_bytes(32)

    @property
    def board(self) -> Board:
        """What knows when somebody was last here."""
        board: Board = self.web_app.settings[SETTING].kept[KEY]
        return board

    def start_ioloop(self) -> None:
        """Serve, and look now and then whether somebody is still here."""
        longest = read_longest(os.environ.get(UNUSED_SECONDS))
        self.board.use.longest_s = longest
        self.board.use.note()
        watch = PeriodicCallback(self.end_if_unused, 1000 * min(30.0, longest / LOOKS_PER_SPAN))
        self.io_loop.add_callback(watch.start)
        super().start_ioloop()

    def end_if_unused(self) -> None:
        """End if nobody was here for long enough."""
        left = self.board.use.left_s
        if left is not None and left <= 0 and not self.unused:
            self.unused = True
            self.stop()


class Starter(JupyterHubSingleUser):
    """JupyterHub's own single-user server, made smaller."""

    serverapp_class = TensorBoardServer
    load_other_extensions = False
    serverapp_config: dict[str, Any] = {"jpserver_extensions": {"mlabhub_proxies": True}}  # noqa: RUF012

    @classmethod
    def get_extension_package(cls) -> str:
        """Return where Jupyter finds the extension that this one starts."""
        return "jupyterhub"

    @classmethod
    def initialize_server(cls, *arguments: Any, **more: Any) -> ServerApp:
        """Make the server, and add TensorBoard's addresses: jupyter-server-proxy would add many others too."""
        server = super().initialize_server(*arguments, **more)
        tools = server.config.ServerProxy.servers.values()
        server.web_app.add_handlers(".*", make_handlers(server.base_url, list(tools)))
        return server


def main() -> None:
    """Serve until told to end, or until nobody uses it."""
    os.environ["MLABHUB_TOOLS"] = "tensorboard"
    # Without configuration Jupyter makes an empty folder in its place, and leaves it.
    atexit.register(shutil.rmtree, jupyter_config_dir(), ignore_errors=True)
    Starter.launch_instance()
    server = TensorBoardServer.instance()
    if server.unused:
        print(f"Nobody used this TensorBoard for {server.board.use.longest_s:g} s, so it has ended.", flush=True)
        sys.exit(UNUSED_STATUS)


if __name__ == "__main__":
    main()
