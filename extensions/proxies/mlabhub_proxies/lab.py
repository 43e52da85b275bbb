"""JupyterLab among the tools: a page of the Jupyter server itself, and what our part of that page has to know."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from mlabhub_proxies.kernels import LastingConnection
from mlabhub_proxies.tools import Environ, Tool
from mlabhub_proxies.words import N_

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

    from mlabhub_proxies.surroundings import Surroundings


def tell(app: ServerApp, surroundings: Surroundings) -> None:
    """Put into JupyterLab's page what our part of it (``extensions/lab/src/facts.ts``) has to know of the server."""
    settings = app.web_app.settings
    settings.setdefault("page_config_data", {})["mlabhub"] = {
        "safe": surroundings.is_safe,
        "home": surroundings.hub_home,
        "numbers_kernels": issubclass(settings["kernel_websocket_connection_class"], LastingConnection),
    }


def find(environ: Environ) -> str | None:
    """Return something if JupyterLab is installed."""
    return "lab" if find_spec("jupyterlab") else None


TOOL = Tool(
    slug="lab",
    title=N_("JupyterLab"),
    sentence=N_("Notebooks, files and a console, in the browser."),
    address="lab",
    find=find,
)
