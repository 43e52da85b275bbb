"""The lines about a person's folders, on home and launch page alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlabhub.core.folder_use import FolderUse
from mlabhub.core.units import format_bytes
from mlabhub.i18n import N_, Translator
from mlabhub.service.pages.quota_bars import WIDTH, Meter
from mlabhub.service.pages.waits import local
from mlabhub.service.pages.words import folder_text, room_text
from mlabhub.service.views import StorageView

BY = {
    "folder quota": N_("the folder's quota"),
    "user quota": N_("its owner's quota"),
    "group quota": N_("its group's quota"),
}
USED_OF = N_("{used} of {limit} used ({by})")
COUNTED = N_("{used} used (counted {time})")
USE_UNKNOWN = N_("how much is used is not known")


@dataclass(frozen=True)
class FolderLine:
    """One folder, its room, and whether that is a matter of concern.

    ``use`` is how much is in it, in words, and ``meter`` shows that against its quota; None without one.
    """

    name: str
    room: str
    full: bool
    use: str
    meter: Meter | None


def make_folders(folders: Sequence[StorageView], t: Translator) -> list[FolderLine]:
    """Return the lines about a person's folders."""
    return [
        FolderLine(
            folder_text(t, folder),
            room_text(t, folder),
            bool(folder.full) and not folder.read_only,
            use_text(folder.use, t),
            meter_of(folder.use),
        )
        for folder in folders
    ]


def use_text(use: FolderUse | None, t: Translator) -> str:
    """Say how much is in a folder, and who says so."""
    if use is None:
        return t(USE_UNKNOWN)
    used = format_bytes(use.used)
    if use.limit is not None:
        return t(USED_OF, used=used, limit=format_bytes(use.limit), by=t(BY.get(use.by, "")))
    return t(COUNTED, used=used, time=t.date_time(local(use.at or 0.0)))


def meter_of(use: FolderUse | None) -> Meter | None:
    """Return how much is in a folder as a bar of its quota."""
    if use is None or not use.limit:
        return None
    part = min(WIDTH, round(WIDTH * use.used / use.limit))
    return Meter(part, 0, 0, full=part == WIDTH)
