"""What a launch is answered: admitted, or refused with reasons; and the errors that say so to people and programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mlabhub.core.forecast import Nearest
from mlabhub.core.reasons import Reason, sentences
from mlabhub.errors import LaunchRefused
from mlabhub.ledger import QueueEntry, Reservation
from mlabhub.messages import N_, Message

UNREACHABLE = N_(
    "{user}'s server {name} cannot be reached now. {why} Choose another name, or wait until that is settled."
)


@dataclass(frozen=True)
class Admitted:
    """The reservation of a launch that may start, and what to know about it."""

    reservation: Reservation
    notes: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Refused:
    """Why it may not, as the viewer may know it; what could be done instead."""

    reasons: tuple[Reason, ...]
    advice: Message | None = None
    nearest: Nearest | None = None


@dataclass(frozen=True)
class Waits:
    """The entry of the queue under which a launch waits, why it does not start now, and what would start now."""

    entry: QueueEntry
    reasons: tuple[Reason, ...]
    advice: Message | None = None
    nearest: Nearest | None = None


def used(launch_id: str) -> LaunchRefused:
    """Return the refusal of a launch that is over or under way."""
    return LaunchRefused(
        Message.of(
            N_("The launch {launch_id} was used already, or given up. Start the server anew from the launch page."),
            launch_id=launch_id,
        ),
        code="launch_used",
    )


def unknown(launch_id: str) -> LaunchRefused:
    """Return the refusal of a launch that was never made, or for somebody or something else."""
    return LaunchRefused(
        Message.of(
            N_(
                "There is no launch {launch_id} of this user, server and options. "
                "Start the server from the launch page, or leave launch_id out."
            ),
            launch_id=launch_id,
        ),
        code="launch_unknown",
    )


def refusal(refused: Refused) -> LaunchRefused:
    """Return the error that tells a person why a launch was refused, and what would start instead."""
    parts = [reason.message for reason in refused.reasons] + ([refused.advice] if refused.advice else [])
    nearest = dict(refused.nearest.changes) if refused.nearest else None
    return LaunchRefused(sentences(parts), reasons=reasons_json(refused.reasons), nearest=nearest)


def reasons_json(reasons: tuple[Reason, ...]) -> list[dict[str, str]]:
    """Return reasons, or notes, for an answer in JSON."""
    return [{"code": one.code, "message": str(one.message), "resource": one.resource} for one in reasons]


def name_in_use(other: Reservation) -> Reason:
    """Return why a name cannot be had: another launch has it."""
    templates = {
        "pending": N_("{user}'s server {name} is being started already. Watch that start, or choose another name."),
        "held": N_("{user}'s server {name} runs already. Open it, or choose another name."),
        "stopping": N_("{user}'s server {name} is still being stopped. Try again in a moment."),
        "unknown": N_(
            "{user}'s server {name} still runs from an earlier start that the hub has lost. "
            "Stop it first, which keeps what was installed in it, or choose another name."
        ),
    }
    template = templates[other.state] if other.state != "unknown" or other.failure is None else UNREACHABLE
    name: Any = other.display_name or other.server or Message(N_("(default)"))
    return Reason("name_in_use", Message.of(template, user=other.user, name=name, why=other.failure))
