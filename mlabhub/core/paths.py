"""Paths as the configuration and a launch may name them: absolute, in their usual form, one line.

Guarantees: pure text, the file system is never asked; ``..``, doubled slashes, control characters and half characters
are in no path that passes; a target is never a folder that an image needs for itself, nor below one.
"""

from __future__ import annotations

import posixpath
from typing import Annotated

from pydantic import AfterValidator, Field

from mlabhub.core.schema import KeyFault, key_faults
from mlabhub.messages import N_, Message

SYSTEM_SOURCES = ("/boot", "/dev", "/etc", "/proc", "/run", "/sys")
"""Of the machine: never shown to anybody."""

SYSTEM_TARGETS = (
    *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/proc", "/root", "/run"),
    *("/sbin", "/sys", "/tmp", "/usr", "/var"),
)
"""Of an image: never covered by a mount."""

PUBLIC_TARGETS = ("/opt/public",)
"""Within these folders, and in no image: where people look for what is public, the airlock's folder for one."""

MOST_TARGET = 200
MOST_SOURCE = 1000


def is_plain(path: str) -> bool:
    """Whether a path is absolute, not the root, and written in the usual way."""
    usual = posixpath.normpath(path)
    plain = path.startswith("/") and not path.startswith("//") and usual == path and path != "/"
    return plain and path.isprintable() and ":" not in path


def is_within(path: str, folder: str) -> bool:
    """Whether a path is a folder or below it."""
    return path == folder or path.startswith(f"{folder}/")


def overlap(one: str, other: str) -> bool:
    """Whether two paths are the same, or one lies in the other."""
    return is_within(one, other) or is_within(other, one)


def system_folder(path: str) -> str | None:
    """Return the folder of an image that a target would cover, if any."""
    if any(is_within(path, folder) and path != folder for folder in PUBLIC_TARGETS):
        return None
    return next((folder for folder in SYSTEM_TARGETS if is_within(path, folder)), None)


def _absolute(path: str) -> str:
    if not is_plain(path):
        message = Message(N_("must be an absolute path without .. or a slash at the end, such as /srv/nas/user"))
        raise key_faults([KeyFault((), message)])
    return path


def _source(path: str) -> str:
    _absolute(path)
    folder = next((folder for folder in SYSTEM_SOURCES if is_within(path, folder)), None)
    if folder is not None:
        message = Message.of(N_("is in {folder}, a folder of the system; name another one"), folder=folder)
        raise key_faults([KeyFault((), message)])
    return path


def _target(path: str) -> str:
    _absolute(path)
    folder = system_folder(path)
    if folder is not None:
        message = Message.of(
            N_("is in {folder}, which the images need themselves; take one such as /mnt/user or /data"), folder=folder
        )
        raise key_faults([KeyFault((), message)])
    return path


Root = Annotated[str, Field(strict=True, max_length=MOST_SOURCE), AfterValidator(_source)]
Target = Annotated[str, Field(strict=True, max_length=MOST_TARGET), AfterValidator(_target)]
