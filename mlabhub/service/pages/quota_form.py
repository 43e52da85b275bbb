"""The form that changes a quota: a table of numbers as they are; what is written over is what changes.

Guarantees: pure; what was not touched is not sent on; the numbers that were seen go with the change, so that nothing
that somebody else did meanwhile is written over unseen; times without a zone are in the hub's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mlabhub.core.units import format_number
from mlabhub.i18n import N_, Translator
from mlabhub.messages import Message
from mlabhub.service.pages.quota_words import PARTS, line_name
from mlabhub.service.quota_bodies import InvalidChange
from mlabhub.service.quota_looks import QuotaLook

NONE = "none"
LONGEST_FIELD = 40
UNTOUCHED = N_("Every number is as it was. Write over those that are to change.")
NO_TIME = N_("{value} is no time that the calendar has. Choose a day and a time, such as 2026-12-01T18:00.")

Get = Callable[[str], str]


@dataclass(frozen=True)
class Cell:
    """One number of the table; ``name`` is its field, ``seen`` what it was when the page was made."""

    name: str
    label: str
    value: str
    seen: str
    note: str = ""


@dataclass(frozen=True)
class Line:
    """One resource."""

    name: str
    cells: list[Cell]


@dataclass(frozen=True)
class QuotaForm:
    """All of it; ``zone`` is that of the times."""

    headings: list[str]
    lines: list[Line]
    start: str
    until: str
    reason: str
    zone: str


def make_form(look: QuotaLook, t: Translator, now: datetime, get: Get | None = None) -> QuotaForm:
    """Return the form with the numbers in force, or with what ``get`` says was typed."""
    typed: Get = get or (lambda name: "")
    lines = []
    for resource in look.resources:
        cells = []
        for part in look.parts:
            name, seen = f"{part}.{resource}", _shown(look.values[part, resource])
            cells.append(
                Cell(
                    name,
                    t(PARTS[part]),
                    typed(name) if get else seen,
                    typed(f"seen.{name}") if get else seen,
                    t(N_("as for everybody")) if (part, resource) in look.inherited else "",
                )
            )
        lines.append(Line(line_name(resource, t), cells))
    headings = [t(PARTS[part]) for part in look.parts]
    zone = now.strftime("%Z (UTC%z)")
    return QuotaForm(headings, lines, typed("from"), typed("until"), typed("reason"), zone)


def read_form(look: QuotaLook, get: Get) -> str:
    """Return the change that was typed as the text that `change_of` reads. Raises `InvalidChange`."""
    changed: dict[str, dict[str, Any]] = {}
    seen: dict[str, dict[str, float | None]] = {}
    for part, resource in look.values:
        name = f"{part}.{resource}"
        typed, before = get(name).strip(), get(f"seen.{name}").strip()
        if typed != before:
            changed.setdefault(part, {})[resource] = _amount(typed)
            seen.setdefault(part, {})[resource] = _number(before)
    if not changed:
        raise InvalidChange(UNTOUCHED, key="reason")
    body = {
        "user" if look.of_user else "group": look.usage.name,
        **changed,
        "seen": seen,
        "reason": get("reason"),
        "from": _time(get("from")),
        "until": _time(get("until")),
    }
    return json.dumps({key: value for key, value in body.items() if value is not None}, separators=(",", ":"))


def _shown(value: float | None) -> str:
    return "" if value is None else format_number(value)


def _amount(typed: str) -> float | str | None:
    """Return a number, more or less than there is, None for no limit; what is none of these as it is."""
    if typed.casefold() in ("", NONE):
        return None
    if typed[:1] in ("+", "-"):
        return typed[:LONGEST_FIELD]
    number = _number(typed)
    return typed[:LONGEST_FIELD] if number is None else number


def _number(typed: str) -> float | None:
    try:
        number = float(typed)
    except ValueError:
        return None
    return number if number == number and abs(number) < 1e300 else None


def _time(typed: str) -> float | None:
    """Return seconds since the epoch; what says no zone is in the hub's own. Raises `InvalidChange`."""
    if not typed.strip():
        return None
    try:
        return datetime.fromisoformat(typed.strip()).astimezone().timestamp()
    except (ValueError, OverflowError, OSError):
        raise InvalidChange(Message.of(NO_TIME, value=typed[:LONGEST_FIELD]), key="until") from None
