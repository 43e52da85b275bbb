"""What people see of a server that gave its GPUs back: plain values, for the API and the pages alike."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from mlabhub.ledger import Shelved
from mlabhub.service.projection import Projection
from mlabhub.service.views import ServerView, ShelvedView


@dataclass(frozen=True)
class SaveOrder:
    """What is asked of the agent inside: to save until ``until``; ``reason`` is by language."""

    until: float
    reason: dict[str, str]


@dataclass(frozen=True)
class Returning:
    """What runs without GPUs still ends; the launch with them follows by itself. ``url`` is where that can be seen."""

    state: Literal["returning"]
    url: str


def shelved_view(one: Shelved) -> ShelvedView:
    """Return what is shown of it."""
    gpus = one.options.get("gpus")
    kind = one.options.get("gpu_type")
    return ShelvedView(
        state=one.state,
        at=one.at,
        until=one.until,
        gpus=gpus if isinstance(gpus, int) else None,
        gpu_type=kind if isinstance(kind, str) else None,
        rescue=one.rescue,
        reason=one.reason,
        fault=one.fault,
    )


def with_shelved(views: Iterable[ServerView], projection: Projection) -> tuple[ServerView, ...]:
    """Return the views with what those gave back that did."""
    shelved = projection.shelved
    return tuple(
        replace(view, shelved=shelved_view(one))
        if (one := shelved.get((view.user, view.server_name))) is not None
        else view
        for view in views
    )
