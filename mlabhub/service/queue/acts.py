"""What people do to entries of the queue: wait, leave, change, move; each a function of the projection.

Guarantees: as in `reservations`: every act can be repeated, none does I/O or reads a clock; whoever is refused is told
why. One server waits once; one person and all together wait a bounded number of times. Only who waits can be changed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mlabhub.core.profiles import LaunchRequest
from mlabhub.core.reasons import Reason
from mlabhub.core.units import ANY_GPU, format_gpus
from mlabhub.errors import LaunchRefused, NotFound
from mlabhub.ledger import AuditEntry, QueueEntry, Record, Reservation
from mlabhub.messages import N_, Message
from mlabhub.service.projection import Projection
from mlabhub.service.writer import Act, Outcome

MOST_OF_PERSON = 500
MOST = 10_000

WAITS = N_("{profile} waits for its turn: {cpu} CPU, {memory_gib} GiB, {gpus}; {payer} would pay")
LEFT = N_("{actor} took it out of the queue")
CHANGED = N_("{actor} changed it: {cpu} CPU, {memory_gib} GiB, {gpus}; it keeps its place")
CHANGED_PLACE = N_("{actor} changed it: {cpu} CPU, {memory_gib} GiB, {gpus}; it asks for more, and waits from now on")
MOVED = N_("{actor} moved it among those of {user}")
WITH_REASON = N_("{what}: {reason}")


def make_entry(
    request: LaunchRequest,
    *,
    launch_id: str,
    options: dict[str, Any],
    actor: str,
    display_name: str,
    now: float,
    **more: Any,
) -> QueueEntry:
    """Return a new entry that waits since ``now``; ``more`` are its other fields."""
    return QueueEntry(
        launch_id=launch_id,
        user=request.user,
        server=request.server_name,
        state="waiting",
        created=now,
        changed=now,
        actor=actor,
        display_name=display_name,
        options=options,
        **{"since": now, **more, **asked(request)},
    )


def make_entry_again(one: Reservation, launch_id: str, now: float, **more: Any) -> QueueEntry:
    """Return the entry under which a launch that ran waits again, on the place that it had; ``more`` as above."""
    wanted = one.options.get("gpu_type")
    return QueueEntry(
        launch_id=launch_id,
        user=one.user,
        server=one.server,
        state="waiting",
        since=one.created if one.since is None else one.since,
        created=now,
        changed=now,
        actor=one.actor,
        display_name=one.display_name,
        group=one.group,
        profile=one.profile,
        image=one.image,
        gpu_type=wanted if isinstance(wanted, str) and wanted != ANY_GPU else None,
        gpus=len(one.gpus),
        cpu=one.cpu,
        memory_gib=one.memory_gib,
        options=one.options,
        again_of=one.launch_id,
        **more,
    )


def asked(request: LaunchRequest) -> dict[str, Any]:
    """Return the fields of an entry that say what is asked for."""
    return {
        "group": request.group,
        "profile": request.profile,
        "image": request.image,
        "gpu_type": request.gpu_type,
        "gpus": request.gpus,
        "gpu_ids": request.gpu_ids,
        "cpu": request.cpu,
        "memory_gib": request.memory_gib,
    }


def enqueue(projection: Projection, entry: QueueEntry, now: float) -> tuple[Record, ...]:
    """Return what has to be kept for an entry to wait. Raises `LaunchRefused` where too many wait already."""
    waiting = projection.queue
    if sum(one.user == entry.user for one in waiting.values()) >= MOST_OF_PERSON:
        raise LaunchRefused(
            Message.of(
                N_(
                    "{most} launches of {user} wait already, as many as one person may have. Take some out of the "
                    "queue."
                ),
                most=MOST_OF_PERSON,
                user=entry.user,
            ),
            code="queue_full",
        )
    if len(waiting) >= MOST:
        raise LaunchRefused(
            Message.of(N_("{most} launches wait already, as many as the queue holds. Try again later."), most=MOST),
            code="queue_full",
        )
    return entry, audit_of(entry, now, entry.actor, "queue", _say(WAITS, entry))


def leave(launch_id: str, actor: str, now: float, reason: str = "") -> Act[QueueEntry]:
    """Take an entry out of the queue. Raises `NotFound` for none that waits; fine for a repetition is the caller's."""

    def act(projection: Projection) -> Outcome[QueueEntry]:
        entry = waiting_entry(projection, launch_id)
        why = _because(Message.of(LEFT, actor=actor), reason)
        left = replace(entry, state="left", changed=now, reason=why)
        return Outcome(left, (left, audit_of(left, now, actor, "leave", why)))

    return act


def change(launch_id: str, request: LaunchRequest, options: dict[str, Any], actor: str, now: float) -> Act[QueueEntry]:
    """Let an entry ask for something else: ``request`` is what ``options`` came to.

    It keeps its place if it asks for no more than before, of the same group's share; else it waits from now on, and
    that it was taken back before counts no more: nobody makes something large safe by what was small.
    Raises `NotFound` for none that waits.
    """

    def act(projection: Projection) -> Outcome[QueueEntry]:
        entry = waiting_entry(projection, launch_id)
        if entry.options == options:
            return Outcome(entry)
        keeps = asks_no_more(entry, request)
        place = {} if keeps else {"since": now, "reclaims": 0}
        changed = replace(entry, changed=now, options=options, **{**place, **asked(request)})
        why = _say(CHANGED if keeps else CHANGED_PLACE, changed, actor=actor)
        return Outcome(changed, (changed, audit_of(changed, now, actor, "change", why)))

    return act


def move(launch_id: str, before: str | None, actor: str, now: float, reason: str = "") -> Act[QueueEntry]:
    """Put an entry before another one of the same person, or after all of them. Others' turns are the rules' alone.

    Raises `NotFound` for none that waits, `LaunchRefused` if the other one is not the same person's.
    """

    def act(projection: Projection) -> Outcome[QueueEntry]:
        entry = waiting_entry(projection, launch_id)
        own = own_order(projection, entry.user)
        others = [one for one in own if one.launch_id != launch_id]
        at = len(others)
        if before is not None:
            at = next((index for index, one in enumerate(others) if one.launch_id == before), -1)
            if at < 0:
                raise LaunchRefused(
                    Message.of(
                        N_(
                            "{before} is not another launch of {user} that waits; only those of one person can be put "
                            "in order."
                        ),
                        before=before,
                        user=entry.user,
                    )
                )
        wanted = [*others[:at], entry, *others[at:]]
        ranks = {one.launch_id: rank for rank, one in enumerate(reversed(wanted))}
        moved = [replace(one, priority=ranks[one.launch_id]) for one in wanted if one.priority != ranks[one.launch_id]]
        if [one.launch_id for one in own] == [one.launch_id for one in wanted]:
            return Outcome(entry)
        why = _because(Message.of(MOVED, actor=actor, user=entry.user), reason)
        answer = next((one for one in moved if one.launch_id == launch_id), entry)
        return Outcome(answer, (*moved, audit_of(entry, now, actor, "move", why)))

    return act


def own_order(projection: Projection, user: str) -> list[QueueEntry]:
    """Return a person's waiting entries, next first."""
    own = [one for one in projection.queue.values() if one.user == user and one.state == "waiting"]
    return sorted(own, key=lambda one: (-one.priority, one.since, one.launch_id))


def waiting_entry(projection: Projection, launch_id: str) -> QueueEntry:
    """Return an entry that waits. Raises `NotFound`."""
    entry = projection.queue.get(launch_id)
    if entry is None or entry.state != "waiting":
        started = entry is not None or projection.launch(launch_id) is not None
        text = N_("The launch {launch_id} does not wait any more: its turn has come.") if started else NOT_QUEUED
        raise NotFound(Message.of(text, launch_id=launch_id))
    return entry


NOT_QUEUED = N_("No launch {launch_id} waits in the queue.")


def waits_already(entry: QueueEntry) -> Reason:
    """Return why a server's name cannot be had: a launch under it waits."""
    name: Any = entry.display_name or entry.server or Message(N_("(default)"))
    text = N_("{user}'s server {name} waits in the queue already. Take it out of the queue, or choose another name.")
    return Reason("name_in_use", Message.of(text, user=entry.user, name=name))


def asks_no_more(entry: QueueEntry, request: LaunchRequest) -> bool:
    """Whether a request takes no more than an entry did, so that nobody is overtaken by the change."""
    same_types = entry.gpus == 0 or request.gpus == 0 or entry.gpu_type in (request.gpu_type, None)
    less = request.gpus <= entry.gpus and request.cpu <= entry.cpu and request.memory_gib <= entry.memory_gib
    return less and same_types and request.group == entry.group


def audit_of(entry: QueueEntry, now: float, actor: str, act: str, message: Message) -> AuditEntry:
    """Return a line of the audit about an entry."""
    return AuditEntry(now, actor, act, message, user=entry.user, server=entry.server, launch_id=entry.launch_id)


def _because(what: Message, reason: str) -> Message:
    return Message.of(WITH_REASON, what=what, reason=reason) if reason else what


def _say(template: str, entry: QueueEntry, **more: Any) -> Message:
    return Message.of(
        template,
        profile=entry.profile,
        cpu=entry.cpu,
        memory_gib=entry.memory_gib,
        gpus=format_gpus(entry.gpus, entry.gpu_type) if entry.gpus else Message(N_("no GPU")),
        payer=entry.group or Message(N_("no group")),
        **more,
    )
