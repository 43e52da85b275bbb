"""Moments as people write them in files and on the command line: ``2026-12-01T18:00+01:00``, ``2026-12-01 17:00Z``.

Guarantees: pure; a moment always says its zone, so that it means the same wherever it is read; what is in no calendar,
such as ``2026-02-30``, is refused.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from mlabhub.core.quote import quote
from mlabhub.core.schema import KeyFault, key_faults
from mlabhub.messages import N_, Message

NO_MOMENT = N_("must be a day, a time and a zone, such as 2026-12-01T18:00+01:00; it is {value}")
NO_ZONE = N_("says no zone, so that nobody knows when it is: write {value}+01:00, say, or {value}Z for UTC")
_PATTERN = r"\d{4}-\d\d-\d\d[Tt ]+\d\d:\d\d(:\d\d(\.\d{1,6})?)? ?(Z|z|[+-]\d\d(:?\d\d)?)?"
_MOMENT = re.compile(_PATTERN, re.ASCII)
_BASE = "%Y-%m-%dT%H:%M:%S"


class NoMoment(ValueError):
    """It is not a moment; ``told`` is the sentence's end."""

    def __init__(self, told: Message) -> None:
        super().__init__(str(told))
        self.told = told


def read_moment(value: object) -> float:
    """Return the seconds since the epoch of a moment that says its zone. Raises `NoMoment`."""
    match = _MOMENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise NoMoment(Message.of(NO_MOMENT, value=quote(value)))
    text = match[0]
    if match[3] is None:
        raise NoMoment(Message.of(NO_ZONE, value=text))
    local = re.sub(r"[Tt ]+", "T", text[: match.start(3)].strip())
    try:
        moment = datetime.strptime(local if match[1] else f"{local}:00", f"{_BASE}.%f" if match[2] else _BASE)
        seconds = moment.replace(tzinfo=timezone.utc).timestamp() - _offset(match[3])
    except (ValueError, OverflowError):
        raise NoMoment(Message.of(NO_MOMENT, value=quote(value))) from None
    return seconds


def _offset(zone: str) -> int:
    if zone in "Zz":
        return 0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 15 or minutes > 59:
        raise ValueError(zone)
    return (3600 * hours + 60 * minutes) * (-1 if zone[0] == "-" else 1)


def write_moment(seconds: float) -> str:
    """Return a moment in UTC, to the second: ``2026-12-01T17:00:00Z``."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _read(value: Any) -> float:
    try:
        return read_moment(value)
    except NoMoment as error:
        raise key_faults([KeyFault((), error.told)]) from None


Moment = Annotated[float, BeforeValidator(_read), WithJsonSchema({"type": "string", "pattern": f"^{_PATTERN}$"})]
"""A key of the configuration that is a moment; its value is seconds since the epoch."""
