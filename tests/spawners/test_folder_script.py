"""What the pod that makes folders runs: the rules are those of `test_folders`, on a volume instead of a root."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlabhub.spawners.kube import folder_script

ROOT = pytest.mark.engine
HOME = {"uid": 200001, "gid": 200001, "mode": 0o700}
SHARE = {"uid": 0, "gid": 200100, "mode": 0o2770}
NOT_OURS = {"uid": None, "gid": None, "mode": None}


def look(volume: Path, path: str, **changes: Any) -> list[Any]:
    wanted = {"volume": str(volume), "path": path, "make": True, "make_roots": False, "writable": False, **HOME}
    return folder_script.look({**wanted, **changes})


def status(path: Path) -> tuple[int, int, int]:
    found = path.lstat()
    return found.st_uid, found.st_gid, found.st_mode & 0o7777


@ROOT
def test_they_are_made_with_owner_and_mode(tmp_path: Path) -> None:
    assert look(tmp_path, "user/alice", make_roots=True) == ["ok"]
    assert look(tmp_path, "share/vision", make_roots=True, **SHARE) == ["ok"]
    assert status(tmp_path / "user") == (0, 0, 0o711)
    assert status(tmp_path / "user" / "alice") == (200001, 200001, 0o700)
    assert status(tmp_path / "share" / "vision") == (0, 200100, 0o2770)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["alice", "share", "user", "vision"]


def test_a_root_on_a_folder_of_the_node_is_not_made(tmp_path: Path) -> None:
    assert look(tmp_path, "user/alice") == ["missing", "user"]
    assert not list(tmp_path.iterdir())


def test_what_is_not_to_be_made_is_not_made(tmp_path: Path) -> None:
    assert look(tmp_path, "data/imagenet", make=False, make_roots=True, **NOT_OURS) == ["missing", "data"]
    assert not list(tmp_path.iterdir())
    (tmp_path / "data" / "imagenet").mkdir(parents=True)
    assert look(tmp_path, "data/imagenet", make=False, **NOT_OURS) == ["ok"]


@ROOT
def test_what_is_there_keeps_its_owner_and_mode(tmp_path: Path) -> None:
    (tmp_path / "alice").mkdir(mode=0o755)
    os.chown(tmp_path / "alice", 200001, 50)
    (tmp_path / "alice" / "file").write_text("x")
    before = status(tmp_path / "alice"), status(tmp_path / "alice" / "file")
    assert look(tmp_path, "alice") == ["ok"]
    assert (status(tmp_path / "alice"), status(tmp_path / "alice" / "file")) == before


@ROOT
def test_somebody_elses_folder_is_a_conflict_and_untouched(tmp_path: Path) -> None:
    for name, wanted in (("alice", HOME), ("vision", SHARE)):
        (tmp_path / name).mkdir(mode=0o755)
        os.chown(tmp_path / name, 1000, 1001)
        assert look(tmp_path, name, **wanted) == ["owner", *(("group", 1001) if wanted is SHARE else ("user", 1000))]
        assert status(tmp_path / name) == (1000, 1001, 0o755)


@pytest.mark.parametrize("target", ["secret", "nowhere", "/etc"])
@pytest.mark.parametrize("path", ["user/alice", "user"], ids=["on the way", "at the end"])
def test_a_link_is_not_followed(tmp_path: Path, target: str, path: str) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "user").symlink_to(target if target.startswith("/") else tmp_path / target)
    assert look(tmp_path, path, make_roots=True) == ["link", "user"]
    assert not list((tmp_path / "secret").iterdir())
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("make", [Path.touch, os.mkfifo], ids=["file", "pipe"])
def test_something_else_in_its_place_is_told(tmp_path: Path, make: object) -> None:
    make(tmp_path / "alice")  # type: ignore[operator]
    assert look(tmp_path, "alice") == ["no_folder", "alice"]


@ROOT
def test_a_volume_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    wanted = {"volume": ".", "path": "", "make": False, "make_roots": False, "writable": True, **NOT_OURS}
    answer = tmp_path / "answer"
    answer.touch()
    answer.chmod(0o666)
    task = json.dumps({"answer": "answer", "folders": [wanted]})
    argv = ["/usr/bin/python3", "-I", "-c", Path(folder_script.__file__).read_text(), task]
    for mode, found in ((0o755, ["closed"]), (0o1777, ["ok"])):
        tmp_path.chmod(mode)
        subprocess.run(argv, cwd=tmp_path, user=200002, group=200002, extra_groups=[], check=True)
        assert json.loads(answer.read_text()) == [found]


def test_each_gets_its_answer_whatever_becomes_of_the_others(tmp_path: Path) -> None:
    answer = tmp_path / "answer"
    (tmp_path / "there").mkdir()
    folders = [
        {"volume": str(volume), "path": path, "make": False, "make_roots": False, "writable": False, **NOT_OURS}
        for volume, path in ((tmp_path / "no-volume", "x"), (tmp_path, "there"), (tmp_path, "n" * 300))
    ]
    script = Path(folder_script.__file__).read_text()
    task = json.dumps({"answer": str(answer), "folders": folders})
    subprocess.run([sys.executable, "-I", "-c", script, task], check=True)
    assert json.loads(answer.read_text()) == [
        ["cannot", "No such file or directory"],
        ["ok"],
        ["cannot", "File name too long"],
    ]
