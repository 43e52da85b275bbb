"""What a request to change quotas may say, read into changes; one sentence for whatever is wrong.

Guarantees: amounts are finite, not negative unless they are added, and below 10^12; a reason is one line of at most 500
characters; an end is ahead, and after the start.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from mlabhub.core.moments import NoMoment, read_moment, write_moment
from mlabhub.core.quota_changes import QuotaChange, QuotaPart
from mlabhub.core.quotas import NO_RESOURCE
from mlabhub.core.quote import quote, quote_all
from mlabhub.core.units import is_amount, is_resource
from mlabhub.errors import InvalidLaunch
from mlabhub.messages import N_, Message
from mlabhub.service.bodies import Body
from mlabhub.service.given_reasons import read_reason

LATEST = 253402300799.0
_ADDED = re.compile(r"[+-][0-9]{1,12}(\.[0-9]{1,6})?", re.ASCII)

Amount = Annotated[
    Any,
    WithJsonSchema(
        {
            "description": "A number, +16 or -8 as text for more or less than the configuration has, null for no limit",
            "anyOf": [
                {"type": "number", "minimum": 0},
                {"type": "string", "pattern": _ADDED.pattern},
                {"type": "null"},
            ],
        }
    ),
]
Seen = tuple[QuotaPart, str, float | None]
"""A number as whoever asks has seen it: part, resource, amount (None: no limit)."""
SeenAmount = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
When = Annotated[
    Any,
    WithJsonSchema(
        {
            "description": "A moment such as 2026-12-01T18:00+01:00, or seconds since the epoch",
            "anyOf": [{"type": "string"}, {"type": "number"}, {"type": "null"}],
        }
    ),
]


class QuotaChangesBody(Body):
    """Change quotas of a group (``guaranteed``, ``limit``, ``each``) or a user (``cap``), at once or for a while.

    Amounts are by resource: a number, ``"+16"`` or ``"-8"`` for more or less than there is, null for no limit. All of
    one request is made, or nothing. Without ``from`` it counts at once, without ``until`` for good. ``seen`` are
    numbers as they were when one looked, by part and resource; where one of them is another by now, nothing is changed.
    """

    group: str | None = Field(None, max_length=255)
    user: str | None = Field(None, max_length=255)
    guaranteed: dict[str, Amount] = Field(default_factory=dict)
    limit: dict[str, Amount] = Field(default_factory=dict)
    each: dict[str, Amount] = Field(default_factory=dict)
    cap: dict[str, Amount] = Field(default_factory=dict)
    reason: str
    start: When = Field(None, alias="from")
    until: When = None
    seen: dict[QuotaPart, dict[str, SeenAmount | None]] = Field(default_factory=dict)


class InvalidChange(InvalidLaunch):
    """The change of a quota cannot be."""

    code = "invalid_quota_change"


@dataclass(frozen=True)
class Wanted:
    """What is to be changed, read. ``parts`` are the numbers: part, resource, amount, whether it is added."""

    group: bool
    name: str
    parts: tuple[tuple[QuotaPart, str, float | None, bool], ...]
    reason: str
    start: float
    end: float | None
    seen: tuple[Seen, ...] = ()

    def make(self, change_id: str, at: float, author: str) -> tuple[QuotaChange, ...]:
        """Return the changes; each has an id of its own that begins with ``change_id``."""
        one = len(self.parts) == 1
        return tuple(
            QuotaChange(
                change_id=change_id if one else f"{change_id}-{number}",
                at=at,
                author=author,
                reason=self.reason,
                part=part,
                name=self.name,
                resource=resource,
                amount=amount,
                added=added,
                start=self.start,
                end=self.end,
            )
            for number, (part, resource, amount, added) in enumerate(self.parts, 1)
        )


def read_changes(body: QuotaChangesBody, now: float) -> Wanted:
    """Return what a request wants. Raises `InvalidChange`."""
    if (body.group is None) == (body.user is None) or not (body.group or body.user):
        raise InvalidChange(
            N_("Name the group or the user whose quota is to change, and only one of them."), key="group"
        )
    of_group = body.group is not None
    if (body.cap if of_group else body.guaranteed or body.limit or body.each) or not (parts := tuple(_parts(body))):
        raise InvalidChange(
            N_("Say what is to change: of a group guaranteed, limit or each, of a user cap, with amounts by resource."),
            key="limit" if of_group else "cap",
        )
    start = _when(body.start, "from")
    end = _when(body.until, "until")
    if end is not None and end <= now:
        text = N_("until is {moment}, which is past: the change would never count. Take a later end, or none.")
        raise InvalidChange(Message.of(text, moment=write_moment(end)), key="until")
    if end is not None and start is not None and end <= start:
        text = N_("until, {end}, is not after from, {start}. Take a later end.")
        raise InvalidChange(Message.of(text, end=write_moment(end), start=write_moment(start)), key="until")
    starts = start if start is not None and start > now else 0.0
    seen = tuple((part, one, amount) for part, by in body.seen.items() for one, amount in by.items())
    return Wanted(of_group, body.group or body.user or "", parts, _reason(body.reason), starts, end, seen)


def _parts(body: QuotaChangesBody) -> Iterator[tuple[QuotaPart, str, float | None, bool]]:
    amounts: dict[QuotaPart, dict[str, Any]] = {
        "guaranteed": body.guaranteed,
        "limit": body.limit,
        "each": body.each,
        "cap": body.cap,
    }
    for part, by_resource in amounts.items():
        for resource, amount in by_resource.items():
            if not is_resource(resource):
                message = Message.of(N_("{what} {fault}."), what=quote(resource), fault=Message(NO_RESOURCE))
                raise InvalidChange(message, key=f"{part}.{resource[:40]}")
            yield part, resource, *_amount(amount, f"{part}.{resource}")


def _amount(value: object, key: str) -> tuple[float | None, bool]:
    if value is None:
        return None, False
    if isinstance(value, str) and _ADDED.fullmatch(value):
        return float(value), True
    if not is_amount(value):
        text = N_(
            "{key} cannot be {value}: take a number from 0 on, such as 16, or +16 or -8 as text for more or less than "
            "there is, or null for no limit."
        )
        raise InvalidChange(Message.of(text, key=key, value=quote(value)), key=key)
    assert isinstance(value, int | float)
    return float(value), False


def _when(value: object, key: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        if 0 <= value <= LATEST:
            return float(value)
        text = N_("{key} is no moment: {value}. Write one such as 2026-12-01T18:00+01:00.")
        raise InvalidChange(Message.of(text, key=key, value=quote(value)), key=key)
    try:
        return read_moment(value)
    except NoMoment as error:
        raise InvalidChange(Message.of(N_("{key} {told}."), key=key, told=error.told), key=key) from None


def _reason(text: str) -> str:
    reason = read_reason(text, InvalidChange)
    if not reason:
        raise InvalidChange(N_("Give a reason: it stands in the history, for whoever asks why."), key="reason")
    return reason


def no_such(text: str, name: str, known: Iterable[str], key: str) -> InvalidChange:
    """Return the error for a name that nobody knows; ``text`` has places for ``name``, ``known`` and a hint."""
    there = sorted(known)
    close = difflib.get_close_matches(name, there, 1)
    hint = Message.of(N_("Did you mean {close}?"), close=close[0]) if close else ""
    message = Message.of(text, name=quote(name), known=quote_all(there), hint=hint)
    return InvalidChange(message, key=key)
