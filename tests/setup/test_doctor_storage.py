"""What doctor says of folders that are there, away, or hang."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from mlabhub.cli import doctor_storage
from mlabhub.cli.doctor_storage import check_folder, folders_of, look_at_storage
from mlabhub.core.storage import Storage


def test_every_folder_of_the_file_is_looked_at():
    research = {"user_root": "/b", "user_target": "/mnt2"}
    fast = {"display_name": "Fast", "source": "/c", "target": "/mnt/fast"}
    storage = Storage.model_validate({"user_root": "/a", "groups": {"research": research}, "shares": {"fast": fast}})
    assert folders_of(storage) == [
        ("private folders", "/a", True),
        ("private folders of research", "/b", True),
        ("share fast", "/c", False),
    ]
    assert look_at_storage(None) == []


def test_there_away_and_in_the_way(tmp_path: Path):
    there = check_folder("share x", tmp_path, needed=False)
    assert there.status == "ok"
    assert there.found.endswith(f"free at {tmp_path}")
    away = check_folder("private folders", tmp_path / "gone", needed=True)
    assert (away.status, away.found) == ("missing", f"{tmp_path}/gone is not there")
    assert "can start" in away.fix
    (tmp_path / "file").touch()
    assert check_folder("share x", tmp_path / "file", needed=False).status == "better"


def test_one_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    released = threading.Event()
    monkeypatch.setattr(doctor_storage, "PATIENCE_S", 0.1)
    check = check_folder("share x", tmp_path, needed=False, look=lambda _: str(released.wait(10)))
    released.set()
    assert check.found == f"{tmp_path} does not answer"
