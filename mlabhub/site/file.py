"""Find `site.conf` and read it: lines of ``KEY=VALUE``, parsed and never executed.

``setup/lib/site.sh`` reads the same file before there is a Python, by the same rules.

Guarantees: every fault has its file and line and says what would be right; no fault repeats a value, which may hold a
password; a file that is named or there, but cannot be read, is a fault and not "nothing set".
"""

from __future__ import annotations

import difflib
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlabhub.errors import InvalidConfiguration
from mlabhub.site.keys import KEYS, InvalidValue, Site, read_value

VARIABLE = "MLABHUB_SITE"
SYSTEM_FILE = Path("/etc/mlabhub/site.conf")
CHECKOUT_FILE = Path(__file__).resolve().parents[2] / "site.conf"
NOTHING = Site()
BLANKS = " \t\r\f\v"
_LIKE_A_KEY = re.compile(r"[A-Za-z]{1,20}(?:_[A-Za-z]{1,20}){0,3}")


@dataclass(frozen=True)
class SiteFault:
    """One thing that is wrong. ``line`` counts from 1, which also stands for the file as a whole."""

    file: Path
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {f'{self.key}: ' if self.key else ''}{self.message}"

    def to_dict(self) -> dict[str, Any]:
        """Return the fault as JSON types."""
        return {"file": str(self.file), "line": self.line, "path": self.key, "message": self.message}


class InvalidSite(InvalidConfiguration):
    """The site's file has faults: its text lists all of them, one a line."""

    def __init__(self, faults: tuple[SiteFault, ...]) -> None:
        self.faults = faults
        listed = "\n".join(map(str, faults))
        super().__init__(
            f"{faults[0].file} cannot be used; faults: {len(faults)}.\n{listed}",
            faults=[fault.to_dict() for fault in faults],
        )


@dataclass(frozen=True)
class SiteFile:
    """A file that was read: what it says, or what is wrong with it. ``path`` is None where there is none."""

    path: Path | None = None
    site: Site = NOTHING
    faults: tuple[SiteFault, ...] = ()


def find_site_file(environ: Mapping[str, str] | None = None) -> Path | None:
    """Return the one file to use: the one that ``MLABHUB_SITE`` names, else the machine's, else the checkout's."""
    named = (os.environ if environ is None else environ).get(VARIABLE)
    if named:
        return Path(named)
    return next((file for file in (SYSTEM_FILE, CHECKOUT_FILE) if os.path.lexists(file)), None)


def load_site(environ: Mapping[str, str] | None = None) -> Site:
    """Return what the site's file says; nothing where there is none. Raises `InvalidSite`."""
    found = read_site_file(find_site_file(environ))
    if found.faults:
        raise InvalidSite(found.faults)
    return found.site


def read_site_file(path: Path | None) -> SiteFile:
    """Read the file and look at the files that it names."""
    if path is None:
        return SiteFile()
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except OSError as error:
        return SiteFile(path, faults=(SiteFault(path, 1, "", f"cannot be read: {error.strerror}"),))
    return parse(path, text)


def parse(path: Path, text: str, *, look: bool = True) -> SiteFile:
    """Read the file's text; ``look`` also at the files that it names."""
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    faults = []
    for number, line in enumerate(text.split("\n"), 1):
        name, equals, value = (part.strip(BLANKS) for part in line.partition("="))
        if not line.strip(BLANKS) or name.startswith("#"):
            continue
        try:
            _check_name(name, equals, lines)
            lines[name] = number
            if value:
                values[name.lower()] = read_value(name, value)
                if look:
                    _check_file(name, value)
        except InvalidValue as error:
            faults.append(SiteFault(path, number, name if _LIKE_A_KEY.fullmatch(name) else "", str(error)))
    if values.get("no_proxy") and not {"http_proxy", "https_proxy"} & set(values) and not faults:
        message = "has no effect without HTTP_PROXY or HTTPS_PROXY; set one of them, or drop it"
        faults.append(SiteFault(path, lines["NO_PROXY"], "NO_PROXY", message))
    return SiteFile(path, NOTHING if faults else Site(**values), tuple(faults))


def _check_name(name: str, equals: str, lines: Mapping[str, int]) -> None:
    if not equals:
        raise InvalidValue("is no setting; write KEY=VALUE, or begin a remark with #")
    if name not in KEYS:
        close = difflib.get_close_matches(name.upper(), KEYS, 1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(KEYS)}"
        raise InvalidValue(f"is not a key that is known here: {hint}")
    if name in lines:
        raise InvalidValue(f"is set twice, first in line {lines[name]}; keep one")


def _check_file(name: str, value: str) -> None:
    """Look at a file that is named. Raises `InvalidValue`."""
    if not name.endswith(("_FILE", "_KEYRING")):
        return
    try:
        Path(value).read_bytes()
        if name == "CA_FILE":
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(value)
    except ssl.SSLError:
        raise InvalidValue("names a file without certificates in PEM (-----BEGIN CERTIFICATE-----)") from None
    except OSError as error:
        raise InvalidValue(f"names a file that cannot be read: {error.strerror}") from None
