"""The lines about a person's folders, on home and launch page alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlabhub.i18n import Translator
from mlabhub.service.pages.words import folder_text, room_text
from mlabhub.service.views import StorageView


@dataclass(frozen=True)
class FolderLine:
    """One folder, its room, and whether that is a matter of concern."""

    name: str
    room: str
    full: bool


def make_folders(folders: Sequence[StorageView], t: Translator) -> list[FolderLine]:
    """Return the lines about a person's folders."""
    return [
        FolderLine(folder_text(t, folder), room_text(t, folder), bool(folder.full) and not folder.read_only)
        for folder in folders
    ]
