"""Read ``notifications.yaml``, the one file of the configuration folder that holds secrets.

Guarantees: a file that others can read is refused, and so is a file of an address that it names; no fault repeats a
value. Its faults stop nothing but messages: launches are decided without it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlabhub.catalog.faults import Fault
from mlabhub.catalog.validate import validated
from mlabhub.catalog.yaml_file import Document, read_document
from mlabhub.core.notifications import USER, Channel, Notifications, fill_address
from mlabhub.messages import N_, Message

FILE = "notifications.yaml"
VARIABLE = "MLABHUB_NOTIFICATIONS"
_OTHERS = stat.S_IROTH | stat.S_IWOTH
_MOST_BYTES = 4096

UNREADABLE = N_("names a file that cannot be read: {why}; check its name and its permissions")
Place = tuple[str, str]


@dataclass(frozen=True)
class LoadedNotifications:
    """What the file says; ``addresses`` are by the place of their channel. ``files`` are all that were read."""

    file: Path
    there: bool
    settings: Notifications | None = None
    addresses: Mapping[Place, str] = field(default_factory=dict, repr=False)
    faults: tuple[Fault, ...] = ()
    files: tuple[Path, ...] = ()


def notifications_file(folder: Path, environ: Mapping[str, str] | None = None) -> Path:
    """Return the file to read: the one that ``MLABHUB_NOTIFICATIONS`` names, else the one in the folder."""
    named = (os.environ if environ is None else environ).get(VARIABLE)
    return Path(named) if named else folder / FILE


def read_notifications(file: Path, is_known: Callable[[str], bool] | None = None) -> LoadedNotifications:
    """Read and check the file. ``is_known`` tells of an address whether it can be used; it may be slow."""
    if not (file.exists() or file.is_symlink()):
        return LoadedNotifications(file, False, Notifications(), files=(file,))
    fault = _open_to_others(file)
    if fault is not None:
        return LoadedNotifications(file, True, faults=(Fault(file, 1, (), fault),), files=(file,))
    document = read_document(file)
    settings = validated(document, Notifications, secret=True)
    files = [file]
    addresses: dict[Place, str] = {}
    if settings is not None:
        for place, channel in settings.channels():
            if channel.url_file is not None:
                files.append(file.parent / channel.url_file)
            address = _address_of(document, place, channel)
            if address is not None and _is_sound(document, place, channel, address, is_known):
                addresses[place] = address
    faults = tuple(_without_secrets(fault) for fault in sorted(document.faults, key=lambda fault: fault.line))
    return LoadedNotifications(file, True, None if faults else settings, addresses, faults, tuple(files))


def _open_to_others(file: Path) -> Message | None:
    try:
        mode = file.stat().st_mode
    except OSError as error:
        return Message.of(N_("cannot be read: {why}; check the file and its permissions"), why=error.strerror)
    if mode & _OTHERS and stat.S_ISREG(mode):
        return Message.of(
            N_("holds passwords and others can read or write it (mode {mode}); do: chmod 600 {name}"),
            mode=f"{stat.S_IMODE(mode):04o}",
            name=file.name,
        )
    return None


def _address_of(document: Document, place: Place, channel: Channel) -> str | None:
    if channel.url_file is None:
        return channel.url
    file = document.file.parent / channel.url_file
    at = (*place, "url_file")
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            document.blame(at, Message(N_("does not name a file")))
            return None
        open_to_others = _open_to_others(file)
        if open_to_others is not None:
            document.blame(at, Message.of(N_("names a file that {message}"), message=open_to_others))
            return None
        with file.open("rb") as stream:
            lines = stream.read(_MOST_BYTES).decode().splitlines()
    except UnicodeDecodeError:
        document.blame(at, Message(N_("names a file that is not UTF-8 text; save it as UTF-8")))
        return None
    except OSError as error:
        document.blame(at, Message.of(UNREADABLE, why=error.strerror))
        return None
    if not lines or not lines[0].strip():
        document.blame(at, Message(N_("names a file whose first line is empty; write the address there")))
        return None
    return lines[0].strip()


def _is_sound(
    document: Document, place: Place, channel: Channel, address: str, is_known: Callable[[str], bool] | None
) -> bool:
    at = (*place, "url" if channel.url_file is None else "url_file")
    tried = fill_address(address, "alice")
    if place[0] != "users" and USER in address:
        document.blame(at, Message(N_("has {{user}}, which only addresses below users can have")))
    elif tried is None or (is_known is not None and not is_known(tried)):
        document.blame(
            at,
            Message(
                N_("is not an address that Apprise understands; docs/how-to/notifications.md has one for each service")
            ),
        )
    else:
        return True
    return False


def _without_secrets(fault: Fault) -> Fault:
    """Leave an address out that stands where a key should."""
    path = tuple("…" if isinstance(key, str) and "://" in key else key for key in fault.path)
    return replace(fault, path=path)
