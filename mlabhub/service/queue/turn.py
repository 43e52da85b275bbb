"""Whether a launch that is asked for may start before those who wait.

Guarantees: pure; the answer is the one of a whole round in which the newcomer takes part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mlabhub.core.admission import CLAIMED, RESERVED, Decision
from mlabhub.core.capacity import Capacity
from mlabhub.core.profiles import Catalog, LaunchRequest
from mlabhub.core.reasons import Reason
from mlabhub.core.sharing.model import Round, Scene
from mlabhub.messages import Message
from mlabhub.service.projection import Projection
from mlabhub.service.queue.acts import make_entry
from mlabhub.service.queue.rounds import place_on
from mlabhub.service.queue.scene import waiter_of


def turn_of(
    projection: Projection,
    request: LaunchRequest,
    launch_id: str,
    catalog: Catalog,
    capacity: Capacity,
    others: Scene,
    plan: Callable[[Scene], Round],
) -> Decision:
    """Admit a launch where a round with it would start it now; else refuse it, as ``others`` come first."""
    known, now = projection.queue.get(launch_id), others.now
    entry = make_entry(
        request,
        launch_id=launch_id,
        options={},
        actor="",
        display_name="",
        now=now,
        since=now if known is None else known.since,
        priority=0 if known is None else known.priority,
        reclaims=0 if known is None else known.reclaims,
    )
    scene = replace(others, waiters=(*others.waiters, waiter_of(entry, projection, capacity, now)))
    decided = plan(scene)
    start = next((one for one in decided.starts if one.waiter == launch_id), None)
    place = None if start is None else place_on(request, start, catalog, projection.holdings, capacity)
    if place is None:
        if decided.blocked.get(launch_id) == "reserve":
            return Decision("refuse", reasons=(Reason("reserve", Message(RESERVED)),))
        return others_first()
    return Decision("admit", place)


def others_first() -> Decision:
    """Return the refusal of a launch before which others come."""
    return Decision("refuse", reasons=(Reason("claimed", Message(CLAIMED)),))
