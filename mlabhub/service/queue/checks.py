"""Whether what waits may still start: resolved anew by today's catalogue and the groups that the hub has today.

Guarantees: nothing starts that was not looked at in the same round; what cannot be asked now goes on waiting; what is
not permitted any more is refused with the reason in words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlabhub.core.capacity import Capacity
from mlabhub.core.identity import Identity
from mlabhub.core.profiles import Catalog, LaunchRequest
from mlabhub.core.resolve import resolve
from mlabhub.errors import MLabError, Unavailable
from mlabhub.ledger import QueueEntry
from mlabhub.messages import N_, Message
from mlabhub.service.fetching import ImageFetching
from mlabhub.service.kept import kept_image
from mlabhub.service.projection import Projection
from mlabhub.service.queue.acts import asked, audit_of
from mlabhub.service.writer import Act, Outcome

if TYPE_CHECKING:
    from mlabhub.service.world import World

REFUSED = N_("it waited and cannot start any more: {reason}")
OTHERWISE = N_("by today's configuration it asks for other amounts than when it was queued")
UNKNOWN = N_("whether it may start cannot be known now: others go first for a while")
UNKNOWN_S = 60.0


@dataclass(frozen=True)
class Checked:
    """An entry as it was looked at, and what it comes to today; without a request it cannot be known now."""

    entry: QueueEntry
    request: LaunchRequest | None = None
    identify: Callable[[Projection], Identity] | None = None
    refusal: Message | None = None

    @property
    def unknown(self) -> bool:
        """Whether nobody could tell."""
        return self.request is None and self.refusal is None

    @property
    def ready(self) -> bool:
        """Whether it may start as it is."""
        return self.request is not None and {**vars(self.entry), **asked(self.request)} == vars(self.entry)

    def fits(self, entry: QueueEntry | None) -> bool:
        """Whether an entry still is the one that was looked at."""
        return (
            entry is not None
            and entry.state == "waiting"
            and replace(entry, priority=0) == replace(self.entry, priority=0)
        )


async def check(world: World, entry: QueueEntry, catalog: Catalog, capacity: Capacity) -> Checked:
    """Look at an entry. Never raises an `MLabError`."""
    try:
        groups = (await world.hub.user(entry.user)).groups
        kept = await kept_image(world.ledger, catalog, entry.user, entry.server)
        request = resolve(
            catalog,
            entry.user,
            groups,
            entry.options,
            entry.server,
            present=capacity.gpu_types,
            kept_images=kept,
        )
        await world.fetcher.require(request)
        facts = await world.accounts.look_up(entry.user, groups)
    except (Unavailable, ImageFetching):
        return Checked(entry)
    except MLabError as error:
        return Checked(entry, refusal=error.message)
    return Checked(entry, request, facts.choose)


def settle(checked: Checked, now: float) -> Act[QueueEntry | None]:
    """Refuse an entry that may not start any more, or let it ask for what it comes to today; None if it changed.

    One that cannot be known is left out for a while, so that others have their turn.
    """

    def act(projection: Projection) -> Outcome[QueueEntry | None]:
        if not checked.fits(projection.queue.get(checked.entry.launch_id)):
            return Outcome(None)
        entry = projection.queue[checked.entry.launch_id]
        if checked.refusal is not None:
            why = Message.of(REFUSED, reason=checked.refusal)
            entry = replace(entry, state="refused", changed=now, reason=checked.refusal)
            return Outcome(entry, (entry, audit_of(entry, now, "queue", "refuse", why)))
        if checked.request is None:
            entry = replace(entry, changed=now, not_before=now + UNKNOWN_S)
            return Outcome(entry, (entry, audit_of(entry, now, "queue", "postpone", Message(UNKNOWN))))
        if checked.ready:
            return Outcome(entry)
        entry = replace(entry, changed=now, **asked(checked.request))
        return Outcome(entry, (entry, audit_of(entry, now, "queue", "change", Message(OTHERWISE))))

    return act
