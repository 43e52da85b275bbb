"""Folders below a folder: no name, link or ``..`` leads out, also not while somebody swaps them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlabhub.engine.beneath import acting_as, open_beneath, open_by_kernel, open_by_steps

Open = Callable[[int, str], int]
WAYS = pytest.mark.parametrize("way", [open_beneath, open_by_kernel, open_by_steps])


@pytest.fixture
def share(tmp_path: Path) -> Iterator[int]:
    """Return a share with a folder ``a/b``, and a secret beside it."""
    (tmp_path / "share" / "a" / "b").mkdir(parents=True)
    (tmp_path / "secret" / "b").mkdir(parents=True)
    descriptor = os.open(tmp_path / "share", os.O_PATH | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def real(descriptor: int) -> str:
    """Return where an open folder is, and close it."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


@WAYS
@pytest.mark.parametrize("path", ["a", "a/b"])
def test_a_folder_below(share: int, tmp_path: Path, way: Open, path: str) -> None:
    assert real(way(share, path)) == str(tmp_path / "share" / path)


@WAYS
def test_nothing_leads_out(share: int, tmp_path: Path, way: Open) -> None:
    inside, secret = tmp_path / "share", tmp_path / "secret"
    (inside / "absolute").symlink_to(secret)
    (inside / "relative").symlink_to("../secret")
    (inside / "within").symlink_to("a")
    (inside / "magic").symlink_to("/proc/self/root")
    (inside / "file").write_text("")
    os.link(inside / "file", inside / "hard")
    os.mkfifo(inside / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(inside / "socket"))
    names = ["absolute", "absolute/b", "relative", "within", "within/b", "magic", "magic/etc"]
    names += ["..", "a/..", "a/../../secret", "./a", "a//b"]
    for name in [*names, "file", "hard", "pipe", "socket", "gone", str(secret), "/"]:
        with pytest.raises(OSError, match=r"."):
            real(way(share, name))


@WAYS
def test_swapped_in_a_tight_loop_it_is_never_outside(share: int, tmp_path: Path, way: Open) -> None:
    """Another process exchanges a folder and a link to the secret as fast as it can, at the end and on the way."""
    inside = tmp_path / "share"
    (inside / "other").symlink_to(tmp_path / "secret")
    swapping = subprocess.Popen([sys.executable, "-c", _SWAP, str(inside / "a"), str(inside / "other")])
    opened = refused = 0
    try:
        deadline = time.monotonic() + 20
        while min(opened, refused) < 500 and time.monotonic() < deadline:
            try:
                found = real(way(share, "a" if (opened + refused) % 2 else "a/b"))
            except OSError:
                refused += 1
                continue
            opened += 1
            assert found.startswith(f"{inside}/"), found
    finally:
        swapping.kill()
        swapping.wait()
    assert min(opened, refused) >= 500


_SWAP = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
one, other = (os.fsencode(path) for path in sys.argv[1:])
while True:
    libc.renameat2(-100, one, -100, other, 2)
"""


@pytest.mark.engine
def test_ones_own_rights_decide_and_only_in_this_thread(share: int, tmp_path: Path) -> None:
    private = tmp_path / "share" / "a"
    for owner, mode, enters in ((200002, 0o700, False), (200001, 0o700, True), (200002, 0o710, True)):
        os.chown(private, owner, 200100)
        private.chmod(mode)
        with ThreadPoolExecutor(1) as other:
            other.submit(int).result()
            with acting_as(200001, 200001, [200100]):
                others = other.submit(os.open, private / "b", os.O_PATH)
                entered = can_open(share, "a/b")
            os.close(others.result())
        assert entered == enters
        assert can_open(share, "a/b")


def can_open(folder: int, path: str) -> bool:
    """Whether one's rights lead to a folder."""
    try:
        real(open_beneath(folder, path))
    except PermissionError:
        return False
    return True
