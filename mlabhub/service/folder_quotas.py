"""The quota of a folder, as its file system or its file server has it.

Guarantees: blocks, so it is called in a thread; what has no quota, or does not say, is None. A folder's own quota (a
project's, on XFS or ext4) is told from that its file system shows it another size than the rest. Whose quota else
counts for a folder is its owner's, or its group's where it is the administrator's.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess

from mlabhub.core.folder_use import FolderUse, read_quota

PROGRAM = "quota"
PATIENCE_S = 10.0
FS_IOC_FSGETXATTR = 0x801C581F
"""Asks Linux for the ``struct fsxattr`` of a file: flags, two sizes, the project's number, one more size, and room."""
FSXATTR = struct.Struct("=IIIII8x")


def quota_of(path: str) -> FolderUse | None:
    """Return how much of its quota a folder uses."""
    try:
        status, mount = os.stat(path), mount_of(path)
        return _of_folder(path, mount) or _of_owner(status, mount)
    except OSError:
        return None


def mount_of(path: str) -> str:
    """Return where the file system of a folder is mounted."""
    place = os.path.realpath(path)
    while not os.path.ismount(place):
        place = os.path.dirname(place)
    return place


def _of_folder(path: str, mount: str) -> FolderUse | None:
    own, whole = os.statvfs(path), os.statvfs(mount)
    if not _project(path) or own.f_blocks * own.f_frsize == whole.f_blocks * whole.f_frsize:
        return None
    return FolderUse((own.f_blocks - own.f_bfree) * own.f_frsize, own.f_blocks * own.f_frsize, "folder quota")


def _project(path: str) -> int:
    """Return the number of a folder's project; 0 for none, or on a file system that has no such thing."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        told = fcntl.ioctl(folder, FS_IOC_FSGETXATTR, bytes(FSXATTR.size))
    except OSError:
        return 0
    finally:
        os.close(folder)
    return int(FSXATTR.unpack(told)[3])


def _of_owner(status: os.stat_result, mount: str) -> FolderUse | None:
    program = shutil.which(PROGRAM)
    if program is None or not (status.st_uid or status.st_gid):
        return None
    by, number = ("user", status.st_uid) if status.st_uid else ("group", status.st_gid)
    asked = [program, f"--{by}", "--raw-grace", "--no-wrap", f"--filesystem={mount}", str(number)]
    try:
        told = subprocess.run(asked, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return read_quota(told.stdout, "user quota" if status.st_uid else "group quota")
