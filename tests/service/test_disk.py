"""Room on the NAS: asked in time or unknown, remembered for a while, one thread for what hangs."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from mlabhub.service import disk
from mlabhub.service.disk import DiskUse, Room, room_of
from tests.service.conftest import Running, make_settings, run_service


def test_room_is_the_file_systems(tmp_path: Path) -> None:
    found = os.statvfs(tmp_path)
    for path in (tmp_path, tmp_path / "not-made-yet"):
        room = room_of(str(path))
        assert room is not None
        assert room.total_bytes == found.f_blocks * found.f_frsize
        assert abs(room.free_bytes - found.f_bavail * found.f_frsize) < 2**30
    assert room_of(str(tmp_path / "gone" / "alice")) is None
    assert room_of(str(tmp_path / "gone" / "alice"), str(tmp_path)) is not None, "our own state folder's"
    assert room_of("/proc/self") is None, "a file system without blocks has no room to speak of"


async def test_what_hangs_is_unknown_and_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "PATIENCE_S", 0.1)
    now, asked, released = [0.0], [], threading.Event()

    def ask(path: str) -> Room | None:
        asked.append(path)
        if path == "/hangs":
            released.wait(10)
        return Room(100, 50, full=False)

    use = DiskUse(lambda: now[0], ask)
    for _ in range(3):
        now[0] += 0.2
        assert await use.look(["/hangs", "/nas"]) == {"/hangs": None, "/nas": Room(100, 50, full=False)}
    assert sorted(asked) == ["/hangs", "/nas"]
    released.set()
    await asyncio.wait(use._asking.values(), timeout=10)
    assert await use.look(["/hangs"]) == {"/hangs": Room(100, 50, full=False)}
    now[0] += disk.FRESH_S + 1
    await use.look(["/nas"])
    assert sorted(asked) == ["/hangs", "/nas", "/nas"]


async def test_everybody_sees_their_own_folders(running: Running) -> None:
    folders = (await running.call("GET", "api/v1/storage")).json()["folders"]
    assert [one["target"] for one in folders] == ["/mnt/user/alice", "/mnt/share/vision"]
    assert not running.settings.nas_dir.exists()
    assert all(0 < one["free_bytes"] <= one["total_bytes"] for one in folders), (
        "the state folder's, until there are any"
    )
    folders = (await running.call("GET", "api/v1/storage?user=carol", "admin")).json()["folders"]
    assert [one["target"] for one in folders] == ["/mnt/user/carol", "/mnt/share/nlp"]
    assert all(0 < one["free_bytes"] <= one["total_bytes"] for one in folders)
    assert (await running.call("GET", "api/v1/storage?user=carol")).status_code == 403


@pytest.mark.parametrize(("maker", "known"), [("pod", False), ("nobody", False), ("hub", True)])
async def test_on_a_cluster_the_hubs_own_disk_is_not_the_homes(tmp_path: Path, maker: str, known: bool) -> None:
    settings = make_settings(tmp_path).model_copy(update={"backend": "kube"})
    nas = tmp_path / "nas"
    (nas / "user").mkdir(parents=True)
    (settings.config_dir / "storage.yaml").write_text(f"user_root: {nas}/user\n")
    spec = f"{{volumes: [{{folder: {nas}, claim: nas}}], group_claim: {{size_gib: 1}}, make_folders: {maker}}}"
    (settings.config_dir / "kubernetes.yaml").write_text(spec)
    async with run_service(settings) as running:
        home, group = (await running.call("GET", "api/v1/storage")).json()["folders"]
    assert (home["target"], home["free_bytes"] is not None) == ("/mnt/user/alice", known)
    assert (group["target"], group["free_bytes"]) == ("/mnt/share/vision", None)
