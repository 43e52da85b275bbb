"""Backups: consistent while everything is written to, private, whole or absent; and what may come back from a file."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import random
import sqlite3
import stat
import tarfile
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from typer.testing import CliRunner

from mlabhub import __version__
from mlabhub.cli import app
from mlabhub.errors import InvalidConfiguration
from mlabhub.ledger import open_sqlite
from mlabhub.settings import Settings
from mlabhub.supervisor import restore as restoring
from mlabhub.supervisor.archive import BackupFailed, read_manifest
from mlabhub.supervisor.backup import make_backup
from mlabhub.supervisor.first_run import AlreadyRunning, HalfRestored, StateLock, check_whole
from mlabhub.supervisor.restore import restore
from tests.ledger.test_contract import reservation
from tests.service.conftest import make_settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An installation with something in every place."""
    one = make_settings(tmp_path)
    one.save()
    (one.state_dir / "instance").write_text("cafe0123")
    (one.state_dir / "first-run.json").write_text("{}")
    (one.state_dir / "first-run.json").chmod(0o600)
    (one.state_dir / "ports.json").write_text("{}")
    (one.nas_dir / "user").mkdir(parents=True)
    (one.nas_dir / "user" / "thesis").write_text("people's")
    (one.state_dir / "runtime").mkdir()
    (one.state_dir / "runtime" / "libc.so.6").write_text("made anew from its image")
    one.log_dir.mkdir()
    (one.log_dir / "hub.log").write_text("log")
    (one.state_dir / "link").symlink_to("/etc/passwd")
    (one.config_dir / ".git").mkdir()
    (one.config_dir / ".git" / "HEAD").write_text("x")
    ledger = open_sqlite(one.ledger_file)
    ledger.commit([reservation()])
    ledger.close()
    with contextlib.closing(sqlite3.connect(one.state_dir / "jupyterhub.sqlite")) as hub:
        hub.execute("CREATE TABLE users (name)")
        hub.execute("INSERT INTO users VALUES ('alice')")
        hub.commit()
    return one


@pytest.fixture
def archive(settings: Settings, tmp_path: Path) -> Path:
    file = tmp_path / "backup.tar.gz"
    make_backup(settings, file)
    return file


def launches(state: Path) -> set[str]:
    """Return the active launches of a restored ledger."""
    ledger = open_sqlite(state / "ledger.sqlite")
    with contextlib.closing(ledger):
        return {one.launch_id for one in ledger.load(0.0).reservations}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_everything_comes_back_and_nothing_else(settings: Settings, archive: Path, tmp_path: Path) -> None:
    assert mode(archive) == 0o600
    assert [one.name for one in tmp_path.iterdir() if "backup" in one.name] == ["backup.tar.gz"]
    new = tmp_path / "new"
    manifest, aside = restore(archive, new)
    assert aside is None
    assert (manifest.instance, manifest.version, manifest.ledger) == ("cafe0123", __version__, "sqlite")
    names = {one.relative_to(new).as_posix() for one in new.rglob("*") if one.is_file()}
    assert {name for name in names if not name.startswith("run/")} == {
        "instance",
        "first-run.json",
        "ports.json",
        "jupyterhub.sqlite",
        "ledger.sqlite",
        "secrets/spawner",
        "secrets/service-token",
        "config/profiles.yaml",
        "config/images.yaml",
        "config/quotas.yaml",
    }
    for name in ("secrets/spawner", "config/profiles.yaml", "first-run.json"):
        old = (settings.config_dir.parent if name.startswith("config") else settings.state_dir) / name
        assert ((new / name).read_bytes(), mode(new / name)) == (old.read_bytes(), mode(old))
    assert {mode(new), mode(new / "secrets")} == {0o700}
    assert {mode(new / "ledger.sqlite"), mode(new / "jupyterhub.sqlite")} == {0o600}
    assert launches(new) == {"L1"}


def test_a_backup_while_everything_is_written_to(settings: Settings, tmp_path: Path) -> None:
    """A launch is two reservations in one commit of the ledger, and a row of the hub's database before it."""
    stop, made = threading.Event(), [0]

    def write() -> None:
        with contextlib.closing(open_sqlite(settings.ledger_file)) as ledger:
            hub = sqlite3.connect(settings.state_dir / "jupyterhub.sqlite", timeout=30)
            while not stop.is_set():
                made[0] += 1
                hub.execute("INSERT INTO users VALUES (?)", [f"{made[0]}"])
                hub.commit()
                ledger.commit([reservation(f"{made[0]}-{half}", user=f"{made[0]}-{half}") for half in "ab"])
            hub.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            before = made[0]
            make_backup(settings, tmp_path / f"{number}.tar.gz")
            restore(tmp_path / f"{number}.tar.gz", tmp_path / f"state{number}")
            kept = launches(tmp_path / f"state{number}") - {"L1"}
            assert {name.replace("a", "b") for name in kept if "a" in name} == {name for name in kept if "b" in name}
            with contextlib.closing(sqlite3.connect(tmp_path / f"state{number}" / "jupyterhub.sqlite")) as hub:
                accounts = hub.execute("SELECT count(*) FROM users").fetchone()[0] - 1
            assert before - 1 <= accounts <= len(kept) // 2 + 1
    finally:
        stop.set()
        writer.join()
    assert made[0] > 5


def test_a_ledger_whose_last_commits_are_in_its_log_alone(settings: Settings, tmp_path: Path) -> None:
    ledger = open_sqlite(settings.ledger_file)
    ledger.commit([reservation("L2", user="bob")])
    assert (settings.state_dir / "ledger.sqlite-wal").stat().st_size
    make_backup(settings, tmp_path / "backup")
    ledger.commit([reservation("L3", user="carol")])
    ledger.close()
    restore(tmp_path / "backup", tmp_path / "new")
    assert launches(tmp_path / "new") == {"L1", "L2"}


def test_restoring_yesterday_keeps_today_aside(settings: Settings, archive: Path) -> None:
    ledger = open_sqlite(settings.ledger_file)
    ledger.commit([reservation("L2", user="bob")])
    state = settings.state_dir
    wal = (state / "ledger.sqlite-wal").read_bytes()
    ledger.close()
    (state / "ledger.sqlite-wal").write_bytes(wal)  # as a crash leaves it; with the old ledger it would be damage
    with pytest.raises(BackupFailed, match=r"is not empty .*--force"):
        restore(archive, state)
    _, aside = restore(archive, state, force=True)
    assert launches(state) == {"L1"}
    assert aside is not None
    assert (aside / "ledger.sqlite-wal").read_bytes() == wal
    assert (state / "nas" / "user" / "thesis").read_text() == "people's"
    assert (state / "log" / "hub.log").exists()
    make_backup(settings, archive)
    assert not [name for name in read_manifest(archive).files if "before-restore" in name]


def test_a_running_installation_is_left_alone(settings: Settings, archive: Path) -> None:
    state = settings.state_dir
    with contextlib.closing(StateLock(state)), pytest.raises(AlreadyRunning, match="already runs"):
        restore(archive, state, force=True)
    with FileLock(state / "run" / "service.lock"), pytest.raises(BackupFailed, match="still runs"):
        restore(archive, state, force=True)
    restore(archive, state, force=True)


def test_a_folder_with_only_peoples_files_may_be_restored_into(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "new" / "nas" / "user").mkdir(parents=True)
    restore(archive, tmp_path / "new")
    assert (tmp_path / "new" / "nas" / "user").is_dir()


def test_an_interrupted_restore_is_noticed_and_mended(
    settings: Settings, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(_: object = None) -> None:
        raise KeyboardInterrupt

    state = settings.state_dir
    monkeypatch.setattr(restoring.os, "sync", die)
    with pytest.raises(KeyboardInterrupt):
        restore(archive, state, force=True)
    with pytest.raises(HalfRestored, match="was interrupted"):
        check_whole(state)
    monkeypatch.undo()
    restore(archive, state, force=True)
    check_whole(state)
    assert launches(state) == {"L1"}


# --- targets that cannot be


def test_targets_that_cannot_be(settings: Settings, tmp_path: Path) -> None:
    cases: dict[str, Path] = {
        "is a folder": tmp_path,
        "inside the state folder": settings.state_dir / "backup",
        "No such file or directory": tmp_path / "missing" / "backup",
    }
    for match, target in cases.items():
        with pytest.raises(BackupFailed, match=match):
            make_backup(settings, target)
    (settings.state_dir / "instance").unlink()
    with pytest.raises(InvalidConfiguration, match="no state folder"):
        make_backup(settings, tmp_path / "backup")


def test_a_damaged_database_is_no_backup_and_the_old_one_stays(settings: Settings, archive: Path) -> None:
    before = archive.read_bytes()
    content = bytearray((settings.state_dir / "jupyterhub.sqlite").read_bytes())
    content[4096:6000] = b"x" * 1904
    (settings.state_dir / "jupyterhub.sqlite").write_bytes(content)
    with pytest.raises(BackupFailed, match="damaged"):
        make_backup(settings, archive)
    assert archive.read_bytes() == before
    assert [one.name for one in archive.parent.iterdir() if "backup" in one.name] == [archive.name]


# --- archives that cannot be


def rewrite(archive: Path, change: Callable[[list[tuple[tarfile.TarInfo, bytes]], dict[str, Any]], None]) -> None:
    """Change members and manifest of an archive."""
    with tarfile.open(archive) as source:
        members = [(one, source.extractfile(one).read()) for one in source]  # type: ignore[union-attr]
    manifest = json.loads(members.pop(0)[1])
    change(members, manifest)
    text = json.dumps(manifest).encode()
    first = tarfile.TarInfo("manifest.json")
    first.size = len(text)
    with tarfile.open(archive, "w:gz") as target:
        for info, content in [(first, text), *members]:
            target.addfile(info, io.BytesIO(content))


def _add(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", *, listed: bool = True) -> Any:
    def change(members: list[tuple[tarfile.TarInfo, bytes]], manifest: dict[str, Any]) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, link
        members.append((info, b""))
        if listed:
            empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
            manifest["files"][name] = {"size": 0, "sha256": empty, "mode": 0o600}

    return change


def _twice(members: list[tuple[tarfile.TarInfo, bytes]], _: dict[str, Any]) -> None:
    members.append(members[0])


def _drop(members: list[tuple[tarfile.TarInfo, bytes]], _: dict[str, Any]) -> None:
    members.pop()


def _other_content(members: list[tuple[tarfile.TarInfo, bytes]], _: dict[str, Any]) -> None:
    index = next(n for n, (info, _) in enumerate(members) if info.name == "state/instance")
    members[index] = (members[index][0], b"beef0123")


def _setting(**values: Any) -> Any:
    return lambda _, manifest: manifest.update(values)


HOSTILE = {
    "a path upwards": (_add("state/../../escaped"), "does not belong"),
    "an absolute path": (_add("/tmp/escaped"), "does not belong"),
    "a path with dots": (_add("state/./x"), "does not belong"),
    "a symlink": (_add("state/evil", tarfile.SYMTYPE, "/etc"), "does not belong"),
    "a hard link": (_add("state/evil", tarfile.LNKTYPE, "state/instance"), "does not belong"),
    "a device": (_add("state/evil", tarfile.CHRTYPE), "does not belong"),
    "a folder": (_add("state/evil", tarfile.DIRTYPE), "does not belong"),
    "a pipe": (_add("state/evil", tarfile.FIFOTYPE), "does not belong"),
    "a file that is not listed": (_add("state/evil", listed=False), "does not belong"),
    "a file that stands there twice": (_twice, "does not belong"),
    "a file that is missing": (_drop, "is missing"),
    "other content": (_other_content, "is not what was saved"),
    "a newer format": (_setting(format=2), "Restore it with that one"),
    "a newer version": (_setting(version="99.0"), "made by mlabhub 99.0"),
    "a list that is none": (_setting(files=[]), "list of files cannot be read"),
}


@pytest.mark.parametrize(("change", "match"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_archives(archive: Path, tmp_path: Path, change: Any, match: str) -> None:
    rewrite(archive, change)
    place = tmp_path / "deep" / "new"
    with pytest.raises(BackupFailed, match=match):
        restore(archive, place)
    assert not place.exists() or [one.name for one in place.iterdir()] == ["run"]
    assert not list(tmp_path.rglob("escaped"))


def test_a_ledger_of_a_newer_version(settings: Settings, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(settings.ledger_file)) as ledger:
        ledger.execute("UPDATE alembic_version SET version_num = '9999'")
        ledger.commit()
    make_backup(settings, tmp_path / "backup")
    with pytest.raises(BackupFailed, match=r"newer version of mlabhub \(schema 9999\)"):
        restore(tmp_path / "backup", tmp_path / "new")


@pytest.mark.parametrize("content", [b"", b"no archive", gzip.compress(b"no tar", mtime=0), b"\x1f\x8b"], ids=repr)
def test_files_that_are_no_archive(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(BackupFailed, match=r"damaged|no backup"):
        restore(file, tmp_path / "new")
    with pytest.raises(BackupFailed, match="No such file"):
        restore(tmp_path / "missing", tmp_path / "new")


def unpacked(packed: bytes) -> bytes | None:
    with contextlib.suppress(OSError, EOFError, zlib.error):
        return gzip.decompress(packed)
    return None


def test_any_flipped_or_missing_byte_is_found_out(archive: Path, tmp_path: Path) -> None:
    whole, chance = archive.read_bytes(), random.Random(1)
    for _ in range(60):
        content = bytearray(whole)
        at = chance.randrange(10, len(content))  # before it is gzip's own header: a date and flags, of no consequence
        if chance.random() < 0.3:
            del content[at:]
        else:
            content[at] ^= 1 << chance.randrange(8)
        if unpacked(content) == unpacked(whole):
            continue  # one bit can lead to another place with the same zeros: then nothing was changed
        archive.write_bytes(content)
        with pytest.raises(BackupFailed):
            restore(archive, tmp_path / "new")
    archive.write_bytes(whole)
    restore(archive, tmp_path / "new")


# --- the command line


@pytest.fixture
def run() -> Callable[..., Any]:
    return lambda *arguments: CliRunner().invoke(app, [str(one) for one in arguments])


def test_the_two_verbs(settings: Settings, tmp_path: Path, run: Callable[..., Any]) -> None:
    file, new = tmp_path / "backup.tar.gz", tmp_path / "new"
    made = run("backup", file, "--state", settings.state_dir)
    assert made.exit_code == 0, made.output
    assert "keep it private" in made.output
    back = run("restore", file, "--state", new)
    assert back.exit_code == 0, back.output
    assert f"mlabhub up --state {new} --config {new / 'config'}" in back.output
    again = run("restore", file, "--state", new, "--force", "--json")
    assert json.loads(again.output)["replaced"].startswith(str(new / "before-restore-"))
    assert json.loads(run("backup", file, "--state", settings.state_dir, "--json").output)["instance"] == "cafe0123"


def test_a_ledger_in_postgresql_is_said_not_to_be_in_it(
    settings: Settings, tmp_path: Path, run: Callable[..., Any]
) -> None:
    settings.model_copy(update={"ledger_url": "postgresql://mlabhub@db/hub"}).save()
    made = run("backup", tmp_path / "backup", "--state", settings.state_dir)
    assert "PostgreSQL at db/hub; pg_dump saves that one" in made.output
    manifest, _ = restore(tmp_path / "backup", tmp_path / "new")
    assert (manifest.ledger, manifest.ledger_place) == ("postgresql", "db/hub")
    assert not (tmp_path / "new" / "ledger.sqlite").exists()
    assert os.listdir(tmp_path / "new" / "secrets")
