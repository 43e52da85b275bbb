"""The tools of an mlabhub server in the browser: VS Code, desktop, TensorBoard, terminal, one bar around them.

A Jupyter server extension. When it is linked, it puts our tools into the configuration of jupyter-server-proxy, which
then makes their launcher tiles and proxies to them; when it is loaded, it adds our own pages.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

    from mlabhub_proxies.surroundings import Route, Surroundings
    from mlabhub_proxies.tools import Tool

__version__ = "0.1.0"


def link(app: ServerApp, tools: Iterable[Tool]) -> None:
    """Let jupyter-server-proxy know which tools this server offers. Names that are configured already win."""
    from jupyter_server_proxy.config import ServerProxy
    from traitlets.config import Config

    from mlabhub_proxies import shells
    from mlabhub_proxies.process import ToolProcess
    from mlabhub_proxies.surroundings import SETTING, Surroundings
    from mlabhub_proxies.words import get_translator, match_language

    surroundings = Surroundings.look(tools, app.base_url, os.environ)
    atexit.register(surroundings.close)
    t = get_translator(match_language(os.environ.get("LANG", "").partition(".")[0]) or "en")
    servers = {one.tool.route: ToolProcess(one, t(one.tool.title)) for one in surroundings.running.values()}
    configured = ServerProxy(parent=app).servers
    app.update_config(Config({"ServerProxy": {"servers": {**servers, **configured}}}))
    app.tornado_settings = {**app.tornado_settings, SETTING: surroundings}
    shells.link(app)


def load(app: ServerApp, parts: Iterable[Callable[[Surroundings], list[Route]]]) -> None:
    """Add our pages to the server."""
    from mlabhub_proxies import kernels, lab, person
    from mlabhub_proxies.frames import FrameKey
    from mlabhub_proxies.surroundings import SETTING

    surroundings = app.web_app.settings[SETTING]
    app.web_app.transforms.append(FrameKey)
    kernels.load(app)
    lab.tell(app, surroundings)
    person.load(app)
    for part in parts:
        app.web_app.add_handlers(".*", part(surroundings))


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    return [{"module": "mlabhub_proxies"}]


def _link_jupyter_server_extension(app: ServerApp) -> None:
    from mlabhub_proxies.parts import TOOLS

    link(app, TOOLS)


def _load_jupyter_server_extension(app: ServerApp) -> None:
    from mlabhub_proxies.parts import PARTS

    load(app, PARTS)
