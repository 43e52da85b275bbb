"""Put a backup back into a state folder.

Guarantees: nothing is touched while the hub runs, nor before the whole archive was unpacked and checked; what was there
is kept aside; people's files stay where they are; `mlabhub up` refuses a folder whose restore was interrupted, and to
restore again mends it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from filelock import FileLock, Timeout

from mlabhub.ledger.migrate import known_revisions
from mlabhub.supervisor.archive import BackupFailed, Manifest, read_manifest, unpack
from mlabhub.supervisor.backup import ASIDE, LEFT_OUT, check_database
from mlabhub.supervisor.first_run import UNFINISHED, StateLock, make_private_folders

_BESIDE_DATABASES = ("-wal", "-shm", "-journal")


def restore(archive: Path, state_dir: Path, *, force: bool = False) -> tuple[Manifest, Path | None]:
    """Restore an archive; return its list, and the folder with what was there before.

    Raises `BackupFailed`, or `AlreadyRunning`. ``force``: into a folder that has an installation.
    """
    archive, state_dir = archive.absolute(), state_dir.absolute()
    manifest = read_manifest(archive)
    if not force and (found := _own_files(state_dir)):
        raise BackupFailed(
            f"{state_dir} is not empty ({found[0]}). Name another folder, or replace that one's content by --force."
        )
    with _errors_in_words(state_dir), _nobody_there(state_dir):
        staging = state_dir / "restoring"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(mode=0o700)
        try:
            unpack(archive, manifest, staging)
            _check_databases(staging / "state")
            return manifest, _replace(staging, state_dir)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _own_files(state_dir: Path) -> list[str]:
    if not state_dir.is_dir():
        return []
    return sorted(one.name for one in state_dir.iterdir() if one.name not in LEFT_OUT)


@contextlib.contextmanager
def _errors_in_words(state_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place = error.filename or state_dir
        raise BackupFailed(f"{place}: {error.strerror}. Mend that, then restore again with --force.") from error


@contextlib.contextmanager
def _nobody_there(state_dir: Path) -> Iterator[None]:
    """Keep supervisor and service from starting meanwhile. Raises if one of them runs."""
    make_private_folders(state_dir, state_dir / "run")
    with contextlib.closing(StateLock(state_dir)):
        try:
            with FileLock(state_dir / "run" / "service.lock", timeout=0, mode=0o600):
                yield
        except Timeout:
            raise BackupFailed(f"The service of {state_dir} still runs; nothing was changed. Stop it first.") from None


def _check_databases(state: Path) -> None:
    for file in sorted(state.glob("*.sqlite")):
        with contextlib.closing(sqlite3.connect(file)) as connection:
            check_database(connection, file)
            if file.name == "ledger.sqlite":
                _check_schema(connection)


def _check_schema(connection: sqlite3.Connection) -> None:
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    if row is None or row[0] not in known_revisions():
        raise BackupFailed(
            f"The backup's ledger was written by a newer version of mlabhub (schema {row and row[0]}); nothing was "
            "changed. Restore it with that version."
        )


def _replace(staging: Path, state_dir: Path) -> Path | None:
    """Let what was unpacked take the place of what is there, which is put aside."""
    aside = state_dir / f"{ASIDE}{datetime.now(timezone.utc):%Y%m%dT%H%M%S.%f}"
    new = sorted((staging / "state").iterdir())
    new += [staging / "config"] if (staging / "config").is_dir() else []
    (state_dir / UNFINISHED).touch(mode=0o600)
    for one in new:
        for old in (one.name, *(one.name + suffix for suffix in _BESIDE_DATABASES)):
            if os.path.lexists(state_dir / old):
                aside.mkdir(exist_ok=True, mode=0o700)
                (state_dir / old).rename(aside / old)
        one.rename(state_dir / one.name)
    os.sync()
    (state_dir / UNFINISHED).unlink()
    return aside if aside.exists() else None
