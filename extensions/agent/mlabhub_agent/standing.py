"""How things stand, as the service said last: the verdict, a warning, what it asks this server to do.

Guarantees: what was never said is null, and the verdict unknown; times are told as ages and distances by the service's
own clock, so that no clock of this machine or of a browser matters.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

Status = Mapping[str, Any]

NOTHING: Status = {
    "verdict": "unknown",
    **dict.fromkeys(("now", "text", "since", "due", "deadline", "warning", "gpu", "cpu_cores", "quota", "keep")),
    "can_release": False,
    "page": None,
    "order": None,
}
URGENT_S = 180.0
"""What is older says nothing of now; nobody hurries because of it."""
NEAR_S = 60.0
"""How near a deadline is when each second counts."""


class Standing:
    """Keeps what the service said last."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic):
        self._monotonic = monotonic
        self._status: Status | None = None
        self._heard = 0.0

    def take(self, status: Any) -> None:
        """Keep what the service says; null is that it knows nothing yet."""
        if status is None or isinstance(status, Mapping):
            self._status, self._heard = status, self._monotonic()

    @property
    def age(self) -> float | None:
        """How many seconds ago something was said; None if nothing was."""
        return None if self._status is None else self._monotonic() - self._heard

    @property
    def order(self) -> Mapping[str, Any] | None:
        """What this server is asked to do."""
        order = (self._status or NOTHING).get("order")
        return order if isinstance(order, Mapping) else None

    @property
    def warning(self) -> Mapping[str, Any] | None:
        """The warning in force."""
        warning = (self._status or NOTHING).get("warning")
        return warning if isinstance(warning, Mapping) and _number(warning.get("at")) is not None else None

    @property
    def is_urgent(self) -> bool:
        """Whether a deadline or an order may be near."""
        age = self.age
        return age is not None and age < URGENT_S and (self.warning is not None or self.order is not None)

    @property
    def is_near(self) -> bool:
        """Whether the deadline of a warning is near, or has passed just now: a key or a movement still keeps it all."""
        left = self.left((self._status or NOTHING).get("deadline"))
        return self.is_urgent and self.warning is not None and left is not None and left < NEAR_S

    def left(self, until: Any) -> float | None:
        """Return how many seconds a time of the service's is away, at least none; None if it is not known."""
        now, at = _number((self._status or NOTHING).get("now")), _number(until)
        return None if now is None or at is None else max(0.0, at - now - (self.age or 0.0))

    def view(self) -> dict[str, Any]:
        """Return what tools are shown."""
        status, age = self._status or {}, self.age
        now, since = _number(status.get("now")), _number(status.get("since"))
        return {
            **NOTHING,
            **status,
            "age": None if age is None else round(age, 1),
            "since_age": None if now is None or since is None else max(0.0, round(now + (age or 0.0) - since, 1)),
            "due_in": self.left(status.get("due")),
            "deadline_in": self.left(status.get("deadline")),
        }


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
