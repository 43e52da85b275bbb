"""Quotas at run time: change them, undo a change, tell what was changed by whom and why.

Guarantees: a change is durable and in force before it is answered, all parts of it or none; one that would contradict
itself at any moment ahead is refused with the numbers; both acts stand in the audit with the numbers before and after.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from mlabhub.core.moments import write_moment
from mlabhub.core.quota_changes import QuotaChange, check_changes, describe_value, effective, value_of
from mlabhub.core.quotas import DEFAULT_USER, Quotas
from mlabhub.core.quote import plain, quote
from mlabhub.core.reasons import sentences
from mlabhub.core.units import GPU_PREFIX, format_number
from mlabhub.errors import LaunchRefused, MLabError, NotFound
from mlabhub.ledger import AuditEntry, StoredAnswer
from mlabhub.messages import N_, Message
from mlabhub.service.json_views import to_json
from mlabhub.service.projection import Projection
from mlabhub.service.quota_bodies import InvalidChange, QuotaChangesBody, Seen, Wanted, no_such, read_changes
from mlabhub.service.quota_views import concerns, make_view, state_of
from mlabhub.service.repeats import check_key, fingerprint_of, same_request
from mlabhub.service.views import QuotaChangeView
from mlabhub.service.world import World
from mlabhub.service.writer import Act, Outcome

MOST_LIVE = 100
MOST_SHOWN = 1000
TOO_MANY = N_(
    "{name} has {count} changes in force or ahead, and may have {most}: undo some, or write what is meant into "
    "quotas.yaml."
)

Keep = Callable[[dict[str, Any]], StoredAnswer] | None

NO_GROUP = N_(
    "Neither the hub nor quotas.yaml has a group {name}. {hint} Groups are made on the hub's admin page; there are: "
    "{known}."
)
NO_TYPE = N_("No machine has {name}, and no profile names it. {hint} There are: {known}.")
CHANGED = N_("{name}: {what} was {before} and is {after} {when}: {reason}")
AT_ONCE, FROM, UNTIL = N_("at once"), N_("from {start}"), N_("{from_then}, until {end}")
UNDONE = N_("{name}: {what} was {before} and is {after}: the change of {author} was undone ({reason})")
ADDS_NOTHING = N_(
    "{what} of {name} has no limit, so that {added} changes nothing. Name the amount itself, without a sign."
)
SINCE_CHANGED = N_(
    "Somebody changed {what} of {name} meanwhile: it was {seen} when you looked, and is {value} now. Nothing was "
    "changed. Look at it again, then decide."
)
TAKES_TOO_MUCH = N_("{what} of {name} is {before}: {added} would leave less than nothing. Take less off.")


class QuotaDesk:
    """Changes quotas for administrators."""

    def __init__(self, world: World):
        self._world = world

    async def change(self, actor: str, body: QuotaChangesBody, idempotency_key: str | None = None) -> dict[str, Any]:
        """Make a change; return it, and what is to be noted of the quotas now.

        Raises `InvalidChange`, or `LaunchRefused` where quotas would contradict themselves.
        """
        key = None if idempotency_key is None else (actor, check_key(idempotency_key))
        fingerprint = fingerprint_of("quotas", body.model_dump(mode="json"))
        if key is not None and (stored := self._world.writer.projection.answer(*key)) is not None and stored.final:
            return {**same_request(stored, fingerprint), "notes": self._world.quota_notes()}
        now = self._world.clock()
        wanted = read_changes(body, now)
        await self._check_names(wanted)
        made = wanted.make(self._world.make_launch_id(), now, actor)
        keep = (lambda answer: StoredAnswer(*key, fingerprint, 201, answer, now)) if key else None
        act = _make(made, wanted.seen, self._world.catalog.configured().quotas, now, key, keep)
        answer = await self._world.writer.submit(act)
        if isinstance(answer, StoredAnswer):
            answer = same_request(answer, fingerprint)
        return {**answer, "notes": await self._world.quota_notes.look()}

    async def plan(self, actor: str, body: QuotaChangesBody) -> tuple[QuotaChange, ...]:
        """Return the changes that `change` would make now; nothing is changed. Raises what `change` does."""
        now = self._world.clock()
        wanted = read_changes(body, now)
        await self._check_names(wanted)
        made = wanted.make(self._world.make_launch_id(), now, actor)
        _make(made, wanted.seen, self._world.catalog.configured().quotas, now, None, None)(
            self._world.writer.projection
        )
        return made

    def find(self, change_id: str) -> QuotaChange | None:
        """Return a change, however old."""
        return self._world.catalog.changes.get(change_id)

    def before_and_after(
        self, one: QuotaChange, made: tuple[QuotaChange, ...], *, undo: bool
    ) -> tuple[float | None, float | None]:
        """Return the number that a change is about when it begins: without all of ``made``, and with it, or undone."""
        configured, known = self._world.catalog.configured().quotas, self._world.catalog.changes
        before = tuple(known.values())
        after = tuple(other for other in before if other.change_id != one.change_id) if undo else (*before, *made)
        moment = max(self._world.clock(), one.start)
        was, will_be = (value_of(effective(configured, changes, moment), *one.target) for changes in (before, after))
        return was, will_be

    async def undo(self, actor: str, change_id: str) -> QuotaChangeView:
        """Take a change back; fine if it was before. Raises `NotFound`, or `LaunchRefused` if it is over."""
        now = self._world.clock()
        act = _undo(change_id, self._world.catalog.configured().quotas, now, actor)
        undone = await self._world.writer.submit(act)
        await self._world.quota_notes.look()
        return make_view(undone, now)

    def history(
        self,
        *,
        groups: frozenset[str] | None = None,
        user: str | None = None,
        only: str | None = None,
        most: int = MOST_SHOWN,
    ) -> tuple[QuotaChangeView, ...]:
        """Return the last changes, newest first: all, or those about ``groups`` and ``user``; ``only``: of one name."""
        now = self._world.clock()
        found = [
            one
            for one in self._world.catalog.changes.values()
            if (only is None or one.name == only) and (groups is None or concerns(one, groups, user))
        ]
        found.sort(key=lambda one: (-one.at, one.change_id))
        return tuple(make_view(one, now) for one in found[:most])

    async def _check_names(self, wanted: Wanted) -> None:
        """Raise `InvalidChange` or `NotFound` for a group, a user or a GPU type that nobody knows."""
        quotas = self._world.catalog.configured().quotas
        if wanted.group and wanted.name not in quotas.groups:
            known = {*await self._world.hub.groups(), *quotas.groups}
            if wanted.name not in known:
                raise no_such(NO_GROUP, wanted.name, known, "group")
        if not wanted.group and wanted.name != DEFAULT_USER and wanted.name not in quotas.users:
            await self._world.hub.user(wanted.name)
        await self.check_types(resource for _, resource, _, _ in wanted.parts)

    async def check_types(self, resources: Iterable[str]) -> None:
        """Raise `InvalidChange` for a GPU type that nobody knows."""
        typed = {one.removeprefix(GPU_PREFIX) for one in resources if one.startswith(GPU_PREFIX)}
        if typed and (types := await self.gpu_types()) is not None:
            for unknown in sorted(typed - types):
                raise no_such(NO_TYPE, unknown, types, "resource")

    async def gpu_types(self) -> set[str] | None:
        """Return the GPU types that anything knows; None where the machines do not say."""
        catalog, quotas = self._world.catalog(), self._world.catalog.configured().quotas
        try:
            capacity = await self._world.capacity.get()
        except MLabError:
            return None
        named = {one.removeprefix(GPU_PREFIX) for one in _resources(quotas) if one.startswith(GPU_PREFIX)}
        offered = {one for profile in catalog.profiles if not profile.any_gpu_type for one in profile.gpu_types}
        return {*capacity.gpu_types, *catalog.gpu_types, *offered, *named}


def _resources(quotas: Quotas) -> set[str]:
    caps = [*quotas.users.values(), *(one.each for one in quotas.groups.values() if one.each is not None)]
    amounts: list[Mapping[str, float]] = [cap.limit for cap in caps]
    amounts += [part for one in quotas.groups.values() for part in (one.guaranteed, one.limit)]
    return {resource for part in amounts for resource in part}


def _make(
    made: tuple[QuotaChange, ...],
    seen: tuple[Seen, ...],
    configured: Quotas,
    now: float,
    key: tuple[str, str] | None,
    keep: Keep,
) -> Act[Any]:
    def act(projection: Projection) -> Outcome[Any]:
        if key is not None and (stored := projection.answer(*key)) is not None and stored.final:
            return Outcome(stored)
        before = tuple(projection.quota_changes.values())
        _check_seen(configured, before, made[0].name, seen, now)
        _check_number(before, made, now)
        _check_sums(configured, before, made, now)
        told = check_changes(configured, before, (*before, *made), now)
        if told is not None:
            raise LaunchRefused(told, code="quota_contradiction")
        entries = tuple(_audit(one, configured, before, (*before, *made), now) for one in made)
        answer = {"changes": [make_view(one, now) for one in made], "said": [entry.message for entry in entries]}
        kept = (keep(json.loads(to_json(answer))),) if keep is not None else ()
        return Outcome(answer, (*made, *entries, *kept))

    return act


def _check_seen(
    configured: Quotas, before: tuple[QuotaChange, ...], name: str, seen: tuple[Seen, ...], now: float
) -> None:
    """Raise `LaunchRefused` where a number is not what whoever asks has seen."""
    quotas = effective(configured, before, now)
    for part, resource, amount in seen:
        value = value_of(quotas, part, name, resource)
        if value != amount:
            said = {"what": f"{part} {resource}", "name": quote(name)}
            message = Message.of(SINCE_CHANGED, said, seen=describe_value(amount), value=describe_value(value))
            raise LaunchRefused(message, code="quota_changed")


def _check_number(before: tuple[QuotaChange, ...], made: tuple[QuotaChange, ...], now: float) -> None:
    """Raise `LaunchRefused` where a name has more changes than anybody can follow."""
    first = made[0]
    of_user = first.part == "cap"
    live = [one for one in before if one.name == first.name and (one.part == "cap") == of_user]
    count = sum(state_of(one, now) in ("in force", "ahead") for one in live)
    if count + len(made) > MOST_LIVE:
        message = Message.of(TOO_MANY, name=quote(first.name), count=count, most=MOST_LIVE)
        raise LaunchRefused(message, code="too_many_quota_changes")


def _check_sums(configured: Quotas, before: tuple[QuotaChange, ...], made: tuple[QuotaChange, ...], now: float) -> None:
    """Raise `InvalidChange` for a change that adds to what has no limit, or takes off more than there is."""
    for number, one in enumerate(made):
        if not one.added or one.amount is None:
            continue
        value = value_of(effective(configured, (*before, *made[:number]), max(now, one.start)), *one.target)
        said = {"what": f"{one.part} {one.resource}", "name": quote(one.name), "added": f"{one.amount:+.10g}"}
        if value is None:
            raise InvalidChange(Message.of(ADDS_NOTHING, said), key=f"{one.part}.{one.resource}")
        if value + one.amount < 0:
            message = Message.of(TAKES_TOO_MUCH, said, before=format_number(value))
            raise InvalidChange(message, key=f"{one.part}.{one.resource}")


def _undo(change_id: str, configured: Quotas, now: float, actor: str) -> Act[QuotaChange]:
    def act(projection: Projection) -> Outcome[QuotaChange]:
        known = projection.quota_changes.get(change_id)
        if known is None:
            raise NotFound(Message.of(N_("There is no change {change_id} of quotas."), change_id=quote(change_id)))
        state = state_of(known, now)
        if state == "undone":
            return Outcome(known)
        if state == "over":
            assert known.end is not None
            text = N_("The change ended by itself at {end}; there is nothing to undo.")
            raise LaunchRefused(Message.of(text, end=write_moment(known.end)), code="quota_change_over")
        before = tuple(projection.quota_changes.values())
        undone = replace(known, undone=now, undone_by=actor)
        after = tuple(undone if one.change_id == change_id else one for one in before)
        told = check_changes(configured, before, after, now)
        if told is not None:
            first = Message(N_("Undo, or change, what depends on it first."))
            raise LaunchRefused(sentences([told, first]), code="quota_contradiction")
        entry = _audit(known, configured, before, after, now, undone_by=actor)
        return Outcome(undone, (undone, entry))

    return act


def _audit(
    one: QuotaChange,
    configured: Quotas,
    before: tuple[QuotaChange, ...],
    after: tuple[QuotaChange, ...],
    now: float,
    *,
    undone_by: str = "",
) -> AuditEntry:
    moment = max(now, one.start)
    was, now_is = (value_of(effective(configured, changes, moment), *one.target) for changes in (before, after))
    start = Message.of(FROM, start=write_moment(one.start)) if one.start > now else Message(AT_ONCE)
    when = start if one.end is None else Message.of(UNTIL, from_then=start, end=write_moment(one.end))
    message = Message.of(
        UNDONE if undone_by else CHANGED,
        {"author": plain(one.author)} if undone_by else {"when": when},
        name=plain(one.name),
        what=f"{one.part} {one.resource}",
        before=describe_value(was),
        after=describe_value(now_is),
        reason=one.reason,
    )
    user = one.name if one.part == "cap" and one.name != DEFAULT_USER else ""
    return AuditEntry(now, undone_by or one.author, "quota undone" if undone_by else "quota", message, user=user)
