"""Folders seen through a map of ids, so that root in a container is nobody in them.

A mount with such a map shows only the ids in it as they are. Everybody else's files belong to nobody there: not even
root can pass for their owner, read what is closed to the user, or leave a file of root's or a setuid one behind, as no
id that is not in the map can own anything. Podman's own user namespaces would do this for the whole container, but in
Podman 4.3 only with a map of one piece, which would give the user's files on the NAS other ids.

Guarantees: only the user's own id and those of their groups are in the map; a mount exists only until the engine has
its own copy in the container. Linux 5.12 and a file system that knows such mounts are needed (ext4, xfs, btrfs; not
NFS): `IdMapUnavailable` says so.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from mlabhub.errors import LaunchRefused
from mlabhub.messages import N_, Message

_SYS_OPEN_TREE = 428
_SYS_MOVE_MOUNT = 429
_SYS_MOUNT_SETATTR = 442
_OPEN_TREE_CLONE = 0x1
_OPEN_TREE_CLOEXEC = os.O_CLOEXEC
_AT_RECURSIVE = 0x8000
_AT_EMPTY_PATH = 0x1000
_MOVE_MOUNT_F_EMPTY_PATH = 0x4
_MOUNT_ATTR_IDMAP = 0x00100000
_MOUNT_ATTR_NOSUID = 0x2
_MOUNT_ATTR_NODEV = 0x4
_MNT_DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)


class IdMapUnavailable(LaunchRefused):
    """The folder's file system cannot be mounted with a map of ids."""

    code = "idmap_unavailable"


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def make_map(ids: Iterable[int]) -> str:
    """Return a map in which each of these ids stands for itself, and no other for any."""
    return "".join(f"{number} {number} 1\n" for number in sorted(set(ids)))


@contextmanager
def idmapped(places: Mapping[str, str], uid: int, gids: Iterable[int]) -> Iterator[None]:
    """Mount folders at their places with only these ids in the map, until the block ends. Blocks.

    Raises `IdMapUnavailable` if the kernel or a folder's file system cannot do it.
    """
    with ExitStack() as stack:
        namespace = stack.enter_context(_user_namespace(make_map([uid]), make_map(gids)))
        for folder, place in places.items():
            stack.callback(unmount, Path(place))
            _mount(folder, place, namespace)
        yield


def make_places(folders: Iterable[str], parent: Path) -> dict[str, str]:
    """Return an empty folder below ``parent`` for each of these to be mounted at."""
    places = {folder: parent / str(number) for number, folder in enumerate(folders)}
    for place in places.values():
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
    return {folder: str(place) for folder, place in places.items()}


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


def _mount(folder: str, place: str, namespace: int) -> None:
    tree = _call(folder, _SYS_OPEN_TREE, -100, os.fsencode(folder), _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC)
    try:
        attributes = _MountAttr(_MOUNT_ATTR_IDMAP | _MOUNT_ATTR_NOSUID | _MOUNT_ATTR_NODEV, 0, 0, namespace)
        size = ctypes.sizeof(attributes)
        _call(folder, _SYS_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, ctypes.byref(attributes), size)
        _call(folder, _SYS_MOVE_MOUNT, tree, b"", -100, os.fsencode(place), _MOVE_MOUNT_F_EMPTY_PATH)
    finally:
        os.close(tree)


@contextmanager
def _user_namespace(uid_map: str, gid_map: str) -> Iterator[int]:
    """Yield a descriptor of a user namespace with these maps. A waiting process holds it until then."""
    argv = ["unshare", "--user", "--", "sh", "-c", "echo; read -r _"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        try:
            holder.stdout.readline()
            process = Path(f"/proc/{holder.pid}")
            (process / "uid_map").write_text(uid_map)
            (process / "gid_map").write_text(gid_map)
            namespace = os.open(process / "ns" / "user", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise _unavailable("/", error.strerror or str(error)) from error
        finally:
            holder.stdin.close()
    try:
        yield namespace
    finally:
        os.close(namespace)


def _call(folder: str, number: int, *arguments: object) -> int:
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        raise _unavailable(folder, os.strerror(ctypes.get_errno()))
    return result


def _unavailable(folder: str, reason: str) -> IdMapUnavailable:
    return IdMapUnavailable(
        Message.of(
            N_(
                "A server with sudo needs {folder} mounted with a map of user ids, and that cannot be ({reason}): "
                "NFS, for one, has none. Choose a profile without sudo."
            ),
            folder=folder,
            reason=reason,
        )
    )
