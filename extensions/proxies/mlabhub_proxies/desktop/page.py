"""The page that shows the desktop: noVNC's picture and keyboard, with a bar of our own around them.

Guarantees: the page is given out only when the desktop answers, so its first connection finds one; no word in it comes
from the desktop; where the desktop can save nothing in the home, the page says so.
"""

from __future__ import annotations

from pathlib import Path

from mlabhub_proxies.base import PageHandler
from mlabhub_proxies.desktop.session import INSTEAD_OF_HOME
from mlabhub_proxies.pages import SlashHandler, show_start
from mlabhub_proxies.person import note
from mlabhub_proxies.running import READY, RunningTool
from mlabhub_proxies.surroundings import Route, Surroundings

SLUG = "desktop"


class DesktopHandler(PageHandler):
    """``desktop/``."""

    def initialize(self, running: RunningTool) -> None:
        """Know the desktop's process."""
        self.running = running

    def get(self) -> None:
        """Show the desktop, or that it starts, or why it did not."""
        if self.running.state != READY:
            show_start(self, self.running)
            return
        note(self.settings, SLUG)
        self.render_page(
            "desktop.html",
            home=self.surroundings.hub_home,
            saves=not Path(self.running.socket).with_name(INSTEAD_OF_HOME).is_dir(),
        )


def get_routes(surroundings: Surroundings) -> list[Route]:
    """Return the addresses of this module; none where there is no desktop."""
    running = surroundings.running.get(SLUG)
    if running is None:
        return []
    return [
        (surroundings.url(SLUG), SlashHandler),
        (surroundings.url(SLUG, ""), DesktopHandler, {"running": running}),
    ]
