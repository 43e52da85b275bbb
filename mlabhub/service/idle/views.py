"""What people, administrators and the agents in servers are shown of idleness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlabhub.core.idle.policy import Policy
from mlabhub.core.idle.words import Signal
from mlabhub.i18n import LANGUAGES, get_translator
from mlabhub.ledger import IdleWarning, Keeping, Reservation, WouldStop
from mlabhub.messages import Message
from mlabhub.service.idle.standing import Standing

AgentStatus = dict[str, Any]
"""What an agent is told, as JSON; see `docs/explanation/idle.md`."""


@dataclass(frozen=True)
class IdleView:
    """One server: the verdict, signal by signal, and what can be done.

    ``warning`` is in force; ``until`` is when it is kept until. ``keep_left`` is how often it can be kept still, for
    ``keep_most_s`` at most each time. Times are those of the service's clock; ``now`` is when this was so.
    """

    launch: Reservation
    now: float
    verdict: str
    said: Message
    signals: tuple[Signal, ...]
    reasons: tuple[Message, ...]
    policy: Policy
    since: float | None
    due: float | None
    deadline: float | None
    warning: IdleWarning | None
    keepings: tuple[Keeping, ...]
    keep_left: int
    keep_most_s: float
    can_release: bool


@dataclass(frozen=True)
class WouldStopView:
    """What a dry run would have stopped, and how many GPU-hours that would have been free since."""

    found: WouldStop
    gpu_hours: float

    @property
    def regretted(self) -> bool:
        """Whether it was used again."""
        return self.found.again is not None


@dataclass(frozen=True)
class IdleOverview:
    """What administrators see: dry runs, what nobody knows, whom no warning reaches, and what is kept."""

    would_stops: tuple[WouldStopView, ...]
    unknown: tuple[tuple[Reservation, Standing], ...]
    undeliverable: tuple[Reservation, ...]
    keepings: tuple[tuple[Keeping, Reservation | None], ...]
    verdicts: Mapping[str, int]


def in_all_languages(text: Message) -> dict[str, str]:
    """Return a sentence in each language that there is."""
    return {language: get_translator(language).say(text) for language in LANGUAGES}
