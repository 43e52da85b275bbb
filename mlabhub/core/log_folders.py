"""The launch option ``log_folders``: which folders a TensorBoard of its own shows.

Guarantees: `read_log_folders` is total (any JSON value gives paths or an `MLabError` with a sentence); a path that
passes is absolute, in its usual form, and in a folder that the person has. That no link leads out of it is seen to
where it is read, with the person's own rights.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import Protocol

from mlabhub.core.paths import MOST_SOURCE, is_within
from mlabhub.core.quote import quote, quote_all
from mlabhub.errors import InvalidLaunch, MLabError, NotPermitted
from mlabhub.messages import N_, Message

MOST_FOLDERS = 50
KEY = "log_folders"


class Place(Protocol):
    """A folder that a server has: where it is on the machine, and where the server sees it."""

    @property
    def source(self) -> str:
        """On the machine."""

    @property
    def target(self) -> str:
        """In the server."""


def read_log_folders(value: object, targets: Sequence[str], *, permitted: bool) -> tuple[str, ...]:
    """Return the folders that a launch asks to be shown, each once.

    Parameters
    ----------
    targets
        Where the person's servers see their folders.
    permitted
        Whether the profile is of kind tensorboard.

    Raises
    ------
    InvalidLaunch
        Something is malformed.
    NotPermitted
        The profile is of another kind, or a folder is not the person's.
    """
    if value is None or (isinstance(value, list | tuple) and not value):
        return ()
    if not permitted:
        template = N_("Log folders are for profiles of kind tensorboard. Leave log_folders out or take such a one.")
        raise _refused(NotPermitted, template)
    if not isinstance(value, list | tuple):
        raise _refused(InvalidLaunch, N_("log_folders must be a list of paths, not {value}."), value=quote(value))
    if len(value) > MOST_FOLDERS:
        template = N_("log_folders has {count} entries; at most {most} are possible.")
        raise _refused(InvalidLaunch, template, count=len(value), most=MOST_FOLDERS)
    return tuple(dict.fromkeys(read_log_folder(one, targets) for one in value))


def read_log_folder(value: object, targets: Sequence[str]) -> str:
    """Return one folder in its usual form; ``~`` is the home, the first of the targets. Raises the same."""
    example = f"{targets[0]}/runs" if targets else "/mnt/user/NAME/runs"
    if isinstance(value, str) and targets and (value == "~" or value.startswith("~/")):
        value = targets[0] + value[1:]
    if not isinstance(value, str) or not value.startswith("/") or len(value) > MOST_SOURCE or not value.isprintable():
        template = N_("{value} is not a log folder; write its whole path, such as {example}.")
        raise _refused(InvalidLaunch, template, value=quote(value), example=example)
    if ".." in value.split("/"):
        template = N_("The log folder {value} has .. in it; write the path that is meant, such as {example}.")
        raise _refused(InvalidLaunch, template, value=quote(value), example=example)
    path = "/" + posixpath.normpath(value).lstrip("/")
    if any(is_within(path, target) for target in targets):
        return path
    template = N_("The log folder {value} is not in one of your folders; yours: {valid}.")
    raise _refused(NotPermitted, template, value=quote(path), valid=quote_all(targets, 20))


def source_of(path: str, places: Sequence[Place]) -> str:
    """Return where on the machine a path of a server is, for servers that see the machine's own folders."""
    within = [place for place in places if is_within(path, place.target)]
    if not within:
        return path
    place = max(within, key=lambda one: len(one.target))
    return place.source + path.removeprefix(place.target)


def _refused(kind: type[MLabError], template: str, **values: object) -> MLabError:
    return kind(Message.of(template, values), key=KEY)
