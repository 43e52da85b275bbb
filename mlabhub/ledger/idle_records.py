"""What the ledger remembers of idle servers, as values: warnings, what was kept, dry runs, GPUs given back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from mlabhub.messages import Message

WarningState = Literal["given", "withdrawn", "stopping", "done"]
Way = Literal["", "tool", "message", "home"]


@dataclass(frozen=True)
class IdleWarning:
    """The warning to the person of ``launch_id``, due at ``at``. One launch has one at a time: the last.

    ``told`` is when its delivery was recorded, ``way`` how it came: to an open tool, as a message, or, for somebody who
    is not there, on their Home page; None: it reached nobody yet, and no grace runs. ``reminded`` is how many of the
    further warnings were delivered. ``stopping``: its grace is over, and its launch is being stopped for it; ``done``:
    that is over.
    """

    launch_id: str
    at: float
    told: float | None = None
    way: Way = ""
    reminded: int = 0
    state: WarningState = "given"
    changed: float = 0.0

    @property
    def active(self) -> bool:
        """Return whether anything follows from it."""
        return self.state in ("given", "stopping")


@dataclass(frozen=True)
class Keeping:
    """``by`` asked at ``at`` that the launch be kept until ``until``, although it stands idle, and said why."""

    launch_id: str
    at: float
    until: float
    by: str = ""
    reason: str = ""


@dataclass(frozen=True)
class WouldStop:
    """What a dry run would have stopped at ``at``, and why. ``again`` is when it was seen at work after that, if ever;
    ``ended`` when it ended without. Until then it would be free.
    """

    launch_id: str
    at: float
    user: str
    server: str
    gpus: int
    reason: Message
    again: float | None = None
    ended: float | None = None


ShelvedState = Literal["saving", "stopping", "released", "returning", "returned", "dropped"]
OVER: tuple[ShelvedState, ...] = ("returned", "dropped")


@dataclass(frozen=True)
class Shelved:
    """A server that gave its GPUs back at ``at`` and keeps its work; ``launch_id`` is the launch that held them.

    ``options`` are its user_options with the GPUs, for the way back. ``saving``: what runs is asked to save, until
    ``until``; ``stopping``: it ends, and starts without GPUs as soon as it is over; ``released``: it did, or ``fault``
    says why it could not; ``returning``: what runs without GPUs ends, and what was asked for first is launched.
    ``rescue`` is the folder of the rescue bundle in the person's own files, empty where there is none. ``attempts`` is
    how often the launch that is due was refused by a hub that was busy.
    """

    user: str
    server: str
    launch_id: str
    at: float
    until: float
    state: ShelvedState
    changed: float
    actor: str = ""
    reason: Message | None = None
    rescue: str = ""
    options: dict[str, Any] = field(default_factory=dict, hash=False)
    display_name: str = ""
    fault: Message | None = None
    attempts: int = 0

    @property
    def active(self) -> bool:
        """Return whether there is a way back, or something to be done."""
        return self.state not in OVER
