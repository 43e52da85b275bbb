"""Changes of quotas as people see them."""

from __future__ import annotations

from typing import Literal

from mlabhub.core.quota_changes import QuotaChange, describe_value
from mlabhub.core.quotas import DEFAULT_USER
from mlabhub.core.units import format_number
from mlabhub.messages import N_, Message
from mlabhub.service.views import QuotaChangeView

State = Literal["in force", "ahead", "over", "undone"]


def make_view(one: QuotaChange, now: float) -> QuotaChangeView:
    """Return a change as it is shown."""
    return QuotaChangeView(**vars(one), state=state_of(one, now), what=what_of(one))


def state_of(one: QuotaChange, now: float) -> State:
    """Return whether it counts."""
    if one.undone is not None:
        return "undone"
    if one.end is not None and one.end <= now:
        return "over"
    return "ahead" if one.start > now else "in force"


def concerns(one: QuotaChange, groups: frozenset[str], user: str | None) -> bool:
    """Whether a change is about a person's groups, or their own cap."""
    return one.name in (user, DEFAULT_USER) if one.part == "cap" else one.name in groups


def what_of(one: QuotaChange) -> Message:
    """Say what is changed: ``guaranteed gpu:a100 +16``."""
    return Message.of("{part} {resource} {amount}", part=one.part, resource=one.resource, amount=_amount(one))


def _amount(one: QuotaChange) -> Message | str:
    if one.amount is None:
        return Message(N_("none")) if one.part == "guaranteed" else describe_value(None)
    return f"{one.amount:+.10g}" if one.added else format_number(one.amount)
