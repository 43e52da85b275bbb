"""What was said to a person about their server, when it was delivered, and what they asked for.

Guarantees: values that never change; a warning counts from when its delivery was recorded, not from when it was due; a
state belongs to one launch, so that a server of the same name that started later inherits nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Extension:
    """Somebody asked that the server be kept: from when until when, why, and who."""

    at: float
    until: float
    reason: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """Where a launch stands. ``warned_at`` is when the first warning was delivered; None: none was.

    ``due_at`` is when a warning was first due that could be delivered nowhere so far; ``reminded`` is how many of the
    further warnings were delivered.
    """

    launch_id: str = ""
    started: float | None = None
    warned_at: float | None = None
    due_at: float | None = None
    reminded: int = 0
    extensions: tuple[Extension, ...] = ()

    def due(self, now: float) -> State:
        """Return it with a warning that is to be delivered."""
        return self if self.due_at is not None else replace(self, due_at=now)

    def delivered(self, now: float) -> State:
        """Return it with the delivery of the first warning recorded, or of one more."""
        if self.warned_at is None:
            return replace(self, warned_at=now, due_at=None)
        return replace(self, reminded=self.reminded + 1)

    def withdrawn(self) -> State:
        """Return it as if nobody had been warned: the server is used, or nobody knows."""
        if self.warned_at is None and self.due_at is None:
            return self
        return replace(self, warned_at=None, due_at=None, reminded=0)

    def kept(self, extension: Extension) -> State:
        """Return it kept for a while; what was warned of does not hold any more."""
        return replace(self.withdrawn(), extensions=(*self.extensions, extension))

    @property
    def kept_until(self) -> float:
        """Until when it was asked to be kept."""
        return max((one.until for one in self.extensions), default=float("-inf"))
