"""The log folders that a person chose for TensorBoard: which may be chosen, how they are named, where the list is kept.

Guarantees: a folder is taken only if it leads, all links followed, into one of the person's places; that is checked
when it is added, at every start, and whenever the list is shown. TensorBoard itself reads with the person's own rights,
so a link swapped between two checks shows them nothing that they could not read anyway. Names are unique, none lies
inside another, and a folder keeps its name while others come and go. A list is written whole or not at all; where the
home is full or read-only it holds for this run, and says so. Nothing here walks through a folder.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlabhub_proxies.tools import home_of
from mlabhub_proxies.words import N_, Said

GIVEN = "MLABHUB_LOG_FOLDERS"
PLACES = "MLABHUB_PLACES"
MAX_FOLDERS = 100
MAX_PATH = 1000

KINDS = (
    (stat.S_ISREG, N_("{path} is a file. Choose the folder that it is in.")),
    (stat.S_ISFIFO, N_("{path} is a pipe, not a folder.")),
    (stat.S_ISSOCK, N_("{path} is a socket, not a folder.")),
)


class FolderRefused(Exception):
    """A folder that cannot be taken, or removed: a code for programs and a sentence for people."""

    def __init__(self, code: str, template: str, **values: Any) -> None:
        self.code = code
        self.sentence = Said.of(template, **values)
        super().__init__(code)


@dataclass(frozen=True)
class Folder:
    """One folder of the list."""

    path: str
    """As its person wrote it, whole."""
    name: str
    """What its runs' names begin with in TensorBoard: ``vision/exp1``."""


@dataclass(frozen=True)
class Places:
    """Where a person's folders may be: the home and what is mounted for them."""

    home: str
    mounted: tuple[str, ...] = ()

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Places:
        """Return the places of a server. What cannot be read counts as none: never more than was meant."""
        mounted = (os.path.normpath(path) for path in read_paths(environ.get(PLACES)) if path.startswith("/"))
        return cls(os.path.normpath(home_of(environ)), tuple(mounted))

    def __iter__(self) -> Iterator[str]:
        """Yield each place once, the home first."""
        return iter(dict.fromkeys((self.home, *self.mounted)))

    def written(self, typed: object) -> str:
        """Return the whole path that was typed, checked as text alone.

        Raises
        ------
        FolderRefused
            If it cannot be the path of a folder.
        """
        if not isinstance(typed, str) or not typed.strip():
            raise FolderRefused("empty", N_("Write the path of a folder, such as {example}."), example="~/runs")
        path = typed.strip()
        if len(path) > MAX_PATH:
            raise FolderRefused("too_long", N_("A path has at most {most} characters."), most=MAX_PATH)
        if not path.isprintable():
            raise FolderRefused(
                "unprintable", N_("The path holds characters that cannot be shown, such as a line's end.")
            )
        if path == "~" or path.startswith("~/"):
            path = self.home + path[1:]
        if not path.startswith("/"):
            raise FolderRefused("relative", N_("Write the whole path: it begins with / or with ~/."))
        return os.path.realpath(path) if ".." in path.split("/") else "/" + os.path.normpath(path).lstrip("/")

    def check(self, typed: object) -> str:
        """Return the path to take for what was typed. It looks at the storage, which may take as long as that takes.

        Raises
        ------
        FolderRefused
            If it leads outside, or is something else than a folder. One that does not exist yet is fine.
        """
        path = self.written(typed)
        if not self.holds(path):
            raise FolderRefused(
                "outside",
                N_("{path} is not in one of your folders: {places}."),
                path=path,
                places=", ".join(self),
            )
        try:
            mode = os.stat(path).st_mode
        except FileNotFoundError:
            return path
        except PermissionError:
            raise FolderRefused("unreadable", N_("You may not read {path}."), path=path) from None
        except OSError as fault:
            raise FolderRefused(
                "unusable", N_("{path} cannot be used: {why}."), path=path, why=fault.strerror
            ) from None
        if not stat.S_ISDIR(mode):
            template = next((words for kind, words in KINDS if kind(mode)), N_("{path} is not a folder."))
            raise FolderRefused("no_folder", template, path=path)
        return path

    def holds(self, path: str) -> bool:
        """Return whether a path, all links followed, lies in one of the places."""
        real = os.path.realpath(path)
        roots = (os.path.realpath(place) for place in self)
        return any(os.path.commonpath((real, root)) == root for root in roots)

    def base(self, path: str) -> str:
        """Return the path below its place, as names are made from it; shares keep the place's own last part."""
        if path.startswith(self.home + "/"):
            return path[len(self.home) + 1 :]
        return path.lstrip("/")


def read_paths(text: str | None) -> list[str]:
    """Return the texts of a JSON list; none if it is no such list."""
    try:
        paths = json.loads(text or "[]")
    except ValueError:
        return []
    return [path for path in paths if isinstance(path, str)] if isinstance(paths, list) else []


def make_name(below: str, taken: Collection[str]) -> str:
    """Return a readable name that neither is, nor lies in, nor holds another: the last two parts, more if it must be.

    Parameters
    ----------
    below
        The folder's path below its place, `Places.base`.
    """
    parts = [part for part in below.split("/") if part] or ["home"]
    for count in range(min(2, len(parts)), len(parts) + 1):
        if is_free(name := "/".join(parts[-count:]), taken):
            return name
    number = 2
    while not is_free(name := f"{parts[-1]} ({number})", taken):
        number += 1
    return name


def is_free(name: str, taken: Collection[str]) -> bool:
    """Return whether a name collides with none that is taken."""
    return not any(f"{name}/".startswith(f"{other}/") or f"{other}/".startswith(f"{name}/") for other in taken)


class FolderList:
    """The list of one server, its file in the home, and the folder of links that TensorBoard reads.

    Parameters
    ----------
    file
        Where the list is kept between runs.
    links
        The folder that TensorBoard is given; it holds a link per log folder and nothing else.
    given
        The folders that the server was started with. They replace what was kept, unless the last start was given the
        same: then what was added and removed since then is still true, as it is if none are given.
    """

    def __init__(self, file: Path, links: Path, places: Places, given: list[str] | None = None) -> None:
        self.places = places
        self.problem: Said | None = None
        """Why the list holds for this run only, if so."""
        self._file = file
        self._links = links
        self._given = given or None
        self._lock = threading.Lock()
        self._folders: tuple[Folder, ...] = self._load()
        self._link()
        if self._given is not None:
            self.problem = self._keep()

    @property
    def folders(self) -> tuple[Folder, ...]:
        """The folders, in the order in which they were added."""
        return self._folders

    def add(self, typed: object) -> Folder:
        """Add a folder and return it; one that is there already stays as it is.

        Raises
        ------
        FolderRefused
            See `Places.check`; or if there are too many.
        """
        path = self.places.check(typed)
        with self._lock:
            if folder := next((folder for folder in self._folders if folder.path == path), None):
                return folder
            if len(self._folders) >= MAX_FOLDERS:
                raise FolderRefused(
                    "too_many", N_("There are {most} folders already. Remove some first."), most=MAX_FOLDERS
                )
            folder = self._named(path, self._folders)
            self._set((*self._folders, folder))
            return folder

    def remove(self, path: object) -> None:
        """Take a folder off the list. Nothing in the folder is touched.

        Raises
        ------
        FolderRefused
            If it is not on the list.
        """
        with self._lock:
            left = tuple(folder for folder in self._folders if folder.path != path)
            if len(left) == len(self._folders):
                raise FolderRefused("unknown", N_("That folder is not on the list."))
            self._set(left)

    def refresh(self) -> None:
        """Look again which folders still lie in the person's places, and link those alone."""
        with self._lock:
            self._link()

    def _set(self, folders: tuple[Folder, ...]) -> None:
        self._folders = folders
        self._link()
        self.problem = self._keep()

    def _named(self, path: str, others: Collection[Folder]) -> Folder:
        return Folder(path, make_name(self.places.base(path), [folder.name for folder in others]))

    def _load(self) -> tuple[Folder, ...]:
        kept = self._read()
        if self._given is not None and kept.get("given") != self._given:
            return self._taken(self._given)
        self._given = self._given or kept.get("given")
        entries = kept.get("folders")
        paths = [entry.get("path") for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
        return self._taken(paths)

    def _taken(self, paths: list[Any]) -> tuple[Folder, ...]:
        folders: list[Folder] = []
        for path in paths[:MAX_FOLDERS]:
            with suppress(FolderRefused):
                written = self.places.written(path)
                if all(folder.path != written for folder in folders):
                    folders.append(self._named(written, folders))
        return tuple(folders)

    def _read(self) -> dict[str, Any]:
        try:
            kept = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return kept if isinstance(kept, dict) else {}

    def _keep(self) -> Said | None:
        kept = {"given": self._given, "folders": [{"path": folder.path} for folder in self._folders]}
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, name = tempfile.mkstemp(dir=self._file.parent, prefix=self._file.name)
            try:
                with open(handle, "w", encoding="utf-8") as stream:
                    json.dump(kept, stream)
                    stream.flush()
                    os.fsync(stream.fileno())
                os.replace(name, self._file)
            except OSError:
                os.unlink(name)
                raise
        except OSError as fault:
            return Said.of(
                N_("The list could not be kept in your home ({why}): it holds until this server stops."),
                why=fault.strerror or str(fault),
            )
        return None

    def _link(self) -> None:
        """Make the folder of links say what the list says."""
        wanted = {folder.name: folder.path for folder in self._folders if self.places.holds(folder.path)}
        self._links.mkdir(parents=True, exist_ok=True, mode=0o700)
        for inside, folders, files in os.walk(self._links, topdown=False):
            for entry in (*folders, *files):
                path = os.path.join(inside, entry)
                if not os.path.islink(path):
                    with suppress(OSError):
                        os.rmdir(path)
                elif wanted.get(os.path.relpath(path, self._links)) != os.readlink(path):
                    os.unlink(path)
        for name, path in wanted.items():
            link = self._links / name
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(path)
