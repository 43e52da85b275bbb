"""What runs in the pod that makes or checks folders: Python's standard library alone, given as text to ``python3 -I``.

Its argument is JSON: ``{"answer": FILE, "folders": [...]}``. For each folder it answers with a list: what it found (ok,
missing, link, no_folder, owner, closed or cannot) and what belongs to that. The rules are those of
`mlabhub.spawners.folders`: what is there keeps owner and mode, no link is followed, and a folder never exists half
made. The root of the volume is a mount, so it is there for certain.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import stat
import sys
from typing import Any

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PATH = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def look(wanted: dict[str, Any]) -> list[Any]:
    """Return what a folder is after it was made, if it was to be made."""
    names = [name for name in wanted["path"].split("/") if name]
    at = os.open(wanted["volume"], os.O_PATH | os.O_DIRECTORY)
    try:
        for number, name in enumerate(names):
            last = number == len(names) - 1
            make = wanted["make"] and (last or wanted["make_roots"])
            below, found = _enter(at, name, wanted if last else None, make)
            if below is None:
                return found
            os.close(at)
            at = below
        return _judge(at, wanted)
    finally:
        os.close(at)


def _enter(at: int, name: str, wanted: dict[str, Any] | None, make: bool) -> tuple[int | None, list[Any]]:
    if make and _status(at, name) is None:
        fault = _make(at, name, wanted)
        if fault:
            return None, fault
    try:
        return os.open(name, _PATH, dir_fd=at), []
    except OSError as error:
        found = _status(at, name)
        if found is None:
            return None, ["missing", name]
        if stat.S_ISLNK(found.st_mode):
            return None, ["link", name]
        if not stat.S_ISDIR(found.st_mode):
            return None, ["no_folder", name]
        return None, ["cannot", os.strerror(error.errno or 0)]


def _make(at: int, name: str, wanted: dict[str, Any] | None) -> list[Any]:
    """Make a folder under another name first. The mode comes before the owner: later it would take another right."""
    temporary = f".mlabhub-{secrets.token_hex(8)}"
    uid, gid, mode = (wanted["uid"], wanted["gid"], wanted["mode"]) if wanted else (0, 0, 0o711)
    try:
        os.mkdir(temporary, 0o700, dir_fd=at)
        made = os.open(temporary, _FOLDER, dir_fd=at)
        try:
            os.fchown(made, -1, gid)
            os.fchmod(made, mode)
            os.fchown(made, uid, -1)
        finally:
            os.close(made)
        os.rename(temporary, name, src_dir_fd=at, dst_dir_fd=at)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.rmdir(temporary, dir_fd=at)
        if _status(at, name) is None:
            return ["cannot", os.strerror(error.errno or 0)]
    return []


def _judge(at: int, wanted: dict[str, Any]) -> list[Any]:
    status = os.fstat(at)
    if wanted["uid"] is not None:
        shared = wanted["uid"] == 0
        owner, needed = (status.st_gid, wanted["gid"]) if shared else (status.st_uid, wanted["uid"])
        if owner != needed:
            return ["owner", "group" if shared else "user", owner]
    if wanted["writable"] and not os.access(f"/proc/self/fd/{at}", os.W_OK | os.X_OK):
        return ["closed"]
    return ["ok"]


def _status(at: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=at, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        raise


def main(given: str) -> None:
    """Do what was given, and write the answers down."""
    task = json.loads(given)
    answers = []
    for wanted in task["folders"]:
        try:
            answers.append(look(wanted))
        except OSError as error:
            answers.append(["cannot", os.strerror(error.errno or 0)])
    with open(task["answer"], "w") as answer:
        json.dump(answers, answer)


if __name__ == "__main__":
    main(sys.argv[1])
