"""Counts at night how much is in people's and groups' folders, where no quota says it.

Guarantees: at most once a day, with the lowest priority for processors and disks, no longer than `LONGEST_S`; what was
counted survives a restart, with its date; what could not be read whole is not known. It ends with the service.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mlabhub.core.folder_use import FolderUse, next_count, read_du
from mlabhub.settings import replace_file

if TYPE_CHECKING:
    from mlabhub.service.world import World

log = logging.getLogger(__name__)
FILE = "disk-count.json"
LONGEST_S = 6 * 3600.0
LOOK_S = 60.0
GENTLY = ("nice", "-n", "19", "ionice", "-c", "3")
DU = ("du", "--null", "--block-size=1", "--one-file-system")


class DiskCount:
    """Knows what was counted, and counts."""

    def __init__(self, file: Path):
        self._file = file
        self._known: dict[str, FolderUse] = {}
        self._read()

    def of(self, folder: str) -> FolderUse | None:
        """Return what was counted of a folder; None if it was not."""
        return self._known.get(folder)

    async def run(self, world: World, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Count each night at the hour that ``storage.yaml`` says, for ever."""
        looked = datetime.now().astimezone()
        while True:
            await sleep(LOOK_S)
            now = datetime.now().astimezone()
            hour = world.catalog().storage.scan_hour
            due, looked = hour is not None and next_count(looked, hour) <= now, now
            if due:
                try:
                    await asyncio.wait_for(self.count(await asyncio.to_thread(folders_of, world)), LONGEST_S)
                except asyncio.TimeoutError:
                    log.warning("Counting what is in folders took too long (%d s); the rest is not known", LONGEST_S)
                except Exception:
                    log.exception("What is in folders could not be counted")

    async def count(self, roots: Mapping[str, Sequence[str]]) -> None:
        """Count the folders below each root, and keep what is known of each root when it is done."""
        for root, folders in roots.items():
            sizes = await _du(root, folders)
            at = time.time()
            for folder in folders:
                self._known.pop(folder, None)
            self._known.update({folder: FolderUse(size, None, "count", at) for folder, size in sizes.items()})
            await asyncio.to_thread(self._write)

    def _read(self) -> None:
        with suppress(OSError, ValueError, TypeError, AttributeError):
            known = json.loads(self._file.read_text()).items()
            self._known = {str(folder): FolderUse(int(size), None, "count", float(at)) for folder, (size, at) in known}

    def _write(self) -> None:
        known = {folder: (one.used, one.at) for folder, one in self._known.items()}
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            replace_file(self._file, json.dumps(known), 0o600)
        except OSError as error:
            log.warning("What was counted in folders is not kept: %s", error)


def folders_of(world: World) -> dict[str, list[str]]:
    """Return the folders below each root that this machine sees; blocks."""
    catalog = world.catalog()
    elsewhere = world.settings.backend == "kube"
    roots: dict[str, list[str]] = {}
    for root in dict.fromkeys((*catalog.storage.user_roots, *catalog.storage.share_roots)):
        with suppress(OSError):
            found = [one.path for one in os.scandir(root) if one.is_dir(follow_symlinks=False)]
            roots[root] = [one for one in found if not elsewhere or catalog.kubernetes.is_seen_by_hub(one)]
    for share in catalog.storage.shares.values():
        if not elsewhere or catalog.kubernetes.is_seen_by_hub(share.source):
            roots[share.source] = [share.source]
    return roots


async def _du(root: str, folders: Sequence[str]) -> dict[str, int]:
    """Return the bytes of folders of one root."""
    depth = "0" if list(folders) == [root] else "1"
    process = await asyncio.create_subprocess_exec(
        *GENTLY, *DU, f"--max-depth={depth}", root,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "LC_ALL": "C"},
    )  # fmt: skip
    try:
        told, complaints = await process.communicate()
    except asyncio.CancelledError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    return await asyncio.to_thread(read_du, told, complaints.decode("utf-8", "replace"), folders)
