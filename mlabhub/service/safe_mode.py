"""Safe mode as people meet it: which server is offered it, and as what such a server is launched.

Guarantees: pure. It is offered for what was wrong inside a server, twice in a row; who called a start off, and a launch
that no spawner ever had, count for nothing. What is launched passes the same gate as every launch, and counts as one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from mlabhub.core.profiles import Catalog
from mlabhub.core.shelving import OF_GPUS, Was, WithoutGpus, without_gpus
from mlabhub.ledger import Reservation
from mlabhub.messages import N_
from mlabhub.service.views import ServerView

FAILURES = 2
"""After so many failed starts in a row it is offered."""
CALLED_OFF = N_("{actor} stopped it before it was ready.")


def is_safe(one: Reservation) -> bool:
    """Whether a launch was in safe mode."""
    return one.options.get("safe") is True


def has_failed(one: Reservation) -> bool:
    """Whether a launch came to nothing that a spawner had, and nobody called off."""
    over = one.state == "released" and one.ready is None and one.redeemed is not None
    return over and one.failure is not None and one.failure.template != CALLED_OFF


def is_offered(launches: Sequence[Reservation]) -> bool:
    """Whether a server is offered safe mode, by its last launches, newest first."""
    return len(launches) >= FAILURES and all(has_failed(one) for one in launches[:FAILURES])


def with_safe_mode(
    views: Iterable[ServerView], held: Iterable[Reservation], recent: Sequence[Reservation]
) -> tuple[ServerView, ...]:
    """Return the views with what safe mode has to do with each."""
    safe = {one.server for one in held if is_safe(one)}
    return tuple(
        replace(
            view,
            safe=view.server_name in safe,
            safe_mode_offered=view.state == "stopped"
            and is_offered([one for one in recent if one.server == view.server_name]),
        )
        for view in views
    )


def safe_options(
    catalog: Catalog,
    groups: Sequence[str],
    last: Reservation,
    *,
    present: Collection[str] | None = None,
    kept_images: Collection[str] = (),
) -> dict[str, Any]:
    """Return the launch options of a server in safe mode: the least of a profile without GPUs that has its image.

    Where there is none, the least of its own profile.
    """
    was = Was(last.options, last.profile, last.image, 0.0, 0.0)
    small = without_gpus(catalog, last.user, groups, was, last.server, present=present, kept_images=kept_images)
    if isinstance(small, WithoutGpus):
        return {**small.options, "safe": True}
    further = ("cpu", "memory_gib", "gpus", "safe", *OF_GPUS)
    own = {key: value for key, value in last.options.items() if key not in further}
    return {**own, "profile": last.profile, "image": last.image, "safe": True}
