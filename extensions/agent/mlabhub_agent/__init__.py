"""Tells the hub's service whether somebody works in this server. A Jupyter server extension."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

__version__ = "0.1.0"


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    return [{"module": "mlabhub_agent"}]


def _load_jupyter_server_extension(app: ServerApp) -> None:
    from mlabhub_agent.agent import start

    start(app)
