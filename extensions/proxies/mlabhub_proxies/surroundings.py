"""What the pages of one server know: its tools, its addresses, its environment.

Guarantees: made once, when the extension is linked; `close` ends all that was started.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from mlabhub_proxies.folder import PrivateFolder
from mlabhub_proxies.running import Place, RunningTool
from mlabhub_proxies.tools import Environ, Tool, offered_tools

SETTING = "mlabhub_proxies"
"""Under which name the web application's settings hold it."""


@dataclass(frozen=True)
class Surroundings:
    """One server."""

    base_url: str
    """``/user/alice/``, with its slashes."""
    environ: Environ
    known: tuple[Tool, ...]
    """All tools there are."""
    offered: tuple[Tool, ...]
    """Those of this server."""
    running: dict[str, RunningTool]
    """The offered tools that have a process, by slug."""
    folder: PrivateFolder
    kept: dict[str, object] = field(default_factory=dict)
    """What the parts of the extension keep for this server, by the part's name."""

    @classmethod
    def look(cls, tools: Iterable[Tool], base_url: str, environ: Environ) -> Surroundings:
        """Find what a server offers."""
        known = tuple(tools)
        folder = PrivateFolder(environ.get("XDG_RUNTIME_DIR"))
        place = Place(base_url, folder, environ)
        found = offered_tools(known, environ)
        running = {tool.slug: RunningTool(tool, program, place) for tool, program in found.items() if tool.program}
        return cls(base_url, environ, known, tuple(found), running, folder)

    @property
    def name(self) -> str:
        """What the server is called: ``alice``, or ``alice / train-one``."""
        names = (self.environ.get("JUPYTERHUB_USER", ""), self.environ.get("JUPYTERHUB_SERVER_NAME", ""))
        return " / ".join(name for name in names if name) or "mlabhub"

    @property
    def hub_home(self) -> str | None:
        """The address of the hub's Home page, if there is a hub."""
        if "JUPYTERHUB_BASE_URL" not in self.environ:
            return None
        public = self.environ.get("JUPYTERHUB_PUBLIC_HUB_URL", "").removesuffix("hub/")
        return (public or self.environ["JUPYTERHUB_BASE_URL"]) + "services/mlabhub/"

    @property
    def is_safe(self) -> bool:
        """Whether this is a server in safe mode: nothing that its person wrote was run or loaded as it started."""
        return self.environ.get("MLABHUB_SAFE") == "1"

    def tool(self, slug: str) -> Tool | None:
        """Return an offered tool."""
        return next((tool for tool in self.offered if tool.slug == slug), None)

    def url(self, *parts: str) -> str:
        """Return an address of this server: ``url("mlabhub", "api", "tools")``."""
        return self.base_url + "/".join(parts)

    def close(self) -> None:
        """End every tool and remove what they left on disk."""
        for running in self.running.values():
            running.close()
        self.folder.remove()


Route = tuple[Any, ...]
"""What tornado takes: a pattern, a handler and its arguments."""
