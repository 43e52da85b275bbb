"""What is told of those who wait, and of what is to be given back: plain values, for the API and the pages alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mlabhub.core.reasons import Reason
from mlabhub.messages import Message


@dataclass(frozen=True)
class WaitRange:
    """When something probably starts: seconds since the epoch, None where nobody can tell. ``say`` is a sentence.

    ``earliest`` and ``latest`` stand for the tenth and the ninetieth of a hundred starts of this kind.
    """

    earliest: float | None
    latest: float | None
    say: Message


@dataclass(frozen=True)
class ForecastAccuracy:
    """What people were told when they began to wait, and when their turn came: of ``starts`` in so many weeks.

    ``unknown`` were told that nobody can tell. Of the rest, ``within`` is the share that started in the range (eight of
    ten is what ranges are made for), ``earlier`` and ``later`` are how many did not; ``median_error_s`` is how far off
    the middle of the range was, ``median_width_s`` how wide the range was. None where nobody was told a range.
    """

    weeks: int
    starts: int
    unknown: int
    within: float | None
    earlier: int
    later: int
    median_error_s: float | None
    median_width_s: float | None


@dataclass(frozen=True)
class QueueEntryView:
    """An entry of the queue, as one viewer may know it: ``user`` is a name, or somebody of a group, in words.

    ``position`` counts from 1 within the whole queue. ``reasons`` say what it waits for. ``nearest`` are the launch
    options to change for a start now, ``advice`` says so; both for entries of one's own alone, as are ``options``.
    """

    launch_id: str
    user: Message | str
    own: bool
    may_act: bool
    server_name: str
    display_name: str
    group: str | None
    profile: str
    gpu_type: str | None
    gpus: int
    cpu: float
    memory_gib: float
    since: float
    position: int
    reasons: tuple[Reason, ...]
    wait: WaitRange
    reclaims: int = 0
    nearest: Mapping[str, Any] | None = None
    advice: Message | None = None
    options: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class NoticeView:
    """A notice to give back, as its holder sees it. ``for_whom`` says who comes back, as far as they may know it.

    It runs until ``deadline`` at least: one that is past has not been carried out yet, and may be at any moment.
    """

    launch_id: str
    server_name: str
    at: float
    deadline: float
    for_whom: Message


@dataclass(frozen=True)
class Queued:
    """A launch waits for its turn; ``url`` is where it can be followed. ``reasons`` say why it does not start now."""

    state: Literal["queued"]
    launch_id: str
    url: str
    position: int
    wait: WaitRange
    reasons: tuple[Mapping[str, str], ...] = ()
    nearest: Mapping[str, Any] | None = None
    advice: Message | None = None
