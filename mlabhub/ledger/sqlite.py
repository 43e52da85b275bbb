"""The ledger in SQLite: WAL, ``synchronous=FULL``, one file on a local disk.

Guarantees: a commit that returned is on the disk; one that raised left nothing; the file is readable by its owner only
and is migrated to this version's schema when it is opened (a file of a newer version, or on a network's disk, is
refused).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import psutil
import sqlalchemy as sa
from sqlalchemy.pool import ConnectionPoolEntry

from mlabhub.errors import InvalidConfiguration
from mlabhub.ledger.migrate import migrate
from mlabhub.ledger.sql import SqlLedger, compact_json
from mlabhub.messages import N_, Message

_BUSY_MS = 2000
_NETWORK_DISKS = ("nfs", "cifs", "smb", "fuse.sshfs")


def open_sqlite(file: Path) -> SqlLedger:
    """Open the ledger in ``file``, made if it is not there. Raises `InvalidConfiguration` if it cannot be used."""
    check_disk(file.parent)
    try:
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        engine = sa.create_engine(sa.URL.create("sqlite", database=str(file)), json_serializer=compact_json)
        sa.event.listen(engine, "connect", _prepare)
        sa.event.listen(engine, "begin", _begin)
        migrate(engine)
    except (OSError, sa.exc.DatabaseError) as error:
        raise InvalidConfiguration(
            Message.of(
                N_(
                    "The ledger {file} cannot be opened: {reason}. "
                    "Free the disk or mend its permissions; if the file is damaged, put it aside and start again: "
                    "running servers are found again."
                ),
                file=str(file),
                reason=str(getattr(error, "orig", None) or error),
            )
        ) from error
    return SqlLedger(engine, partial(_sentence, str(file)))


def check_disk(folder: Path, mounts: Iterable[tuple[str, str]] | None = None) -> None:
    """Raise `InvalidConfiguration` if a folder is on a network's disk: SQLite's WAL does not work there.

    ``mounts`` are places with their file systems; this machine's if absent.
    """
    if mounts is None:
        mounts = [(one.mountpoint, one.fstype) for one in psutil.disk_partitions(all=True)]
    kind = file_system(folder, mounts)
    if kind.startswith(_NETWORK_DISKS):
        raise InvalidConfiguration(
            Message.of(
                N_(
                    "The folder {folder} is on a network's disk ({kind}), where SQLite's ledger would be damaged. "
                    "Name a folder on a local disk with --state, or keep the ledger in PostgreSQL with --ledger."
                ),
                folder=str(folder),
                kind=kind,
            )
        )


def file_system(folder: Path, mounts: Iterable[tuple[str, str]]) -> str:
    """Return the type of the file system that a folder is on; of several mounts on one place the last one counts."""
    real = folder.resolve()
    holding = [(len(place), kind) for place, kind in mounts if real.is_relative_to(place)]
    longest = max((length for length, _ in holding), default=0)
    return next((kind for length, kind in reversed(holding) if length == longest), "")


def _prepare(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # transactions begin where SQLAlchemy says so (`_begin`), DDL included
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={_BUSY_MS}"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _sentence(name: str, error: BaseException) -> Message:
    reason = str(error)
    if "is full" in reason or "No space left" in reason:
        return Message.of(
            N_("The ledger's disk is full ({file}); nothing was started. Free some space, then try again."), file=name
        )
    if "locked" in reason or "busy" in reason:
        return Message.of(
            N_("The ledger {file} is locked by another program; nothing was started. Close that program, then retry."),
            file=name,
        )
    return Message.of(
        N_("The ledger {file} cannot be used ({reason}); nothing was started. Look at its disk, then try again."),
        file=name,
        reason=reason,
    )
