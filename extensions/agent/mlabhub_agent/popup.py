"""The desktop's notification of a warning: it stays until somebody closes it, or the warning holds no more.

Guarantees: it is never waited for, and a desktop that shows none costs nothing but the attempt at each look; it counts
as shown only once the desktop took it while somebody's browser is connected to the desktop. What it says is text,
whatever is in it.
"""

from __future__ import annotations

import asyncio
import html
import logging
import os
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from mlabhub_agent.standing import Standing
from mlabhub_proxies.desktop.session import BUS
from mlabhub_proxies.desktop.tool import TOOL
from mlabhub_proxies.surroundings import SETTING
from mlabhub_proxies.words import DEFAULT_LANGUAGE, match_language

log = logging.getLogger(__name__)
PROGRAM = "busctl"
PATIENCE_S = 10.0
THERE = ("org.freedesktop.Notifications", "/org/freedesktop/Notifications", "org.freedesktop.Notifications")
NAME, PICTURE = "mlabhub", "dialog-warning"
STAYS = ("0", "1", "urgency", "y", "2", "0")
"""No buttons; it is urgent; it stays. Its buttons would need a program that waits for them in every desktop."""
BETWEEN = {"en": " ", "zh_CN": ""}
"""What is between two sentences."""
WHERE = {
    "en": "To keep the server, or to give its GPUs back, open the hub's Home page.",
    "zh_CN": "如需保留服务器或归还其 GPU，请打开 hub 首页。",
}


class Popup:
    """The notification of one server's desktop. ``seen`` hears which warning was shown to a person."""

    def __init__(self, settings: MutableMapping[str, Any], standing: Standing, seen: Callable[[Any], None]):
        self._settings = settings
        self._standing = standing
        self._seen = seen
        self._shown: tuple[str, Any] | None = None
        """In which desktop, by its bus, which warning stands."""
        self._number = "0"
        self._task: asyncio.Task[None] | None = None

    def look(self) -> None:
        """Begin to show what is to be shown, or to take away what holds no more."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._look(), name="mlabhub notification")

    async def _look(self) -> None:
        try:
            address, watched = self._desktop()
            warning = self._standing.warning
            if address is None:
                self._shown = None
            elif warning is None:
                await self._take_away(address)
            elif await self._stands(address, warning) and watched:
                self._seen(warning["at"])
        except Exception:
            log.exception("The desktop could not show a warning")

    def _desktop(self) -> tuple[str | None, bool]:
        """Return the address of the desktop's bus, None where none runs, and whether somebody is connected to it."""
        surroundings = self._settings.get(SETTING)
        running = surroundings.running.get(TOOL.slug) if surroundings is not None else None
        if running is None or running.folder is None:
            return None, False
        try:
            return Path(running.folder, BUS).read_text().strip() or None, running.onlookers > 0
        except OSError:
            return None, False

    async def _stands(self, address: str, warning: Mapping[str, Any]) -> bool:
        """Whether a warning stands on the desktop; it is put there if it does not."""
        if self._shown == (address, warning["at"]):
            return True
        language = match_language(os.environ.get("LANG")) or DEFAULT_LANGUAGE
        title, body = (_said(warning.get(part), language) for part in ("title", "body"))
        text = html.escape(BETWEEN[language].join(filter(None, (body, WHERE[language]))), quote=False)
        replaced = self._number if self._shown is not None and self._shown[0] == address else "0"
        answer = await _call(
            address, "Notify", "susssasa{sv}i", NAME, replaced, PICTURE, title or WHERE[language], text, *STAYS
        )
        if answer is None:
            return False
        self._shown, self._number = (address, warning["at"]), answer.split()[-1]
        return True

    async def _take_away(self, address: str) -> None:
        if self._shown is not None and self._shown[0] == address:
            await _call(address, "CloseNotification", "u", self._number)
        self._shown = None


def _said(sentence: Any, language: str) -> str:
    """Return a sentence that came in both languages."""
    return str(sentence.get(language) or sentence.get("en") or "") if isinstance(sentence, Mapping) else ""


async def _call(address: str, method: str, *arguments: str) -> str | None:
    """Call a method of the desktop's notifications; return what is answered, None if nothing is."""
    program = shutil.which(PROGRAM)
    if program is None:
        return None
    command = (program, f"--address={address}", f"--timeout={PATIENCE_S:.0f}", "call", *THERE, method, *arguments)
    process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL)
    try:
        output, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S + 1)
    except asyncio.TimeoutError:
        return None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return output.decode(errors="replace").strip() if process.returncode == 0 else None
