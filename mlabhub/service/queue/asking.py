"""A launch is asked for: it starts now, waits in the queue, or is refused.

Guarantees: nobody who asks takes what somebody who waits is about to get: if something ended since the last round, a
round comes first.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlabhub.service import decisions
from mlabhub.service.answers import Waits
from mlabhub.service.decisions import Answer, Ground, Keeper, Wish
from mlabhub.service.projection import Projection
from mlabhub.service.writer import Outcome

if TYPE_CHECKING:
    from mlabhub.service.world import World


async def ask(
    world: World, wish: Wish, ground: Ground, *, key: tuple[str, str] | None = None, keep: Keeper | None = None
) -> Answer:
    """Decide on a launch, durably. ``ground.turn`` and ``ground.queue`` are filled in here.

    `Admitted`: its reservation is pending, and the hub has to be asked. `Waits`: its entry is durable. With a wish
    under the ``launch_id`` of an entry that waits, that one starts as it is asked for now if it can (`Admitted`), with
    what it asks for now; otherwise it goes on waiting as it was (`Waits` with ``may_wait``, `Refused` without).
    """
    await world.queue.settle()
    ground = replace(
        ground,
        queue=world.queue.waiting(),
        turn=world.queue.turn(ground.capacity),
        may_come=lambda request: world.catalog.hopeless(request) is None,
    )
    now = world.clock()

    def act(projection: Projection) -> Outcome[Answer]:
        renewed = replace(ground, catalog=world.catalog.renewed(ground.catalog))  # quotas may have changed since
        return decisions.admit(wish, renewed, now, key=key, keep=keep)(projection)

    answer = await world.writer.submit(act)
    if isinstance(answer, Waits) and answer.entry.told_earliest is None:
        await world.forecasts.note_told(answer.entry, ground.capacity)
    return answer
