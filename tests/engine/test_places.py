"""Folders mounted at places of ours: which folder it is, what it may do there, and that nothing is left."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlabhub.engine.idmapped import IdMap, IdMapUnavailable
from mlabhub.engine.places import MountFailed, Opened, make_places, mounted, unmount_stale

pytestmark = pytest.mark.engine
APART = IdMap(1000, (1000,), user_namespace=True)


@contextmanager
def opened(folder: Path | str, parent: Path, *, read_only: bool = False) -> Iterator[Opened]:
    """Open a folder, with a place for it."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield Opened(descriptor, make_places(1, parent / "mounts" / "L1")[0], str(folder), read_only)
    finally:
        os.close(descriptor)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "alice"
    folder.mkdir()
    (folder / "work").write_text("years of it")
    return folder


def test_it_is_the_folder_that_was_opened_whatever_its_name_became(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "work").write_text("a secret")
    with opened(folder, tmp_path) as one:
        folder.rename(tmp_path / "away")
        folder.symlink_to(tmp_path / "secret")
        with mounted([one]):
            assert (Path(one.place) / "work").read_text() == "years of it"
    assert list((tmp_path / "mounts").iterdir()) == []
    assert (tmp_path / "away" / "work").read_text() == "years of it"


def test_read_only_holds_for_what_is_mounted_below_as_well(folder: Path, tmp_path: Path) -> None:
    (folder / "below").mkdir()
    (tmp_path / "other").mkdir()
    with (
        opened(tmp_path / "other", tmp_path / "x") as other,
        mounted([Opened(other.descriptor, str(folder / "below"), "below")]),
        opened(folder, tmp_path, read_only=True) as one,
        mounted([one]),
    ):
        for place in (Path(one.place), Path(one.place) / "below"):
            with pytest.raises(OSError, match="Read-only file system"):
                (place / "x").touch()
    assert (folder / "work").exists()


def test_neither_setuid_nor_devices_mean_anything(folder: Path, tmp_path: Path) -> None:
    os.mknod(folder / "null", 0o666 | 0o020000, os.makedev(1, 3))
    with opened(folder, tmp_path) as one, mounted([one]):
        with pytest.raises(PermissionError):
            (Path(one.place) / "null").read_bytes()
        [line] = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f" {one.place} " in line]
        assert {"nosuid", "nodev"} <= set(line.split()[5].split(","))


@pytest.mark.parametrize(
    ("id_map", "kind", "says"),
    [(APART, IdMapUnavailable, "Choose a profile without sudo"), (None, MountFailed, "cannot be mounted")],
    ids=["with a map", "plain"],
)
def test_what_cannot_be_mounted_is_a_sentence_and_leaves_nothing(
    tmp_path: Path, id_map: IdMap | None, kind: type[Exception], says: str
) -> None:
    with opened("/proc", tmp_path) as one:
        if id_map is None:
            one = Opened(one.descriptor, str(tmp_path / "nowhere"), "/proc")
        with pytest.raises(kind, match=says), mounted([one], id_map):
            pass
    for left in (tmp_path / "mounts").rglob("*"):
        assert not os.path.ismount(left)


def test_what_a_killed_process_left_is_taken_away_and_the_folder_is_not(folder: Path, tmp_path: Path) -> None:
    with opened(folder, tmp_path) as one:
        mounting = mounted([one], APART)
        mounting.__enter__()  # And then it was killed.
        assert (Path(one.place) / "work").exists()
        unmount_stale(tmp_path / "mounts")
        assert list((tmp_path / "mounts").iterdir()) == []
        assert (folder / "work").read_text() == "years of it"
        mounting.__exit__(None, None, None)
