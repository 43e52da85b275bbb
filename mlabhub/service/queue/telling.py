"""What people are told of all this, as news; see `mlabhub.service.news` for what becomes of them.

Guarantees: told after it is durable, never before; telling never fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlabhub.core.privacy import Viewer
from mlabhub.core.quotas import Maintenance
from mlabhub.ledger import QueueEntry, ReclaimNotice, Reservation
from mlabhub.messages import N_, Message
from mlabhub.service import news
from mlabhub.service.queue.outcomes import Settled
from mlabhub.service.queue.rounds import Made

if TYPE_CHECKING:
    from mlabhub.service.world import World

COMES_BACK = N_("{user} needs it: it is guaranteed to the group {group}.")
REMOVED = N_("An administrator took it out.")
REMOVED_WHY = N_("An administrator took it out: {reason}")
GROUP_COMES_BACK = N_("Somebody of {group} needs it: it is guaranteed to that group.")


class Teller:
    """Tells people."""

    def __init__(self, world: World):
        self._world = world

    def made(self, made: Made) -> None:
        """Tell what a round came to. Whoever starts learns until when at least it waits for them."""
        for one, entry, start in made.started:
            minutes = self._world.catalog().quotas.claim_minutes
            claim_by = self._world.clock() + 60 * minutes
            self._tell(news.Started, entry, claim_by=claim_by, node=one.node, borrowed=start.borrowed)
        for one, notice in made.told:
            self._tell(
                news.NoticeGiven,
                one,
                deadline=notice.deadline,
                for_whom=self._for_whom(one, notice),
                again=self._again(one),
            )
        for one in made.withdrawn:
            self._tell(news.NoticeWithdrawn, one)
        for one, again in made.reclaimed:
            self._tell(news.Reclaimed, one, again=again is not None)

    def settled(self, settled: Settled | None) -> None:
        """Tell what an entry became whose start came to nothing."""
        if settled is None:
            return
        if settled.again is not None:
            self.queued(settled.again, again=True)
        elif settled.entry.state == "refused" and settled.entry.reason is not None:
            self.refused(settled.entry)

    def queued(self, entry: QueueEntry, *, again: bool = False) -> None:
        """Tell that a launch waits."""
        position = self._world.queue.position_of(entry.launch_id) or len(self._world.queue.order()) or 1
        self._tell(news.Queued, entry, position=position, again=again)

    def refused(self, entry: QueueEntry) -> None:
        """Tell that a launch cannot start any more."""
        if entry.reason is not None:
            self._tell(news.Refused, entry, reason=entry.reason)

    def removed(self, entry: QueueEntry, reason: str = "") -> None:
        """Tell that an administrator took a launch out of the queue, and why if they said so."""
        why = Message.of(REMOVED_WHY, reason=reason) if reason else Message(REMOVED)
        self._tell(news.Refused, entry, reason=why, removed=True)

    def given_back(self, one: Reservation, minutes: float) -> None:
        """Tell that nobody used what was started."""
        self._tell(news.GivenBack, one, minutes=minutes)

    def ends_soon(self, one: Reservation, deadline: float) -> None:
        """Tell that a longest duration is reached soon."""
        self._tell(news.EndsSoon, one, ends=deadline)

    def closes(self, one: Reservation, window: Maintenance) -> None:
        """Tell that the machine of a launch is maintained soon."""
        self._tell(news.MachineCloses, one, closes=window.start, node=one.node, reason=window.reason)

    def _again(self, one: Reservation) -> bool:
        profile = self._world.catalog().profiles_by_slug.get(one.profile)
        return profile is not None and profile.after_reclaim == "queue" and one.origin != "adopted"

    def _for_whom(self, one: Reservation, notice: ReclaimNotice) -> Message | None:
        entry = self._world.writer.projection.queue.get(notice.entry)
        if entry is None or entry.group is None:
            return None
        privacy = self._world.catalog().quotas.privacy
        groups = frozenset((one.group,) if one.group else ())
        if Viewer(one.user, groups, privacy=privacy).may_know(entry.user, entry.group):
            return Message.of(COMES_BACK, user=entry.user, group=entry.group)
        return Message.of(GROUP_COMES_BACK, group=entry.group)

    def _tell(self, kind: Any, one: QueueEntry | Reservation, **more: Any) -> None:
        self._world.news.tell(kind(**news.about(one), at=self._world.clock(), **more))
