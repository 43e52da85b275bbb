"""The hubs that somebody logged in to with `mlabhub login`, and the tokens kept for them.

Guarantees: the file is readable by its owner alone, from its first byte on, and is refused when it is not; it is
replaced as a whole, so that a program that is killed leaves the old one; two that write at once lose nothing. A token
is never part of a sentence or of what `repr` shows.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from mlabhub.errors import InvalidConfiguration

FILE = "logins.json"
OTHERS = 0o077
"""The rights of everybody but the owner."""


@dataclass(frozen=True)
class Login:
    """One hub: its address with a slash at its end, who one is there, and how it is reached.

    ``authority``: a file with who signed its certificate, beside the system's authorities. ``plain_http``: that the
    token may go there unencrypted was asked for.
    """

    url: str
    user: str
    token: str = field(repr=False)
    authority: str | None = None
    plain_http: bool = False


@dataclass(frozen=True)
class Logins:
    """All of them by address, and which one counts where none is named."""

    current: str | None = None
    hubs: tuple[Login, ...] = ()

    def find(self, url: str | None) -> Login | None:
        """Return the login of a hub; without an address, of the one that counts."""
        wanted = self.current if url is None else url
        return next((one for one in self.hubs if one.url == wanted), None)

    def keep(self, login: Login) -> Logins:
        """Return them with this one, which counts from now on."""
        return Logins(login.url, (*(one for one in self.hubs if one.url != login.url), login))

    def forget(self, url: str) -> Logins:
        """Return them without one; if it counted, the one that was kept last counts now."""
        hubs = tuple(one for one in self.hubs if one.url != url)
        last = hubs[-1].url if hubs else None
        return Logins(last if self.current == url else self.current, hubs)


def logins_file() -> Path:
    """Return where they are kept: ``mlabhub/logins.json`` in the folder of one's configurations."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".config") / "mlabhub" / FILE


def read_logins() -> Logins:
    """Return what is kept; nothing where there is no file. Raises `InvalidConfiguration`."""
    file = logins_file()
    try:
        with file.open(encoding="utf-8") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            if mode & OTHERS:
                raise InvalidConfiguration(
                    f"{file} holds tokens, and others can read it (mode {mode & 0o777:03o}). Set it right by "
                    f"`chmod 600 {file}`, then make new tokens: these may be known."
                )
            return _logins(json.load(stream))
    except FileNotFoundError:
        return Logins()
    except OSError as error:
        raise InvalidConfiguration(f"{file} cannot be read: {error.strerror or error}. Mend that.") from None
    except (ValueError, KeyError, TypeError):
        raise InvalidConfiguration(f"{file} is damaged. Remove it, and log in again by `mlabhub login`.") from None


def change_logins(change: Callable[[Logins], Logins]) -> Logins:
    """Return what is kept after a change, which has been written. Raises `InvalidConfiguration`."""
    file = logins_file()
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(file.with_suffix(".lock"), mode=0o600):
            changed = change(read_logins())
            _write(file, {"current": changed.current, "hubs": [asdict(one) for one in changed.hubs]})
    except OSError as error:
        raise InvalidConfiguration(f"{file} cannot be written: {error.strerror or error}. Mend that.") from None
    return changed


def _logins(found: Any) -> Logins:
    """Return them from JSON. Raises `KeyError`, `TypeError` or `ValueError` if it is something else."""
    hubs = tuple(Login(**one) for one in found["hubs"])
    if not all(isinstance(one.url, str) and isinstance(one.token, str) for one in hubs):
        raise TypeError("hubs")
    return Logins(found["current"], hubs)


def _write(file: Path, value: Any) -> None:
    """Replace a file as a whole; what `tempfile` makes is readable by its owner alone."""
    descriptor, part = tempfile.mkstemp(prefix=f".{FILE}.", dir=file.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(value, stream, indent=1)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, file)
    except BaseException:
        os.unlink(part)
        raise
