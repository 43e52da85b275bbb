"""Folders on the NAS: made at first use with the right owner, checked afterwards, never changed.

Guarantees: what is there already keeps its owner and mode, whatever they are; no symlink at the place of a folder, or
on the way to a subfolder, is followed; a subfolder is reached with its person's own rights; a folder never exists half
made; a root that is not there is not made (a NAS that is not mounted must not turn into a folder of the local disk),
except below the installation's own state folder, of which nothing else is ever opened.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mlabhub.core.identity import Identity
from mlabhub.core.paths import is_within, overlap
from mlabhub.core.quote import quote
from mlabhub.core.storage import Folder, Mount
from mlabhub.engine.beneath import acting_as, open_beneath
from mlabhub.errors import LaunchRefused
from mlabhub.messages import N_, Message


class FolderConflict(LaunchRefused):
    """A folder is not what it should be, and is left as it is."""

    code = "folder_conflict"


def ensure_folders(mounts: Iterable[Mount], own_root: Path, identity: Identity | None = None) -> None:
    """Make the folders that are missing. ``own_root`` is the one below which roots are made as well.

    ``identity`` is whose rights lead to subfolders. Raises `FolderConflict` if a root is missing, or if there is
    something else than a folder of that owner.
    """
    with ExitStack() as stack:
        for mount in mounts:
            _make_missing(mount, own_root)
            stack.callback(os.close, open_mount(mount, own_root, identity))


def open_mount(mount: Mount, own_root: Path, identity: Identity | None = None) -> int:
    """Return a descriptor of the folder that a mount is to show, checked. Raises `FolderConflict`."""
    source = Path(mount.source)
    with _opened(source.parent) as root:
        whole = _open_whole(root, source)
    try:
        if mount.create is None:
            _check_is_outside(whole, source, own_root)
        elif os.geteuid() == 0:
            _check_owner(os.fstat(whole), source, mount.create)
        if not mount.subfolder:
            return os.dup(whole)
        return _open_subfolder(whole, mount, identity)
    finally:
        os.close(whole)


def _make_missing(mount: Mount, own_root: Path) -> None:
    source = Path(mount.source)
    if mount.create is None:
        return
    if source.parent.is_relative_to(own_root):
        source.parent.mkdir(parents=True, exist_ok=True, mode=0o711)
    with _opened(source.parent) as root:
        if not _can_be_opened(root, source.name):
            _make(root, source, mount.create)


def _can_be_opened(root: int, name: str) -> bool:
    """Return whether there is something; opening it mounts what an automounter has there, looking does not."""
    try:
        os.close(os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=root))
    except OSError:
        return _status(root, name) is not None
    return True


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


def _open_whole(root: int, source: Path) -> int:
    """Return a descriptor of the folder at its place, which is no link."""
    try:
        return os.open(source.name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=root)
    except OSError as error:
        found = _status(root, source.name)
        if found is not None and stat.S_ISDIR(found.st_mode):
            raise _unusable(source, error) from error
        kind = N_("missing") if found is None else N_("a link") if stat.S_ISLNK(found.st_mode) else N_("not a folder")
        raise FolderConflict(
            Message.of(
                N_("{folder} is {kind}, so it cannot be mounted. Ask an administrator to look at it."),
                folder=source,
                kind=Message(kind),
            )
        ) from error


def _open_subfolder(whole: int, mount: Mount, identity: Identity | None) -> int:
    try:
        if identity is None:
            return open_beneath(whole, mount.subfolder)
        with acting_as(identity.uid, identity.gid, [group.gid for group in identity.groups]):
            return open_beneath(whole, mount.subfolder)
    except OSError as error:
        reasons = {
            errno.ENOENT: N_("it is not there"),
            errno.ENOTDIR: N_("it is not a folder, or there is a link on the way"),
            errno.ELOOP: N_("there is a link on the way"),
            errno.EXDEV: N_("it leads out of the share"),
            errno.EACCES: N_("you may not enter it"),
        }
        reason = reasons.get(error.errno or 0)
        raise FolderConflict(
            Message.of(
                N_("The subfolder {subfolder} of {share} cannot be mounted: {reason}. Change it, or leave it out."),
                subfolder=quote(mount.subfolder),
                share=quote(mount.share),
                reason=Message(reason) if reason else error.strerror,
            ),
            key="mounts",
        ) from error


def _check_is_outside(whole: int, source: Path, own_root: Path) -> None:
    """Refuse a share that shows this installation's own state folder, by whatever way it leads there."""
    try:
        real = os.readlink(f"/proc/self/fd/{whole}")
    except OSError as error:
        raise _unusable(source, error) from error
    state = os.path.realpath(own_root.parent)
    if overlap(real, state) and not is_within(real, os.path.realpath(own_root)):
        raise FolderConflict(
            Message.of(
                N_("{folder} shows the hub's own state folder, so it is not mounted. Ask an administrator."),
                folder=source,
            )
        )


def _check_owner(found: os.stat_result, source: Path, folder: Folder) -> None:
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
        raise _unusable(root, error) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _unusable(folder: Path, error: OSError) -> FolderConflict:
    return FolderConflict(
        Message.of(
            N_("The folder {root} cannot be used: {reason}. Is the NAS mounted? Ask an administrator."),
            root=folder,
            reason=error.strerror,
        )
    )


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
