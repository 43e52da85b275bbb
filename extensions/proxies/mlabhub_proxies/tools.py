"""What a tool is, and which tools a server offers.

Guarantees: nothing here starts a program or touches the network; a tool is offered only if the profile allows it and
its program is in the image.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlabhub_proxies.desktop.messages import ClientMessages
    from mlabhub_proxies.surroundings import Surroundings

ALLOWED = "MLABHUB_TOOLS"
"""Names the tools that the server's profile allows, by comma; absent: all that are found."""
HOME = "MLABHUB_HOME"
"""The person's home folder; all servers of a hub have it."""
ICONS = Path(__file__).parent / "static" / "icons"

Environ = Mapping[str, str]


@dataclass(frozen=True)
class Launch:
    """What the command of a tool's program is made from."""

    program: str
    """What `Tool.find` found."""
    socket: str
    """The unix socket that the program is to listen on. Nothing is there yet."""
    folder: str
    """A folder of this tool in this server, mode 0700, empty at every start and removed with the server."""
    base_url: str
    """The server's path, ``/user/alice/``."""
    environ: Environ
    """The server's environment, which the program inherits."""


def no_environment(launch: Launch) -> Environ:
    """Add nothing to the server's environment."""
    return {}


@dataclass(frozen=True)
class Program:
    """The process behind a tool: started when it is first wanted, and kept as one of the server's."""

    command: Callable[[Launch], list[str]]
    """Return the argument list. The program stays in the foreground and listens on `Launch.socket`."""
    hint: str
    """A sentence (`N_`): what a person can do when it does not start."""
    remedy: tuple[str, str] | None = None
    """The page of ours that the hint speaks of: its address below the server's path, and its name (`N_`)."""
    environment: Callable[[Launch], Environ] = no_environment
    """Return what is added to the server's environment."""
    ready_path: str | None = "/"
    """It is ready when it answers this path below status 500; None: when it accepts a connection."""
    typical_seconds: int = 5
    """How long it usually takes to be ready."""
    longest_seconds: int = 60
    """When it counts as failed and is ended."""
    route: str | None = None
    """The first part of the path that is proxied to it, if it is not the tool's slug."""
    raw: bool = False
    """Whether a websocket carries the socket's bytes themselves, as noVNC wants it. Nothing else is proxied."""
    messages: Callable[[], ClientMessages] | None = None
    """Of a raw one: what finds in a browser's messages whether a person did something."""
    before: Callable[[Surroundings], Awaitable[str | None]] | None = None
    """Asked when a person's browser opens the tool: return the address to lead it to instead, None: to the tool."""


@dataclass(frozen=True)
class Tool:
    """Something that a person opens from the hub or the launcher."""

    slug: str
    """Its name in addresses, `MLABHUB_TOOLS` and the catalogue: ``vscode``."""
    title: str
    """Its name for people (`N_`)."""
    sentence: str
    """One sentence (`N_`): what it is."""
    address: str
    """Its page, below the server's path: ``vscode/``."""
    find: Callable[[Environ], str | None]
    """Return the program's path, or any text for a page that needs none; None if the image does not have it."""
    program: Program | None = None
    """How its process is run; None: its page needs none."""

    @property
    def icon(self) -> Path:
        """The picture in the launcher and in the bar."""
        return ICONS / f"{self.slug}.svg"

    @property
    def route(self) -> str:
        """The first part of the path that is proxied to its program."""
        return (self.program and self.program.route) or self.slug


def home_of(environ: Environ) -> str:
    """Return where a person's files are: what is mounted as the home, else the account's own."""
    return environ.get(HOME) or environ.get("HOME") or str(Path.home())


def allowed(tool: Tool, environ: Environ) -> bool:
    """Return whether the server's profile allows a tool."""
    wanted = environ.get(ALLOWED)
    return wanted is None or tool.slug in {name.strip() for name in wanted.split(",")}


def offered_tools(tools: Iterable[Tool], environ: Environ) -> dict[Tool, str]:
    """Return the tools that are allowed and here, in their order, each with what was found."""
    found = ((tool, tool.find(environ)) for tool in tools if allowed(tool, environ))
    return {tool: program for tool, program in found if program is not None}
