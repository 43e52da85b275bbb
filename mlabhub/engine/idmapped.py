"""Folders seen through a map of ids, so that root in a container is nobody in them.

The container has a user namespace: its ids are in the upper half of all ids on this machine. In its folders the user's
own id and those of their groups are moved there too, everybody else's, root's above all, stay where nobody in the
container can be. So root there can neither pass for somebody else, nor read or change what is closed to the user, nor
leave a file that belongs to root; what a group may do in a share the user still may. In images and in what is saved,
ids are what the container sees (`restore_ids`).

On Docker, which has no user namespace for one container alone, other ids are left out of the map instead: the same
holds, but only one's own files in a share can be written to.

Guarantees: a mount exists only until the engine has its own copy in the container. Linux 5.12 and a file system that
knows such mounts are needed (ext4, xfs, btrfs; not NFS): `IdMapUnavailable` says so.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import stat
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from mlabhub.engine.spec import FIRST_INNER_ID, INNER_IDS
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
_CAPABILITIES = "security.capability"
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


def make_map(ids: Iterable[int], *, user_namespace: bool) -> str:
    """Return the map for a container that runs with these ids."""
    own = sorted({number for number in ids if number < INNER_IDS})
    if not user_namespace:
        return "".join(f"{number} {number} 1\n" for number in own)
    edges = [-1, *own, FIRST_INNER_ID]
    others = [(below + 1, above - below - 1) for below, above in itertools.pairwise(edges) if above > below + 1]
    lines = [f"{number} {FIRST_INNER_ID + number} 1" for number in own]
    return "".join(f"{line}\n" for line in [*lines, *(f"{first} {first} {count}" for first, count in others)])


@contextmanager
def idmapped(places: Mapping[str, str], uid: int, gids: Iterable[int], *, user_namespace: bool) -> Iterator[None]:
    """Mount folders at their places through a map, until the block ends. Blocks.

    Raises `IdMapUnavailable` if the kernel or a folder's file system cannot do it.
    """
    with ExitStack() as stack:
        uid_map, gid_map = (make_map(ids, user_namespace=user_namespace) for ids in ([uid], gids))
        namespace = stack.enter_context(_user_namespace(uid_map, gid_map))
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


def unmount_shared_memory(container: str) -> None:
    """Unmount a stopped container's /dev/shm. Podman 4.3 mounts it twice for a user namespace, and unmounts it once."""
    ends = f"/{container}/userdata/shm"
    for line in Path("/proc/self/mounts").read_text().splitlines():
        place = line.split(" ")[1]
        if place.endswith(ends):
            _libc.umount2(os.fsencode(place), _MNT_DETACH)


def restore_ids(layer: Path) -> None:
    """Give what a stopped container wrote the ids that it had inside. Blocks; idempotent; links are not followed.

    Podman 4.3 leaves them as they are on this machine, where its own ``commit`` then finds them; newer ones do not.
    """
    if layer.lstat().st_uid < FIRST_INNER_ID:
        return
    for folder, folders, files, descriptor in os.fwalk(layer, topdown=False, follow_symlinks=False):
        for name in (*folders, *files):
            _restore(name, descriptor)
        if folder == str(layer):
            _restore(".", descriptor)


def _restore(name: str, folder: int) -> None:
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    uid, gid = (inner - FIRST_INNER_ID if inner >= FIRST_INNER_ID else -1 for inner in (status.st_uid, status.st_gid))
    if uid == gid == -1:
        return
    if not stat.S_ISREG(status.st_mode):
        os.chown(name, uid, gid, dir_fd=folder, follow_symlinks=False)
        return
    # A change of owner takes the setuid bits and the file's capabilities away.
    opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    try:
        capabilities = _capabilities(opened)
        os.fchown(opened, uid, gid)
        os.fchmod(opened, stat.S_IMODE(status.st_mode))
        if capabilities:
            os.setxattr(opened, _CAPABILITIES, capabilities)
    finally:
        os.close(opened)


def _capabilities(opened: int) -> bytes:
    try:
        return os.getxattr(opened, _CAPABILITIES)
    except OSError:
        return b""


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
    try:
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdin is not None
            assert holder.stdout is not None
            with holder.stdin:
                holder.stdout.readline()
                process = Path(f"/proc/{holder.pid}")
                (process / "uid_map").write_text(uid_map)
                (process / "gid_map").write_text(gid_map)
                namespace = os.open(process / "ns" / "user", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _unavailable("its folders", error.strerror or str(error)) from error
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
