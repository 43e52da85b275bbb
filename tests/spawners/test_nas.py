"""What a start finds on the NAS: all of it, less of it, nothing in time; and what it is given to the engine as."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mlabhub.core.identity import GroupId, Identity
from mlabhub.core.storage import Folder, Mount
from mlabhub.engine.places import make_places
from mlabhub.errors import MLabError, Unavailable
from mlabhub.spawners import nas
from mlabhub.spawners.folders import FolderConflict, ensure_folders, open_mount
from mlabhub.spawners.nas import ensure_folders_soon, mounted_soon

ROOT = pytest.mark.engine
ALICE = Identity("alice", 200001, 200001, (GroupId("vision", 200100),))


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return the installation's own folder for files, in its state folder."""
    own = tmp_path / "state" / "nas"
    own.mkdir(parents=True)
    return own


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a data set with a folder in it."""
    data = tmp_path / "data"
    (data / "train" / "small").mkdir(parents=True)
    (data / "train" / "small" / "one").write_text("1")
    return data


def home(own: Path, name: str = "alice") -> Mount:
    return Mount(str(own / "user" / name), f"/mnt/user/{name}", create=Folder(200001, 200001, 0o700), share="user")


def share(data: Path, subfolder: str = "", *, chosen: bool = False) -> Mount:
    return Mount(str(data), "/data/x", True, subfolder=subfolder, share="data", chosen=chosen or bool(subfolder))


async def test_a_share_that_is_away_keeps_nobody_from_their_home(own: Path, data: Path) -> None:
    gone = share(data / "gone")
    ready = await ensure_folders_soon([home(own), share(data), gone], own, ALICE)
    assert ready.mounts == (home(own), share(data))
    [note] = ready.notes
    assert "Without /data/x" in str(note)
    assert "is missing" in str(note)


async def test_what_was_asked_for_must_be_there(own: Path, data: Path) -> None:
    with pytest.raises(FolderConflict, match="is missing"):
        await ensure_folders_soon([home(own), share(data / "gone", chosen=True)], own, ALICE)
    with pytest.raises(FolderConflict, match='subfolder "train/large" of "data" cannot be mounted: it is not there'):
        await ensure_folders_soon([home(own), share(data, "train/large")], own, ALICE)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path.symlink_to("/etc"), "a link on the way"),
        (lambda path: path.symlink_to("train"), "a link on the way"),
        (lambda path: path.write_text(""), "not a folder"),
        (os.mkfifo, "not a folder"),
    ],
    ids=["link out", "link within", "file", "pipe"],
)
def test_something_else_than_a_subfolder(own: Path, data: Path, make: object, says: str) -> None:
    make(data / "x")  # type: ignore[operator]
    for subfolder in ("x", "x/small"):
        with pytest.raises(FolderConflict, match=says):
            open_mount(share(data, subfolder), own, ALICE)


@ROOT
def test_what_is_closed_to_a_person_is_closed_as_a_mount_too(own: Path, data: Path) -> None:
    """A folder behind one that is closed to her may be open itself: by a mount she would get past the closed one."""
    (data / "train").chmod(0o700)
    with pytest.raises(FolderConflict, match="you may not enter it"):
        open_mount(share(data, "train/small"), own, ALICE)
    os.chown(data / "train", 0, 200100)
    (data / "train").chmod(0o710)
    os.close(open_mount(share(data, "train/small"), own, ALICE))


@pytest.mark.parametrize("way", ["", "link"])
def test_the_hubs_own_state_is_never_shown(own: Path, tmp_path: Path, way: str) -> None:
    secrets = own.parent / "secrets"
    secrets.mkdir()
    (tmp_path / "link").symlink_to(own.parent)
    for source in (secrets, own.parent, tmp_path) if not way else (tmp_path / "link" / "secrets",):
        with pytest.raises(FolderConflict, match="own state folder"):
            open_mount(share(source), own, ALICE)
    (own / "data").mkdir()
    os.close(open_mount(share(own / "data"), own, ALICE))


async def test_a_nas_that_hangs_costs_one_thread_and_no_start_that_does_not_need_it(
    own: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released, calls = threading.Event(), []

    def hang_on_data(mounts: list[Mount], *more: object) -> None:
        if any(mount.share == "data" for mount in mounts):
            calls.append(mounts)
            released.wait(10)
        ensure_folders(mounts, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(nas, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(nas, "ensure_folders", hang_on_data)
    try:
        for _ in range(3):
            ready = await ensure_folders_soon([home(own), share(data)], own, ALICE)
            assert ready.mounts == (home(own),)
            assert str(ready.notes[0]) == "Without /data/x: its file server does not answer."
        with pytest.raises(Unavailable, match="did not answer"):
            await ensure_folders_soon([home(own), share(data, chosen=True)], own, ALICE)
        assert len(calls) == 1
    finally:
        released.set()
    monkeypatch.setattr(nas, "PATIENCE_SECONDS", 10)
    await _settled(str(data))
    assert (await ensure_folders_soon([home(own), share(data)], own, ALICE)).notes == ()


async def _settled(root: str) -> None:
    while not nas._hanging[root].done():
        await nas.asyncio.sleep(0.01)


@ROOT
async def test_what_the_engine_is_given_is_never_outside_while_names_are_swapped(
    own: Path, data: Path, tmp_path: Path
) -> None:
    """Another process exchanges the subfolder and a link to a secret as fast as it can, during many starts."""
    secret = tmp_path / "secret"
    (secret / "small").mkdir(parents=True)
    (secret / "small" / "one").write_text("secret")
    (data / "other").symlink_to(secret)
    await ensure_folders_soon([home(own)], own, ALICE)
    swapping = start_swapping(data / "train", data / "other")
    seen, refused = 0, 0
    deadline = time.monotonic() + 60
    try:
        while min(seen, refused) < 300 and time.monotonic() < deadline:
            [place] = make_places(1, tmp_path / "mounts" / "L1")
            mount = share(data, "train/small")
            try:
                async with mounted_soon([mount], {mount.target: place}, own, ALICE, None):
                    assert (Path(place) / "one").read_text() == "1"
                    seen += 1
            except MLabError as error:
                refused += "a link on the way" in str(error)
    finally:
        swapping.kill()
        swapping.wait()
    assert min(seen, refused) >= 300
    assert not any(place.is_mount() for place in (tmp_path / "mounts").glob("*/*"))


def is_mounted(place: str) -> bool:
    return f" {place} " in Path("/proc/self/mountinfo").read_text()


def start_swapping(*paths: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", _SWAP, *map(str, paths)])


_SWAP = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
one, other = (os.fsencode(path) for path in sys.argv[1:])
while True:
    libc.renameat2(-100, one, -100, other, 2)
"""


@ROOT
async def test_a_mount_that_comes_too_late_is_taken_away(
    own: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released, done = threading.Event(), threading.Event()

    def open_late(*about: object) -> int:
        released.wait(10)
        return open_mount(*about)  # type: ignore[arg-type]

    monkeypatch.setattr(nas, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(nas, "open_mount", open_late)
    [place] = make_places(1, tmp_path / "mounts" / "L1")
    with pytest.raises(Unavailable, match="did not answer"):
        async with mounted_soon([share(data)], {"/data/x": place}, own, ALICE, None):
            done.set()
    released.set()
    await _settled(str(data))
    assert not done.is_set()
    assert not is_mounted(place)
