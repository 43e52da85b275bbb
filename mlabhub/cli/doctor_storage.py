"""What doctor says of the NAS: is every folder of ``storage.yaml`` there, does it answer, has it room.

Guarantees: a file server that hangs costs a few seconds, never the answer; nothing is written.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import TimeoutError as NoAnswer
from pathlib import Path

from mlabhub.catalog import load_catalog
from mlabhub.cli.findings import Check, in_background
from mlabhub.core.storage import Storage
from mlabhub.core.units import format_bytes
from mlabhub.errors import MLabError
from mlabhub.settings import Settings

PATIENCE_S = 5.0
HANGS = "does not answer"


def look_at_storage(settings: Settings | None) -> list[Check]:
    """Return a finding for each folder that ``storage.yaml`` names; `mlabhub check` speaks of the file itself."""
    try:
        storage = load_catalog(settings.config_dir).storage if settings else Storage()
    except MLabError:
        return []
    return [check_folder(name, Path(folder), needed=needed) for name, folder, needed in folders_of(storage)]


def folders_of(storage: Storage) -> list[tuple[str, str, bool]]:
    """Return name, folder, and whether people cannot start without it."""
    roots = {"private folders": storage.user_root, "group folders": storage.share_root}
    for group, own in storage.groups.items():
        roots |= {f"private folders of {group}": own.user_root, f"folder of {group}": own.share_root}
    found = [(name, root, True) for name, root in roots.items() if root]
    return [*found, *((f"share {slug}", share.source, False) for slug, share in storage.shares.items())]


def check_folder(name: str, folder: Path, *, needed: bool, look: Callable[[Path], str] | None = None) -> Check:
    """Look at one folder, with patience."""
    act = look or room_at
    try:
        said = in_background(lambda: act(folder)).result(PATIENCE_S)
    except NoAnswer:
        said = HANGS
    if "free" in said:
        return Check(name, "ok", f"{said} at {folder}")
    consequence = "nobody whose files are there can start" if needed else "servers start without it"
    fix = f"Mount it, or change storage.yaml: {consequence}."
    return Check(name, "missing" if needed else "better", f"{folder} {said}", fix)


def room_at(folder: Path) -> str:
    """Return how much room there is, or what is wrong. Blocks."""
    try:
        if not folder.is_dir():
            return "is not there"
        found = os.statvfs(folder)
    except OSError as error:
        return f"cannot be used ({error.strerror})"
    return f"{format_bytes(found.f_bavail * found.f_frsize)} free"
