"""Folders on the NAS: made at first use with the right owner, checked afterwards, never changed.

Guarantees: what is there already keeps its owner and mode, whatever they are; no symlink at the place of a folder is
followed; a folder never exists half made; a root that is not there is not made (a NAS that is not mounted must not turn
into a folder of the local disk), except below the installation's own state folder.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from mlabhub.core.storage import Folder, Mount
from mlabhub.errors import LaunchRefused, Unavailable
from mlabhub.messages import N_, Message

PATIENCE_SECONDS = 15.0
_threads = ThreadPoolExecutor(8, thread_name_prefix="nas")
"""Threads of their own: a NAS that hangs keeps them, and must not keep those that everything else needs."""


class FolderConflict(LaunchRefused):
    """A folder is not what it should be, and is left as it is."""

    code = "folder_conflict"


async def ensure_folders_soon(mounts: Iterable[Mount], own_root: Path) -> None:
    """Make the folders that are missing, as `ensure_folders` does, or give up: a NAS that hangs hangs for ever."""
    making = asyncio.get_running_loop().run_in_executor(_threads, ensure_folders, tuple(mounts), own_root)
    try:
        await asyncio.wait_for(asyncio.shield(making), PATIENCE_SECONDS)
    except asyncio.TimeoutError:
        template = N_("The NAS did not answer within {seconds} seconds, so nothing was started. Tell an administrator.")
        raise Unavailable(Message.of(template, seconds=int(PATIENCE_SECONDS)), code="nas_hangs") from None


def ensure_folders(mounts: Iterable[Mount], own_root: Path) -> None:
    """Make the folders that are missing. ``own_root`` is the one below which roots are made as well.

    Raises `FolderConflict` if a root is missing, or if there is something else than a folder of that owner.
    """
    for mount in mounts:
        source = Path(mount.source)
        if source.parent.is_relative_to(own_root):
            source.parent.mkdir(parents=True, exist_ok=True, mode=0o711)
        with _opened(source.parent) as root:
            if mount.create is not None and _status(root, source.name) is None:
                _make(root, source, mount.create)
            _check(root, source, mount.create)


def _make(root: int, source: Path, folder: Folder) -> None:
    """Make the folder under another name first, so that a crash never leaves it with a wrong owner."""
    temporary = f".mlabhub-{secrets.token_hex(8)}"
    try:
        os.mkdir(temporary, 0o700, dir_fd=root)
        made = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=root)
        try:
            if os.geteuid() == 0:
                os.fchown(made, folder.uid, folder.gid)
            os.fchmod(made, folder.mode)
        finally:
            os.close(made)
        os.rename(temporary, source.name, src_dir_fd=root, dst_dir_fd=root)
    except OSError as error:
        _forget(root, temporary)
        if _status(root, source.name) is None:
            raise FolderConflict(
                Message.of(
                    N_("The folder {folder} cannot be made: {reason}. Ask an administrator."),
                    folder=source,
                    reason=error.strerror,
                )
            ) from error


def _check(root: int, source: Path, folder: Folder | None) -> None:
    found = _status(root, source.name)
    if found is None or not stat.S_ISDIR(found.st_mode):
        kind = N_("missing") if found is None else N_("a link") if stat.S_ISLNK(found.st_mode) else N_("not a folder")
        raise FolderConflict(
            Message.of(
                N_("{folder} is {kind}, so it cannot be mounted. Ask an administrator to look at it."),
                folder=source,
                kind=Message(kind),
            )
        )
    if folder is None or os.geteuid() != 0:
        return
    shared = folder.uid == 0
    owner, wanted = (found.st_gid, folder.gid) if shared else (found.st_uid, folder.uid)
    if owner != wanted:
        what = N_("group {number}") if shared else N_("user {number}")
        raise FolderConflict(
            Message.of(
                N_("{folder} belongs to {owner}, not to {wanted}, and is left as it is. Ask an administrator."),
                folder=source,
                owner=Message.of(what, number=owner),
                wanted=Message.of(what, number=wanted),
            )
        )


@contextmanager
def _opened(root: Path) -> Iterator[int]:
    try:
        descriptor = os.open(root, os.O_PATH | os.O_DIRECTORY)
    except OSError as error:
        raise FolderConflict(
            Message.of(
                N_("The folder {root} cannot be used: {reason}. Is the NAS mounted? Ask an administrator."),
                root=root,
                reason=error.strerror,
            )
        ) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _status(root: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=root, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _forget(root: int, name: str) -> None:
    try:
        os.rmdir(name, dir_fd=root)
    except OSError:
        return
