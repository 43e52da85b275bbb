"""What a backup is: one compressed tar archive with a list of its files, each with its size and its SHA-256.

    manifest.json   first: format, version, installation, when, and the list
    state/...       files of the state folder; the databases as SQLite copied them
    config/...      the configuration folder

Guarantees: nothing is read from an archive but regular files whose names are in its list, stay inside it and stand
there once; an archive that was cut off or changed is found out before anything is replaced.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from mlabhub import __version__
from mlabhub.errors import MLabError

MANIFEST = "manifest.json"
FORMAT = 1
_LONGEST_MANIFEST = 16 * 2**20
_BLOCK = 2**20


class BackupFailed(MLabError):
    """A backup or a restore was refused or failed; what was there before is still there."""

    code = "backup_failed"


class Entry(BaseModel):
    """One file of an archive; ``mode`` are its permissions."""

    model_config = ConfigDict(frozen=True)

    size: int
    sha256: str
    mode: int


class Manifest(BaseModel):
    """The list of an archive and where it comes from."""

    model_config = ConfigDict(frozen=True)

    format: int
    version: str
    instance: str
    made: str
    host: str
    ledger: Literal["sqlite", "postgresql"]
    ledger_place: str
    config_dir: str
    files: dict[str, Entry]


def digest(file: Path) -> str:
    """Return a file's SHA-256."""
    with file.open("rb") as opened:
        return _copy(opened, None)[1]


def write_archive(target: IO[bytes], manifest: Manifest, folder: Path) -> None:
    """Write the files of a folder that the manifest lists."""
    with (
        gzip.GzipFile("", "wb", fileobj=target) as packed,  # "": no file name in the header, which no check sum covers
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        listed = folder / MANIFEST
        listed.write_text(manifest.model_dump_json(indent=1))
        archive.add(listed, MANIFEST, recursive=False)
        for name in manifest.files:
            archive.add(folder / name, name, recursive=False)


def read_manifest(file: Path) -> Manifest:
    """Return the list of an archive. Raises `BackupFailed` if it is none of ours, damaged, or of a newer version."""
    with _open(file) as archive:
        first = archive.next()
        if first is None or first.name != MANIFEST or not first.isfile() or first.size > _LONGEST_MANIFEST:
            raise BackupFailed(f"{file} is no backup of mlabhub. Name a file that `mlabhub backup` wrote.")
        text = _content(archive, first).read()
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        raise BackupFailed(
            f"{file}: its list of files cannot be read. It is damaged, or of a newer version; take another backup.",
            log_text=str(error),
        ) from error
    if manifest.format > FORMAT or _numbers(manifest.version) > _numbers(__version__):
        raise BackupFailed(
            f"{file} was made by mlabhub {manifest.version}; this is {__version__}. Restore it with that one."
        )
    return manifest


def unpack(file: Path, manifest: Manifest, folder: Path) -> None:
    """Unpack an archive into an empty folder, all of it and nothing else. Raises `BackupFailed`."""
    missing = dict(manifest.files)
    with _open(file) as archive:
        for member in archive:
            if member.name == MANIFEST and member.isfile():
                continue
            entry = missing.pop(member.name, None)
            if entry is None or not member.isfile() or member.size != entry.size or not _stays_inside(member.name):
                raise _damaged(file, f"{member.name!r} does not belong there")
            place = folder / member.name
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as opened:
                size, found = _copy(_content(archive, member), opened)
                os.fsync(opened.fileno())
            if (size, found) != (entry.size, entry.sha256):
                raise _damaged(file, f"{member.name} is not what was saved")
            place.chmod(entry.mode & 0o777)
        while archive.fileobj is not None and archive.fileobj.read(_BLOCK):  # to the end, where gzip's check sum is
            pass
    if missing:
        raise _damaged(file, f"{min(missing)} is missing")


@contextlib.contextmanager
def _open(file: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(file, "r:gz") as archive:
            yield archive
    except (tarfile.TarError, EOFError, zlib.error, UnicodeError) as error:
        raise _damaged(file, str(error)) from error
    except OSError as error:
        if error.errno is None:  # gzip's own: not a gzip file, a wrong check sum
            raise _damaged(file, str(error)) from error
        raise BackupFailed(f"{error.filename or file}: {error.strerror}. Mend that, then try again.") from error


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = archive.extractfile(member)
    assert content is not None  # it is a regular file
    return content


def _damaged(file: Path, why: str) -> BackupFailed:
    return BackupFailed(f"The backup {file} is damaged ({why}); nothing was changed. Take another one.")


def _stays_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return str(path) == name and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def _copy(source: IO[bytes], target: IO[bytes] | None) -> tuple[int, str]:
    size, found = 0, hashlib.sha256()
    while block := source.read(_BLOCK):
        size += len(block)
        found.update(block)
        if target is not None:
            target.write(block)
    return size, found.hexdigest()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("+")[0].split(".") if part.isdigit())
