"""Back up an installation while it runs: its databases, secrets, first-run file and configuration, in one file.

Guarantees: each database is copied as it was at one moment, by SQLite itself, while hub and service go on; the ledger
is copied last, so it knows every account's numbers; the file is readable by its owner only, and is there whole or not
at all. People's files are not in it, nor logs, nor a ledger in PostgreSQL.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sqlite3
import tempfile
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from mlabhub import __version__
from mlabhub.errors import InvalidConfiguration
from mlabhub.ledger import parse_address
from mlabhub.settings import Settings
from mlabhub.supervisor.archive import FORMAT, BackupFailed, Entry, Manifest, digest, write_archive

LEFT_OUT = ("nas", "log", "run", "runtime", "restoring")
"""Folders of the state folder that are no part of a backup: people's files, and what is made anew."""

ASIDE = "before-restore-"
_NO_FILES = ("-wal", "-shm", "-journal", ".new", ".lock")


def make_backup(settings: Settings, target: Path) -> Manifest:
    """Write a backup to ``target``; an older one there is replaced at the end. Raises `BackupFailed`."""
    target = target.absolute()
    state = settings.state_dir
    if target.is_dir():
        raise BackupFailed(f"{target} is a folder. Name a file in it, such as {target / 'mlabhub.tar.gz'}.")
    if target.resolve().is_relative_to(state.resolve()):
        raise BackupFailed(f"{target} is inside the state folder, and would be lost with it. Name a file elsewhere.")
    if not (state / "instance").is_file():
        raise InvalidConfiguration(f"{state} is no state folder of an installation. Name one with --state.")
    with _errors_in_words(target), _private_folder(target) as folder:
        _collect(settings, folder)
        manifest = _describe(settings, folder)
        descriptor = os.open(folder / "archive", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as archive:
            write_archive(archive, manifest, folder)
            archive.flush()
            os.fsync(archive.fileno())
        os.replace(folder / "archive", target)
    return manifest


@contextlib.contextmanager
def _errors_in_words(target: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise BackupFailed(f"A database could not be copied ({error}); there is no new backup. Try again.") from error
    except OSError as error:
        place = error.filename or target
        raise BackupFailed(f"{place}: {error.strerror}; there is no new backup. Mend that, then try again.") from error


@contextlib.contextmanager
def _private_folder(target: Path) -> Iterator[Path]:
    """Give a folder beside the target, so that what is finished can take its place at once."""
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name[:100]}-", dir=target.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _collect(settings: Settings, folder: Path) -> None:
    """Copy everything into the folder, the ledger last."""
    config = settings.config_dir
    for file in _files(config):
        _copy(file, folder / "config" / file.relative_to(config))
    ledger = settings.ledger_file
    found = [file for file in _state_files(settings) if file != ledger]
    for file in [*found, *([ledger] if not settings.ledger_url and ledger.is_file() else [])]:
        place = folder / "state" / file.relative_to(settings.state_dir)
        if file.suffix == ".sqlite":
            copy_database(file, place)
        else:
            with contextlib.suppress(FileNotFoundError):  # it has gone just now: then it is no part of the state
                _copy(file, place)


def _state_files(settings: Settings) -> Iterator[Path]:
    """Yield the state's own regular files; a configuration folder inside it has been looked at already."""
    for top in sorted(settings.state_dir.iterdir()):
        if top.name in LEFT_OUT or top.name.startswith(ASIDE) or top == settings.config_dir:
            continue
        for file in _files(top) if top.is_dir() and not top.is_symlink() else (top,):
            if file.is_file() and not file.is_symlink() and not file.name.endswith(_NO_FILES):
                yield file


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__pycache__")
        yield from (Path(place, name) for name in sorted(names) if Path(place, name).is_file())


def _copy(file: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, place)
    place.chmod(file.stat().st_mode & 0o777)


def copy_database(file: Path, place: Path) -> None:
    """Copy an SQLite database as it is at one moment, and see that the copy is whole."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.touch(mode=0o600)
    with (
        contextlib.closing(sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True, timeout=30)) as source,
        contextlib.closing(sqlite3.connect(place)) as copy,
    ):
        source.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE").close()
        check_database(copy, file)


def check_database(connection: sqlite3.Connection, file: Path) -> None:
    """Raise `BackupFailed` if a database is damaged."""
    try:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found != "ok":
        raise BackupFailed(f"The database {file} is damaged ({found}); nothing was changed. Take an older backup.")


def _describe(settings: Settings, folder: Path) -> Manifest:
    files = {}
    for place, _, names in sorted(os.walk(folder)):
        for file in (Path(place, name) for name in sorted(names)):
            mode = file.stat().st_mode & 0o777
            name = file.relative_to(folder).as_posix()
            if not name.isprintable():
                raise BackupFailed(f"The file name {name!r} cannot be kept. Rename that file, then try again.")
            files[name] = Entry(size=file.stat().st_size, sha256=digest(file), mode=mode)
    return Manifest(
        format=FORMAT,
        version=__version__,
        instance=(settings.state_dir / "instance").read_text().strip(),
        made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        host=socket.gethostname(),
        ledger="postgresql" if settings.ledger_url else "sqlite",
        ledger_place=parse_address(settings.ledger_url).place if settings.ledger_url else str(settings.ledger_file),
        config_dir=str(settings.config_dir),
        files=files,
    )
