"""A home that is full: a file system of 1 MiB over a folder, for tests that are root."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def full_home(home: Path, uid: int) -> Iterator[Path]:
    """Let a folder be a home without room, with one file in it, until the block ends."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=1m,mode=0700,uid={uid}", "tmpfs", str(home)], check=True)
    try:
        with contextlib.suppress(OSError), (home / "big").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        os.chown(home / "big", uid, uid)
        yield home
    finally:
        subprocess.run(["umount", "--lazy", str(home)], check=True)
