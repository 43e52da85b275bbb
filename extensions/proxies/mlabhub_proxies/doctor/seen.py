"""What a browser, or `mlabhub doctor`, saw of a server from outside, and what the server saw of it in turn.

Guarantees: whatever a client sends is a `Seen` or a `ValueError`; what was not tried is None and never a fault.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

PAGE = "mlabhub/doctor"
"""The page of the doctor below the server's path, with which a client's address ends."""
LONGEST = 300
MOST_TRIALS = 64

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """How one request ended: the HTTP status, 0 when there was none, and what was said."""

    ok: bool
    status: int = 0
    said: str = ""


@dataclass(frozen=True)
class Seen:
    """What a client tried. Times are in seconds."""

    address: SplitResult
    """Where the client believes the doctor's page to be."""
    secure: bool
    trial: str = ""
    """The name of its websocket in `Trials`."""
    websocket: Answer | None = None
    seconds: float = 0.0
    """How long an echo took."""
    kept: Answer | None = None
    """Whether an unusual path arrived as it was sent; else, as what it did."""
    stream: tuple[float, float] | None = None
    """When the first and the last event of a stream arrived."""
    upload: Answer | None = None
    headers: Answer | None = None
    port: Answer | None = None
    worker: Answer | None = None
    clock: float | None = None
    """How much the client's clock is ahead of the server's."""


@dataclass(frozen=True)
class Received:
    """A request as it arrived here: what the proxies on the way made of it."""

    host: str
    protocol: str
    base_url: str


class Trials:
    """What became of the newest websockets, by the names that their clients gave them."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, str] = OrderedDict()

    def note(self, trial: str, what: str) -> None:
        """Remember ``opened``, ``no_upgrade`` or ``origin``."""
        self._known[trial[:LONGEST]] = what
        while len(self._known) > MOST_TRIALS:
            self._known.popitem(last=False)

    def get(self, trial: str) -> str:
        """Return what became of one; empty if it never arrived."""
        return self._known.get(trial[:LONGEST], "")


def read_seen(data: Any) -> Seen:
    """Return what a client sent. Raises `ValueError`."""
    if not isinstance(data, Mapping):
        raise ValueError("not an object")
    address = urlsplit(_text(data.get("address")))
    if address.scheme not in ("http", "https") or not address.hostname:
        raise ValueError("address")
    return Seen(
        address=address,
        secure=data.get("secure") is True,
        trial=_text(data.get("trial", "")),
        websocket=_maybe(data, "websocket", _answer),
        seconds=_maybe(data, "seconds", _number) or 0.0,
        kept=_maybe(data, "kept", _answer),
        stream=_maybe(data, "stream", _pair),
        upload=_maybe(data, "upload", _answer),
        headers=_maybe(data, "headers", _answer),
        port=_maybe(data, "port", _answer),
        worker=_maybe(data, "worker", _answer),
        clock=_maybe(data, "clock", _number),
    )


def _maybe(data: Mapping[str, Any], key: str, read: Callable[[Any], T]) -> T | None:
    value = data.get(key)
    return None if value is None else read(value)


def _answer(value: Any) -> Answer:
    if not isinstance(value, Mapping):
        raise ValueError("not an object")
    status = value.get("status", 0)
    if not isinstance(status, int) or not 0 <= status <= 999:
        raise ValueError("status")
    return Answer(value.get("ok") is True, int(status), _text(value.get("said", "")))


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("not a number")
    return float(value)


def _pair(value: Any) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError("not a pair")
    return _number(value[0]), _number(value[1])


def _text(value: Any) -> str:
    """Return a text without what moves the cursor or turns the line around."""
    if not isinstance(value, str):
        raise ValueError("not a text")
    return "".join(one if one.isprintable() else " " for one in value[:LONGEST])
