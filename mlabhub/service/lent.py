"""What is said of a person's servers beside the others': borrowed, kept for them until a time, or wanted by somebody.

Guarantees: pure; it says of a server what the rules of sharing would say at this very moment, and nothing of those that
hold nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from mlabhub.core.borrowing import is_beyond
from mlabhub.core.holdings import Holdings
from mlabhub.core.profiles import Catalog
from mlabhub.core.quotas import Quotas
from mlabhub.ledger import Reservation
from mlabhub.service.projection import Projection
from mlabhub.service.queue.scene import notice_seconds
from mlabhub.service.views import ServerView


def with_sharing(views: Iterable[ServerView], projection: Projection, catalog: Catalog) -> tuple[ServerView, ...]:
    """Return the views with what sharing says of each."""
    return tuple(_with_sharing(view, projection, catalog) for view in views)


def _with_sharing(view: ServerView, projection: Projection, catalog: Catalog) -> ServerView:
    one = projection.launch(view.launch_id) if view.launch_id else None
    if one is None:
        return view
    profile = catalog.profiles_by_slug.get(one.profile)
    reclaimable = one.state in ("pending", "held") and (profile is None or profile.reclaimable)
    borrowed = reclaimable and is_borrowed(one, projection.holdings, catalog.quotas)
    entry, nudge = projection.queue.get(one.launch_id), projection.nudges.get(one.launch_id)
    asked = nudge is not None and (waits := projection.queue.get(nudge.entry)) is not None and waits.state == "waiting"
    return replace(
        view,
        borrowed=borrowed,
        notice_s=notice_seconds(catalog, profile) if borrowed else None,
        claim_by=entry.claim_by if entry is not None and entry.state == "started" else None,
        wanted=nudge.at if nudge is not None and asked else None,
    )


def is_borrowed(one: Reservation, holdings: Holdings, quotas: Quotas) -> bool:
    """Whether a launch is one of those that `core.sharing` may take back at this moment."""
    return bool(one.gpus) and one.gpu_type is not None and is_beyond(one.group, one.gpu_type, 0, quotas, holdings)
