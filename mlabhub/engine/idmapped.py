"""Folders seen through a map of ids, so that root in a container is nobody in them.

The container has a user namespace: its ids are in the upper half of all ids on this machine. In its folders the user's
own id and those of their groups are moved there too, everybody else's, root's above all, stay where nobody in the
container can be. So root there can neither pass for somebody else, nor read or change what is closed to the user, nor
leave a file that belongs to root; what a group may do in a share the user still may. In images and in what is saved,
ids are what the container sees (`restore_ids`).

On Docker, which has no user namespace for one container alone, other ids are left out of the map instead: the same
holds, but only one's own files in a share can be written to.

How they are mounted is `mlabhub.engine.places`. A file system that knows such mounts is needed (ext4, xfs, btrfs; not
NFS): `IdMapUnavailable` says so.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import stat
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlabhub.engine.spec import FIRST_INNER_ID, INNER_IDS
from mlabhub.errors import LaunchRefused
from mlabhub.messages import N_, Message

_MNT_DETACH = 2
_CAPABILITIES = "security.capability"
_libc = ctypes.CDLL(None, use_errno=True)


class IdMapUnavailable(LaunchRefused):
    """The folder's file system cannot be mounted with a map of ids."""

    code = "idmap_unavailable"

    @classmethod
    def of(cls, folder: str, reason: str) -> IdMapUnavailable:
        """Return the refusal for a folder."""
        template = N_(
            "A server with sudo needs {folder} mounted with a map of user ids, and that cannot be ({reason}): "
            "NFS, for one, has none. Choose a profile without sudo."
        )
        return cls(Message.of(template, folder=folder, reason=reason))


@dataclass(frozen=True)
class IdMap:
    """Whose ids are seen in the container. ``user_namespace``: whether it has ids of its own."""

    uid: int
    gids: tuple[int, ...]
    user_namespace: bool


def make_map(ids: Iterable[int], *, user_namespace: bool) -> str:
    """Return the map for a container that runs with these ids."""
    own = sorted({number for number in ids if number < INNER_IDS})
    if not user_namespace:
        return "".join(f"{number} {number} 1\n" for number in own)
    edges = [-1, *own, FIRST_INNER_ID]
    others = [(below + 1, above - below - 1) for below, above in itertools.pairwise(edges) if above > below + 1]
    lines = [f"{number} {FIRST_INNER_ID + number} 1" for number in own]
    return "".join(f"{line}\n" for line in [*lines, *(f"{first} {first} {count}" for first, count in others)])


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


@contextmanager
def user_namespace(id_map: IdMap) -> Iterator[int]:
    """Yield a descriptor of a user namespace with this map. A waiting process holds it until then."""
    argv = ["unshare", "--user", "--", "sh", "-c", "echo; read -r _"]
    try:
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdin is not None
            assert holder.stdout is not None
            with holder.stdin:
                holder.stdout.readline()
                process = Path(f"/proc/{holder.pid}")
                (process / "uid_map").write_text(make_map([id_map.uid], user_namespace=id_map.user_namespace))
                (process / "gid_map").write_text(make_map(id_map.gids, user_namespace=id_map.user_namespace))
                namespace = os.open(process / "ns" / "user", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise IdMapUnavailable.of("its folders", error.strerror or str(error)) from error
    try:
        yield namespace
    finally:
        os.close(namespace)
