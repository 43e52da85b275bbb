"""VS Code in the browser: code-server on the tool's socket.

Guarantees: settings and extensions are the person's own, in the home, where code-server has always kept them; sockets
and logs are the server's own, so that several servers may share one home; a home that is full or read-only keeps VS
Code from nothing but saving there: its settings are taken along into the server's own folder then.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path

from mlabhub_proxies.desktop.session import can_save
from mlabhub_proxies.tools import Environ, Launch, Program, Tool, home_of
from mlabhub_proxies.words import N_

PLACES = (Path("/opt/code-server"), Path("/opt/mlabhub/code-server"))
"""Where our images have it, and where it is mounted into other images."""
NODE, ENTRY = Path("lib/node"), Path("out/node/entry.js")
FIRST_SETTINGS = {
    "chat.disableAIFeatures": True,
    "window.autoDetectColorScheme": True,
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "workbench.startupEditor": "none",
}
"""For who has none yet: what an extension says of these comes too late for a browser's first look."""
ACTIVE = "active"
"""A file in the tool's folder that our extension for VS Code (``images/base/code-server/activity``) touches while a
person is at work in a window; it holds nothing."""
ACTIVE_VARIABLE = "MLABHUB_VSCODE_ACTIVE"
TAKEN_ALONG = ("settings.json", "keybindings.json", "snippets")
RECONNECTION_SECONDS = 7 * 24 * 3600
"""How long unsaved text and terminals wait for a browser that lost its line, or was closed."""
OPTIONS = (
    *("--auth", "none", "--socket-mode", "600"),
    *("--disable-telemetry", "--disable-update-check", "--disable-workspace-trust"),
    "--disable-getting-started-override",
    *("--reconnection-grace-time", str(RECONNECTION_SECONDS)),
    # Chats with an AI are off; their helper process is not started either.
    *("--vscode-option", "agent-host-bridge-host=none"),
    # The server's own environment is right already; a login shell would be asked for another.
    *("--vscode-option", "force-disable-user-env"),
)
"""Nobody else reaches the socket; and whoever works here trusts the folder, as in the terminal."""


def find(environ: Environ) -> str | None:
    """Return the folder of our code-server, or the program of the image's own."""
    for place in PLACES:
        if os.access(place / NODE, os.X_OK) and (place / ENTRY).is_file():
            return str(place)
    return shutil.which("code-server", path=environ.get("PATH", ""))


def make_command(launch: Launch) -> list[str]:
    """Return code-server's command. It opens the folder of last time, and the home the first time."""
    # Its own Node: the wrapper that others come with does not pass signals on.
    program = [launch.program]
    if os.path.isdir(launch.program):
        program = [str(Path(launch.program) / NODE), str(Path(launch.program) / ENTRY)]
    data, extensions = choose_folders(launch)
    settle(data / "User")
    own = Path(launch.folder)
    return [
        *program,
        *OPTIONS,
        *("--socket", launch.socket),
        *("--session-socket", str(own / "session")),
        *("--config", str(own / "config.yaml")),
        *("--vscode-option", f"logsPath={own / 'logs'}"),
        *("--user-data-dir", str(data)),
        *("--extensions-dir", str(extensions)),
        home_of(launch.environ),
    ]


def make_environment(launch: Launch) -> Environ:
    """Return where our extension tells that a person is at work."""
    return {ACTIVE_VARIABLE: str(Path(launch.folder) / ACTIVE)}


def choose_folders(launch: Launch) -> tuple[Path, Path]:
    """Return where settings and extensions are kept: in the home, or, if it cannot be written, beside the socket."""
    environ = launch.environ
    share = environ.get("XDG_DATA_HOME") or os.path.join(environ.get("HOME") or "/", ".local/share")
    usual = Path(share) / "code-server"
    if can_be_written(usual):
        return usual, usual / "extensions"
    spare = Path(launch.folder) / "data"
    take_along(usual / "User", spare / "User")
    extensions = usual / "extensions"
    return spare, extensions if extensions.is_dir() else spare / "extensions"


def can_be_written(folder: Path) -> bool:
    """Try it: neither permissions nor the free space of a NAS tell for sure."""
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    return can_save(folder)


def take_along(usual: Path, spare: Path) -> None:
    """Copy the person's settings, as far as they can be read."""
    spare.mkdir(parents=True, exist_ok=True)
    for name in TAKEN_ALONG:
        with contextlib.suppress(OSError, shutil.Error):
            if (usual / name).is_dir():
                shutil.copytree(usual / name, spare / name, dirs_exist_ok=True)
            else:
                shutil.copyfile(usual / name, spare / name)


def settle(folder: Path) -> None:
    """Write the first settings, where there are none."""
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "settings.json").open("x") as file:
            json.dump(FIRST_SETTINGS, file, indent=4)


TOOL = Tool(
    slug="vscode",
    title=N_("VS Code"),
    sentence=N_("The editor with its extensions, git and terminals, in the browser."),
    address="vscode/",
    find=find,
    program=Program(
        command=make_command,
        hint=N_(
            "If the log names a setting or an extension, remove it in a terminal from ~/.local/share/code-server, "
            "then try again."
        ),
        environment=make_environment,
        ready_path="/healthz",
        typical_seconds=2,
        longest_seconds=60,
    ),
)
