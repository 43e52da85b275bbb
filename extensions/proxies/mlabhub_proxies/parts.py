"""All that the extension is made of: the tools in the order of the bar, and the pages of each part. One line each."""

from __future__ import annotations

from collections.abc import Callable

from mlabhub_proxies import api, lab, pages, person, terminal, vscode, workbench
from mlabhub_proxies.desktop import page as desktop_page
from mlabhub_proxies.desktop import tool as desktop
from mlabhub_proxies.doctor import handlers as doctor
from mlabhub_proxies.surroundings import Route, Surroundings
from mlabhub_proxies.tensorboard import handlers as log_folders
from mlabhub_proxies.tensorboard import tool as tensorboard
from mlabhub_proxies.tools import Tool

TOOLS: tuple[Tool, ...] = (lab.TOOL, vscode.TOOL, terminal.TOOL, desktop.TOOL, tensorboard.TOOL)

PARTS: tuple[Callable[[Surroundings], list[Route]], ...] = (
    api.get_routes,
    pages.get_routes,
    desktop_page.get_routes,
    doctor.get_routes,
    log_folders.get_routes,
    person.get_routes,
    terminal.get_routes,
    workbench.get_routes,
    pages.get_last_routes,  # after all others
)
