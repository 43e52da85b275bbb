"""The launch option ``mounts``: what a person has, or a subfolder of it, at a place of their choice.

Guarantees: `read_mounts` is total (any JSON value gives choices or an `MLabError` with a sentence); a share is one that
the person gets anyway; a subfolder's path cannot leave its share by its text (that no link leads out is seen to when it
is opened, see `mlabhub.engine.beneath`); a target is below an allowed prefix, covers nothing and is covered by nothing;
what is read-only cannot be made writable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from mlabhub.core.gate import read_keys
from mlabhub.core.paths import MOST_SOURCE, MOST_TARGET, is_plain, is_within, overlap
from mlabhub.core.quote import quote, quote_all
from mlabhub.errors import InvalidLaunch, MLabError, NotPermitted
from mlabhub.messages import N_, Message

MOST_MOUNTS = 16
KEYS = ("share", "subfolder", "target", "read_only")
_MOST_NAME = 255


@dataclass(frozen=True)
class MountChoice:
    """One mount that a person chose. An empty ``subfolder`` is the whole share."""

    share: str
    target: str
    subfolder: str = ""
    read_only: bool = False


class _Place(Protocol):
    @property
    def share(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def read_only(self) -> bool: ...


def read_mounts(
    value: object, places: Sequence[_Place], prefixes: Sequence[str], *, permitted: bool
) -> tuple[MountChoice, ...]:
    """Return what a launch asks to be mounted.

    Parameters
    ----------
    places
        What the person's servers have anyway.
    prefixes
        Below which targets may be.
    permitted
        Whether the profile lets people choose.

    Raises
    ------
    InvalidLaunch
        Something is malformed, or cannot be.
    NotPermitted
        The profile does not allow it, or the share is not the person's.
    """
    if value is None or (isinstance(value, list | tuple) and not value):
        return ()
    if not permitted:
        raise _refused(NotPermitted, N_("This profile does not let you mount folders at places of your choice."))
    if not prefixes:
        raise _refused(
            NotPermitted, N_("Nobody may choose where folders are mounted: storage.yaml names no mount_prefixes.")
        )
    if not isinstance(value, list | tuple):
        raise _refused(InvalidLaunch, N_("mounts must be a list of mounts, not {value}."), value=quote(value))
    if len(value) > MOST_MOUNTS:
        template = N_("mounts has {count} entries; at most {most} are possible.")
        raise _refused(InvalidLaunch, template, count=len(value), most=MOST_MOUNTS)
    by_share = {place.share: place for place in places}
    choices: list[MountChoice] = []
    for entry in value:
        choice = _read_mount(entry, by_share, prefixes)
        taken = [*(place.target for place in places), *(other.target for other in choices)]
        other = next((target for target in taken if overlap(choice.target, target)), None)
        if other is not None:
            template = N_("Nothing can be mounted at {target}, for {other} is mounted already. Take another place.")
            raise _refused(InvalidLaunch, template, target=quote(choice.target), other=other)
        choices.append(choice)
    return tuple(choices)


def _read_mount(entry: object, places: Mapping[str, _Place], prefixes: Sequence[str]) -> MountChoice:
    given = read_keys(entry, KEYS, N_("A mount"))
    place = _read_share(given.get("share"), places)
    return MountChoice(
        share=place.share,
        target=_read_target(given.get("target"), prefixes),
        subfolder=_read_subfolder(given.get("subfolder")),
        read_only=_read_read_only(given.get("read_only"), place),
    )


def _read_share(value: object, places: Mapping[str, _Place]) -> _Place:
    if isinstance(value, str) and value in places:
        return places[value]
    template = N_("There is no share {value} that you may mount; yours: {valid}.")
    raise _refused(
        NotPermitted if isinstance(value, str) else InvalidLaunch,
        template,
        value=quote(value),
        valid=quote_all(places, 20),
    )


def _read_target(value: object, prefixes: Sequence[str]) -> str:
    if (
        isinstance(value, str)
        and len(value) <= MOST_TARGET
        and is_plain(value)
        and any(value != prefix and is_within(value, prefix) for prefix in prefixes)
    ):
        return value
    template = N_(
        "Nothing can be mounted at {value}; a place is an absolute path of at most {most} characters below {valid}."
    )
    raise _refused(InvalidLaunch, template, value=quote(value), most=MOST_TARGET, valid=quote_all(prefixes))


def _read_subfolder(value: object) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, str) and len(value) <= MOST_SOURCE and value.isprintable():
        names = value.split("/")
        if all(name not in ("", ".", "..") and len(name.encode()) <= _MOST_NAME for name in names):
            return value
    template = N_("The subfolder {value} is not valid; write it as names with / between them, such as train/small.")
    raise _refused(InvalidLaunch, template, value=quote(value))


def _read_read_only(value: object, place: _Place) -> bool:
    if value is None:
        return place.read_only
    if not isinstance(value, bool):
        raise _refused(InvalidLaunch, N_("read_only must be true or false, not {value}."), value=quote(value))
    if place.read_only and not value:
        template = N_("The share {share} can only be read, so read_only cannot be false. Leave it out.")
        raise _refused(NotPermitted, template, share=quote(place.share))
    return value


def _refused(kind: type[MLabError], template: str, **values: object) -> MLabError:
    return kind(Message.of(template, values), key="mounts")
