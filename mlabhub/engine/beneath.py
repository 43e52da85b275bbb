"""Open a folder below another one, whatever somebody does to the names in between at that very moment.

A name is looked up once, by the kernel, from a folder that is open already; what comes back is that folder itself, and
not its name: whoever swaps it for a link afterwards changes nothing.

Guarantees: no link is followed, no ``..`` is taken, so what is opened lay below the folder; with `acting_as`, one's own
rights decide whether one gets there. Nothing is opened for reading: a pipe, a socket or a device is never touched.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_SYS_OPENAT2 = 437
_SYS_SETGROUPS = {"x86_64": 116, "aarch64": 159, "riscv64": 159, "ppc64le": 81, "s390x": 206}
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_ATTEMPTS = 16
_NOBODY_ELSE = 0xFFFFFFFF
"""What setfsuid and setfsgid answer to without changing anything."""
_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_beneath(folder: int, path: str) -> int:
    """Return a descriptor of the folder at a relative path. Raises `OSError`: ELOOP or ENOTDIR for a link."""
    for _ in range(_ATTEMPTS):
        try:
            return open_by_kernel(folder, path)
        except OSError as error:
            if error.errno in (errno.ENOSYS, errno.EPERM):  # EPERM: a filter of calls that does not know this one
                return open_by_steps(folder, path)
            if error.errno != errno.EAGAIN:
                raise
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), path)


def open_by_kernel(folder: int, path: str) -> int:
    """Let the kernel see to it (openat2, since Linux 5.6)."""
    _names(path)
    resolve = _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS
    how = _OpenHow(_FOLDER, 0, resolve)
    opened = int(_libc.syscall(_SYS_OPENAT2, folder, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how)))
    if opened < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return opened


def open_by_steps(folder: int, path: str) -> int:
    """Go down name by name, each from the folder before it, which is open."""
    names = _names(path)
    at = os.dup(folder)
    for name in names:
        try:
            below = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=at)
        finally:
            os.close(at)
        at = below
    return at


def _names(path: str) -> list[str]:
    names = path.split("/")
    if any(name in ("", ".", "..") for name in names):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
    return names


@contextmanager
def acting_as(uid: int, gid: int, groups: Sequence[int]) -> Iterator[None]:
    """Let this thread, and no other, have somebody else's rights on files. Without being root, nothing changes.

    A thread that is started meanwhile inherits them: start none.
    """
    if os.geteuid() != 0:
        yield
        return
    before = os.getgroups()
    _set_groups(groups)
    try:
        _set("setfsgid", gid)
        _set("setfsuid", uid)
        yield
    finally:
        _set("setfsuid", 0)
        _set("setfsgid", 0)
        _set_groups(before)


def _set(call: str, number: int) -> None:
    function = getattr(_libc, call)
    function(ctypes.c_uint32(number))
    if function(ctypes.c_uint32(_NOBODY_ELSE)) & 0xFFFFFFFF != number:
        raise OSError(errno.EPERM, f"{call}({number}) was not done")


def _set_groups(groups: Sequence[int]) -> None:
    """Set them for this thread: the C library's own function would for all."""
    number = _SYS_SETGROUPS.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, f"setgroups is not known on {platform.machine()}")
    listed = (ctypes.c_uint32 * len(groups))(*groups)
    if _libc.syscall(number, len(groups), listed) != 0:
        failed = ctypes.get_errno()
        raise OSError(failed, os.strerror(failed))
