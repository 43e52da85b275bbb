"""Lets the agent's loop be in a hurry: looks and reports come within a second. Loaded beside ``mlabhub_agent``."""

from __future__ import annotations

from typing import Any

from jupyter_server.serverapp import ServerApp

from mlabhub_agent import agent


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    return [{"module": "tests.extensions.hurried_agent"}]


def _link_jupyter_server_extension(app: ServerApp) -> None:
    """All extensions are linked before the first is loaded."""
    run = agent.Agent.run
    agent.Agent.run = lambda self: run(self, look_s=0.1, report_s=0.5)  # type: ignore[assignment,method-assign,misc]


def _load_jupyter_server_extension(app: ServerApp) -> None:
    """Nothing is left to do."""
