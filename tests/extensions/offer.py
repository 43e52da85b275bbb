"""The extension with the tools of a test: the environment variable OFFER is JSON, ``{"slug": ["what", ...]}``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from jupyter_server.serverapp import ServerApp

from mlabhub_proxies import link, load
from mlabhub_proxies.desktop.messages import ClientMessages
from mlabhub_proxies.parts import PARTS, TOOLS
from mlabhub_proxies.tools import Launch, Program, Tool

PROGRAM = Path(__file__).with_name("program.py")


def make_tool(slug: str, *what: str, raw: bool = False, route: str | None = None, longest_seconds: int = 20) -> Tool:
    """Return a tool whose program does these things."""

    def command(launch: Launch) -> list[str]:
        return [launch.program, str(PROGRAM), launch.socket, *what]

    return Tool(
        slug=slug,
        title=slug.capitalize(),
        sentence="A tool of the tests.",
        address=f"{slug}/",
        find=lambda environ: sys.executable if what else None,
        program=Program(
            command=command,
            hint="Look into the log, then try again.",
            ready_path=None if raw else "/",
            typical_seconds=1,
            longest_seconds=longest_seconds,
            raw=raw,
            messages=ClientMessages if raw else None,
            route=route,
        ),
    )


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    return [{"module": "tests.extensions.offer"}]


def _link_jupyter_server_extension(app: ServerApp) -> None:
    offer = json.loads(os.environ["OFFER"])
    tools = [make_tool(slug, *what["does"], **what.get("more", {})) for slug, what in offer.items()]
    # A test's tool stands in for ours of the same name.
    link(app, [*(tool for tool in TOOLS if tool.slug not in offer), *tools])


def _load_jupyter_server_extension(app: ServerApp) -> None:
    load(app, PARTS)
