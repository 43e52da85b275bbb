"""The queue as one person may know it. Pure functions of the ledger's state and of what the last round said.

Guarantees: whose an entry is, and what their server is called, is said only to those whom the privacy setting lets
know; what was chosen, and what else could be, only to whoever may act on the entry; a place in the queue and a size are
no secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mlabhub.core.forecast import Nearest
from mlabhub.core.privacy import Viewer
from mlabhub.core.reasons import Reason, name_holder
from mlabhub.ledger import QueueEntry
from mlabhub.messages import N_, Message
from mlabhub.service.listing import server_url
from mlabhub.service.projection import Projection
from mlabhub.service.views import LaunchStatus, Step
from mlabhub.service.wait_views import NoticeView, QueueEntryView, WaitRange

NOT_KNOWN = WaitRange(None, None, Message(N_("When it starts is not known.")))
_BLOCKED = {
    "limit": N_("Its group is at its limit."),
    "cap": N_("Whoever asked for it is at their own cap."),
    "room": N_("It waits until enough is free."),
    "claimed": N_("What is free is promised to others."),
    "reserve": N_("What is free is kept for groups with a guarantee."),
    "backoff": N_("It could not be started, and is tried again soon."),
    "maintenance": N_("It would fit a machine that is closed for maintenance soon."),
    "restrained": N_(
        "Others would have to give back, and are not asked for a while: they were asked before for requests of the "
        "same person that were then taken back or changed. It starts sooner where room comes by itself."
    ),
}
TAKEN_BACK = N_("It was taken back, and rests for a while so that it is not taken back again soon.")
_ENDED = {
    "left": N_("It was taken out of the queue."),
    "given_back": N_("Its turn came and nobody used it, so it was given back. Start it again when you need it."),
    "refused": N_("It cannot start any more."),
}


@dataclass(frozen=True)
class Told:
    """What is known of the queue besides the ledger: what each waits for, and when it starts."""

    blocked: Mapping[str, str] = field(default_factory=dict)
    waits: Mapping[str, WaitRange] = field(default_factory=dict)


def in_order(entries: Iterable[QueueEntry], order: Sequence[str]) -> tuple[QueueEntry, ...]:
    """Return the entries that wait, next first: those that the last round did not see yet come last."""
    place = {launch_id: number for number, launch_id in enumerate(order)}
    waiting = [one for one in entries if one.state == "waiting"]
    return tuple(sorted(waiting, key=lambda one: (place.get(one.launch_id, len(place)), one.since, one.launch_id)))


def entry_view(
    entry: QueueEntry,
    position: int,
    viewer: Viewer,
    told: Told,
    reasons: tuple[Reason, ...] = (),
    nearest: Nearest | None = None,
    advice: Message | None = None,
) -> QueueEntryView:
    """Return an entry as somebody may know it. ``reasons``, ``nearest`` and ``advice`` are in words for them."""
    own, blocked = entry.user == viewer.name, told.blocked.get(entry.launch_id)
    may_act, named = own or viewer.admin, viewer.may_know(entry.user, entry.group)
    if blocked == "restrained":
        reasons, blocked = (*reasons, *_reasons(entry, blocked)), "room"
    return QueueEntryView(
        launch_id=entry.launch_id,
        user=entry.user if named else name_holder(entry, viewer),
        own=own,
        may_act=may_act,
        server_name=entry.server if named else "",
        display_name=entry.display_name if named else "",
        group=entry.group,
        profile=entry.profile if named else "",
        gpu_type=entry.gpu_type,
        gpus=entry.gpus,
        cpu=entry.cpu,
        memory_gib=entry.memory_gib,
        since=entry.since,
        position=position,
        reasons=reasons if may_act and reasons else _reasons(entry, blocked),
        wait=told.waits.get(entry.launch_id, NOT_KNOWN),
        reclaims=entry.reclaims if may_act else 0,
        nearest=nearest.changes if nearest and may_act else None,
        advice=advice if may_act else None,
        options=dict(entry.options) if may_act else None,
    )


def entry_status(entry: QueueEntry, base_url: str, view: QueueEntryView | None) -> LaunchStatus:
    """Return how far an entry came; ``view`` is its place in the queue, None for one that does not wait."""
    url = server_url(base_url, entry.user, entry.server)
    over = _ENDED.get(entry.state)
    steps = [Step(entry.since, Message(N_("Asked for; it waits in the queue")), done=over is not None)]
    failure = None
    if over is not None:
        failure = entry.reason or Message(over)
        steps.append(Step(entry.changed, failure, done=True))
    return LaunchStatus(
        launch_id=entry.launch_id,
        user=entry.user,
        server_name=entry.server,
        display_name=entry.display_name,
        state="queued" if over is None else entry.state,  # type: ignore[arg-type]
        steps=tuple(steps),
        url=url,
        failure=failure,
        open_url=url,
        position=view.position if view else None,
        reasons=view.reasons if view else (),
        wait=view.wait if view else None,
        nearest=view.nearest if view else None,
        advice=view.advice if view else None,
        options=dict(entry.options),
    )


def with_claim(status: LaunchStatus, entry: QueueEntry | None, again: str | None) -> LaunchStatus:
    """Return how far a launch is that came from the queue: until when it has to be used, or that it waits again."""
    claim_by = entry.claim_by if entry is not None and entry.state == "started" else None
    return replace(status, claim_by=claim_by, again=again)


def notice_views(projection: Projection, user: str, viewer: Viewer) -> tuple[NoticeView, ...]:
    """Return what a person was told to give back, the first deadline first."""
    found = []
    for notice in projection.notices.values():
        one = projection.launch(notice.launch_id)
        if one is not None and one.user == user:
            entry = projection.queue.get(notice.entry)
            why = for_whom(entry, viewer) if notice.entry else Message(N_("It has run as long as its profile allows."))
            view = NoticeView(one.launch_id, one.server, notice.at, notice.deadline, why)
            found.append(view)
    return tuple(sorted(found, key=lambda one: (one.deadline, one.launch_id)))


def for_whom(entry: QueueEntry | None, viewer: Viewer) -> Message:
    """Return who comes back, as far as somebody may know it."""
    if entry is None:
        return Message(N_("A group with a guarantee needs it."))
    return Message.of(N_("{who} needs what is guaranteed to them."), who=name_holder(entry, viewer))


def _reasons(entry: QueueEntry, blocked: str | None) -> tuple[Reason, ...]:
    text = TAKEN_BACK if blocked == "backoff" and entry.reclaims else _BLOCKED.get(blocked or "")
    return (Reason(blocked or "", Message(text)),) if text else ()
