"""JupyterLab among the tools: a page of the Jupyter server itself."""

from __future__ import annotations

from importlib.util import find_spec

from mlabhub_proxies.tools import Environ, Tool
from mlabhub_proxies.words import N_


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
