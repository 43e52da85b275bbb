"""Places of ours, at which folders are mounted until the engine has its own copy of them in a container.

The engine is given a place and never a path that somebody else can change: what is mounted there is the very folder
that was opened and looked at, whatever happened to its name since.

Guarantees: a mount is never setuid and never has device nodes, nor has anything mounted below it; read-only means all
of it; a mount exists only until its block ends. Linux 5.12 is needed.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mlabhub.engine.idmapped import IdMap, IdMapUnavailable, user_namespace
from mlabhub.errors import LaunchRefused
from mlabhub.messages import N_, Message

_SYS_OPEN_TREE = 428
_SYS_MOVE_MOUNT = 429
_SYS_MOUNT_SETATTR = 442
_OPEN_TREE_CLONE = 0x1
_OPEN_TREE_CLOEXEC = os.O_CLOEXEC
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_AT_EMPTY_PATH = 0x1000
_MOVE_MOUNT_F_EMPTY_PATH = 0x4
_MOUNT_ATTR_RDONLY = 0x1
_MOUNT_ATTR_NOSUID = 0x2
_MOUNT_ATTR_NODEV = 0x4
_MOUNT_ATTR_IDMAP = 0x00100000
_MS_PRIVATE = 1 << 18
_MNT_DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)


class MountFailed(LaunchRefused):
    """A folder cannot be mounted."""

    code = "mount_failed"


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


@dataclass(frozen=True)
class Opened:
    """A folder that is open, by its descriptor, and where it is to be mounted; ``name`` is for sentences."""

    descriptor: int
    place: str
    name: str
    read_only: bool = False


@contextmanager
def mounted(folders: Iterable[Opened], id_map: IdMap | None = None) -> Iterator[None]:
    """Mount folders at their places, through a map of ids if there is one, until the block ends. Blocks.

    Raises `IdMapUnavailable` or `MountFailed`.
    """
    with ExitStack() as stack:
        namespace = None if id_map is None else stack.enter_context(user_namespace(id_map))
        for folder in folders:
            stack.callback(unmount, Path(folder.place))
            _mount(folder, namespace)
        yield


def make_places(count: int, parent: Path) -> list[str]:
    """Return empty folders below ``parent`` to mount at."""
    places = [parent / str(number) for number in range(count)]
    for place in places:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
    return [str(place) for place in places]


def unmount(place: Path) -> None:
    """Take a mount and its place away; fine if there is none. What is mounted is never removed."""
    _libc.umount2(os.fsencode(place), _MNT_DETACH)
    with suppress(OSError):
        place.rmdir()
        place.parent.rmdir()


def unmount_stale(parent: Path) -> None:
    """Take away what a killed process left below ``parent``."""
    for place in parent.glob("*/*"):
        unmount(place)


def _mount(folder: Opened, namespace: int | None) -> None:
    attributes = _MountAttr(_MOUNT_ATTR_NOSUID | _MOUNT_ATTR_NODEV, 0, _MS_PRIVATE, 0)
    if folder.read_only:
        attributes.attr_set |= _MOUNT_ATTR_RDONLY
    if namespace is not None:
        attributes.attr_set |= _MOUNT_ATTR_IDMAP
        attributes.userns_fd = namespace
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | _AT_EMPTY_PATH | _AT_RECURSIVE
    tree = _call(folder, _SYS_OPEN_TREE, folder.descriptor, b"", flags)
    try:
        size = ctypes.sizeof(attributes)
        everything = _AT_EMPTY_PATH | _AT_RECURSIVE
        _call(folder, _SYS_MOUNT_SETATTR, tree, b"", everything, ctypes.byref(attributes), size, mapped=namespace)
        _call(folder, _SYS_MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(folder.place), _MOVE_MOUNT_F_EMPTY_PATH)
    finally:
        os.close(tree)


def _call(folder: Opened, number: int, *arguments: object, mapped: int | None = None) -> int:
    result = int(_libc.syscall(number, *arguments))
    if result >= 0:
        return result
    reason = os.strerror(ctypes.get_errno())
    if mapped is not None:
        raise IdMapUnavailable.of(folder.name, reason)
    template = N_("The folder {folder} cannot be mounted: {reason}. Ask an administrator.")
    raise MountFailed(Message.of(template, folder=folder.name, reason=reason))
