"""Folders on the NAS: made once, then left alone, whatever stands in their place."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from mlabhub.core.storage import Folder, Mount
from mlabhub.spawners.folders import FolderConflict, ensure_folders

ROOT = pytest.mark.engine
HOME = Folder(200001, 200001, 0o700)
SHARE = Folder(0, 200100, 0o2770)


def home(root: Path, name: str = "alice") -> Mount:
    """Return a user's mount."""
    return Mount(str(root / name), f"/mnt/user/{name}", create=HOME)


def status(path: Path) -> tuple[int, int, int]:
    """Return owner, group and mode."""
    found = path.lstat()
    return found.st_uid, found.st_gid, found.st_mode & 0o7777


@ROOT
def test_they_are_made_with_owner_and_mode(tmp_path: Path) -> None:
    share = Mount(str(tmp_path / "share" / "vision"), "/mnt/share/vision", create=SHARE)
    ensure_folders([home(tmp_path / "user"), share], tmp_path)
    assert status(tmp_path / "user" / "alice") == (200001, 200001, 0o700)
    assert status(tmp_path / "share" / "vision") == (0, 200100, 0o2770)
    assert [path.name for path in (tmp_path / "user").iterdir()] == ["alice"]


@ROOT
def test_what_is_there_keeps_its_owner_and_mode(tmp_path: Path) -> None:
    (tmp_path / "alice").mkdir(mode=0o755)
    os.chown(tmp_path / "alice", 200001, 50)
    (tmp_path / "alice" / "file").write_text("x")
    before = status(tmp_path / "alice"), status(tmp_path / "alice" / "file")
    for _ in range(2):
        ensure_folders([home(tmp_path)], tmp_path)
    assert (status(tmp_path / "alice"), status(tmp_path / "alice" / "file")) == before


@ROOT
def test_somebody_elses_folder_is_a_conflict_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "alice").mkdir(mode=0o755)
    os.chown(tmp_path / "alice", 1000, 1000)
    before = status(tmp_path / "alice")
    with pytest.raises(FolderConflict, match="belongs to user 1000, not to user 200001"):
        ensure_folders([home(tmp_path)], tmp_path)
    assert status(tmp_path / "alice") == before


@ROOT
@pytest.mark.parametrize("target", ["secret", "nowhere"], ids=["link to a folder", "dangling link"])
def test_a_link_is_not_followed(tmp_path: Path, target: str) -> None:
    (tmp_path / "secret").mkdir()
    root = tmp_path / "user"
    root.mkdir()
    (root / "alice").symlink_to(tmp_path / target)
    with pytest.raises(FolderConflict, match="is a link"):
        ensure_folders([home(root)], tmp_path)
    assert status(tmp_path / "secret")[:2] == (0, 0)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("make", [Path.touch, os.mkfifo], ids=["file", "pipe"])
def test_something_else_in_its_place_is_a_sentence(tmp_path: Path, make: object) -> None:
    make(tmp_path / "alice")  # type: ignore[operator]
    with pytest.raises(FolderConflict, match="is not a folder"):
        ensure_folders([home(tmp_path)], tmp_path)


def test_a_nas_that_is_not_mounted_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FolderConflict, match="Is the NAS mounted"):
        ensure_folders([home(tmp_path / "nas")], tmp_path / "state")
    assert not (tmp_path / "nas").exists()


def test_a_folder_that_nobody_makes_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(FolderConflict, match="is missing"):
        ensure_folders([Mount(str(tmp_path / "data"), "/mnt/share/data")], tmp_path)


@ROOT
def test_many_at_once_make_one(tmp_path: Path) -> None:
    faults: list[BaseException] = []

    def ensure() -> None:
        try:
            for number in range(20):
                ensure_folders([home(tmp_path, f"user{number}")], tmp_path)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=ensure) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert {status(path) for path in tmp_path.iterdir()} == {(200001, 200001, 0o700)}
    assert len(list(tmp_path.iterdir())) == 20


@ROOT
def test_a_folder_with_somebodys_files_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "alice").mkdir()
    os.chown(tmp_path / "alice", 200001, 200001)
    (tmp_path / "alice" / "work").write_text("years of it")
    ensure_folders([home(tmp_path)], tmp_path)
    assert (tmp_path / "alice" / "work").read_text() == "years of it"
