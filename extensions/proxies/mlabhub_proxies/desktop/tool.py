"""The desktop among the tools: KDE Plasma on TigerVNC's X server, on a unix socket.

Guarantees: it is offered only where both are installed; any other desktop would lack the settings that are made here.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from mlabhub_proxies.desktop.messages import ClientMessages
from mlabhub_proxies.tools import Environ, Launch, Program, Tool
from mlabhub_proxies.words import N_

SESSION = Path(__file__).with_name("session.py")
X_SERVERS = ("Xtigervnc", "Xvnc")
NEEDED = ("startplasma-x11", "dbus-run-session")


def find(environ: Environ) -> str | None:
    """Return the X server if there is all that a desktop needs."""
    path = environ.get("PATH")
    return find_x_server(environ) if all(shutil.which(program, path=path) for program in NEEDED) else None


def find_x_server(environ: Environ) -> str | None:
    """Return the X server that speaks VNC."""
    path = environ.get("PATH")
    return next(filter(None, (shutil.which(program, path=path) for program in X_SERVERS)), None)


def make_command(launch: Launch) -> list[str]:
    """Return the session's command. ``-I``: nothing in the user's folders is imported."""
    return [sys.executable, "-I", str(SESSION), launch.program, launch.socket]


TOOL = Tool(
    slug="desktop",
    title=N_("Desktop"),
    sentence=N_("A KDE Plasma desktop with a terminal, a file manager, an editor and a web browser."),
    address="desktop/",
    find=find,
    program=Program(
        command=make_command,
        hint=N_("If your home folder is full, delete something in a terminal. Then try again."),
        ready_path=None,
        route="desktop-vnc",
        raw=True,
        messages=ClientMessages,
        typical_seconds=3,
        longest_seconds=60,
    ),
)
