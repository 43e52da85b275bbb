"""How much is in people's folders: by quotas, and as it is counted at night."""

from __future__ import annotations

import os
import shutil
import time
from datetime import datetime
from pathlib import Path

import pytest

from mlabhub.core.folder_use import FolderUse, next_count, read_du, read_quota
from mlabhub.i18n import get_translator
from mlabhub.service import folder_quotas
from mlabhub.service.disk_count import FILE, DiskCount, folders_of
from mlabhub.service.pages.folders import make_folders, use_text
from mlabhub.service.pages.quota_bars import WIDTH, Meter
from mlabhub.service.views import StorageView
from tests.service.conftest import Running

TOLD = """Disk quotas for user alice (uid 1001):
     Filesystem  blocks   quota   limit   grace   files   quota   limit   grace
nas:/home         {blocks}   {soft}   {hard}       0      12       0       0       0
"""
ENGLISH = get_translator("en")


@pytest.mark.parametrize(
    ("blocks", "soft", "hard", "found"),
    [
        ("512", "1024", "2048", FolderUse(2**19, 2**20, "user quota")),
        ("1500*", "1024", "2048", FolderUse(1500 * 1024, 2**20, "user quota")),
        ("512", "0", "2048", FolderUse(2**19, 2**21, "user quota")),
        ("512", "0", "0", None),
        ("?", "0", "1", None),
    ],
)
def test_what_quota_says(blocks: str, soft: str, hard: str, found: FolderUse | None) -> None:
    assert read_quota(TOLD.format(blocks=blocks, soft=soft, hard=hard), "user quota") == found


def test_no_quota_is_not_known() -> None:
    assert read_quota("Disk quotas for user alice (uid 1001): none\n", "user quota") is None
    assert read_quota("", "user quota") is None


def test_what_could_not_be_read_whole_is_left_out() -> None:
    told = b"10\t/nas/alice\x0020\t/nas/bob\x0030\t/nas/carol\x0060\t/nas\x00"
    complaints = (
        "du: cannot read directory '/nas/bob/x': Permission denied\ndu: cannot access '/nas/carol/y': No such file"
    )
    folders = ["/nas/alice", "/nas/bob", "/nas/carol", "/nas/dave"]
    assert read_du(told, complaints, folders) == {"/nas/alice": 10, "/nas/carol": 30}


def test_the_next_night() -> None:
    assert next_count(datetime(2026, 11, 27, 2, 59), 3) == datetime(2026, 11, 27, 3)
    assert next_count(datetime(2026, 11, 27, 3, 0), 3) == datetime(2026, 11, 28, 3)


def test_the_program_is_asked_about_the_folders_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "quota"
    program.parent.mkdir()
    table = TOLD.format(blocks="512", soft="1024", hard="0")
    program.write_text(f"#!/bin/sh\necho \"$@\" > {tmp_path}/asked\ncat <<'END'\n{table}END\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    home = tmp_path / "alice"
    home.mkdir()
    if os.geteuid() == 0:
        os.chown(home, 1001, 1001)
    assert folder_quotas.quota_of(str(home)) == FolderUse(2**19, 2**20, "user quota")
    asked = (tmp_path / "asked").read_text().split()
    assert asked[:4] == ["--user", "--raw-grace", "--no-wrap", f"--filesystem={folder_quotas.mount_of(str(home))}"]
    assert asked[4] == str(home.stat().st_uid)
    assert folder_quotas.quota_of(str(tmp_path / "none")) is None


def test_without_the_program_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert folder_quotas.quota_of(str(tmp_path)) is None


async def test_a_count_is_kept_with_its_date(tmp_path: Path) -> None:
    for name, size in (("alice", 100_000), ("bob's \n folder", 1)):
        (tmp_path / "nas" / name).mkdir(parents=True)
        (tmp_path / "nas" / name / "file").write_bytes(b"x" * size)
    root = str(tmp_path / "nas")
    folders = [f"{root}/alice", f"{root}/bob's \n folder"]
    count = DiskCount(tmp_path / FILE)
    assert count.of(folders[0]) is None
    before = time.time()
    await count.count({root: folders, folders[0]: [folders[0]], str(tmp_path / "none"): [str(tmp_path / "none")]})
    for known in (count, DiskCount(tmp_path / FILE)):
        found = [known.of(folder) for folder in folders]
        assert all(one is not None and one.at is not None and one.at >= before for one in found)
        assert found[0] is not None
        assert found[1] is not None
        assert (found[0].used >= 100_000 > found[1].used, found[0].limit, found[0].by) == (True, None, "count")
        assert known.of(str(tmp_path / "none")) is None
    (tmp_path / FILE).write_text("[1]")
    assert DiskCount(tmp_path / FILE).of(folders[0]) is None


async def test_what_is_counted_is_told_by_the_api(running: Running) -> None:
    home = Path(running.world.catalog().storage.user_root or "") / "alice"
    home.mkdir(parents=True)
    (home / "file").write_bytes(b"x" * 50_000)
    own, *_ = (await running.call("GET", "api/v1/storage")).json()["folders"]
    assert own["use"] is None
    await running.world.disk_count.count(folders_of(running.world))
    own, *_ = (await running.call("GET", "api/v1/storage")).json()["folders"]
    assert own["use"]["used"] >= 50_000
    assert (own["use"]["by"], own["use"]["limit"]) == ("count", None)


def folder(use: FolderUse | None) -> StorageView:
    return StorageView("user", "/mnt/user/alice", "", False, "protected", 2**40, 2**39, False, use)


def test_it_is_said_in_words_and_as_a_bar() -> None:
    (line,) = make_folders([folder(FolderUse(3 * 2**30, 4 * 2**30, "folder quota"))], ENGLISH)
    assert line.use == "3 GiB of 4 GiB used (the folder's quota)"
    assert line.meter == Meter(WIDTH * 3 // 4, 0, 0, full=False)
    (line,) = make_folders([folder(FolderUse(5 * 2**30, 4 * 2**30, "user quota"))], ENGLISH)
    assert line.meter == Meter(WIDTH, 0, 0, full=True)
    (line,) = make_folders([folder(None)], ENGLISH)
    assert (line.use, line.meter) == ("how much is used is not known", None)
    assert "counted" in use_text(FolderUse(2**30, None, "count", time.time()), ENGLISH)
