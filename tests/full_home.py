"""A home that is full: a file system of 1 MiB over a folder, for tests that are root."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path


@contextlib.contextmanager
def full_home(home: Path, uid: int, files: Mapping[str, str] | None = None) -> Iterator[Path]:
    """Let a folder be a home without room, with ``files`` and a big one in it, until the block ends."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=1m,mode=0700,uid={uid}", "tmpfs", str(home)], check=True)
    try:
        for name, text in (files or {}).items():
            write_own(home / name, text, uid)
        with contextlib.suppress(OSError), (home / "big").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        os.chown(home / "big", uid, uid)
        yield home
    finally:
        subprocess.run(["umount", "--lazy", str(home)], check=True)


def write_own(file: Path, text: str, uid: int) -> None:
    """Write a file that belongs to somebody, as do the folders that are made for it."""
    made = [one for one in (file, *file.parents) if not one.exists()]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    for one in made:
        os.chown(one, uid, uid)
