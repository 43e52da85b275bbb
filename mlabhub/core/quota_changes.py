"""Quotas that were changed at run time: what is in force at a moment, and when that changes next.

Guarantees: pure; of several changes to one number they count in the order in which they were made; a change that was
undone never counts again, whatever the clock does; nothing that results is below zero, and no guarantee that results
exceeds its limit: where the configuration was edited so that a change now contradicts it, the guarantee is cut to the
limit (fail closed), and `contradictions` says so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mlabhub.core.moments import write_moment
from mlabhub.core.quotas import DEFAULT_USER, GroupQuota, Quotas, UserCap, excesses_of
from mlabhub.core.quote import plain
from mlabhub.core.units import GPU, GPU_PREFIX, format_number, from_micro, to_micro
from mlabhub.messages import N_, Message

QuotaPart = Literal["guaranteed", "limit", "each", "cap"]
Target = tuple[QuotaPart, str, str]
MOST = 1e12

GUARANTEE_CUT = N_("{group}: {resource} {contradiction}. The guarantee counts up to the limit, until that is mended.")
WOULD_CONTRADICT = N_("From {moment} on, {group} would have a contradiction: {resource} {contradiction}.")
WOULD_CONTRADICT_NOW = N_("{group} would have a contradiction: {resource} {contradiction}.")


@dataclass(frozen=True)
class QuotaChange:
    """A change of one resource: of a group's ``guaranteed``, ``limit`` or ``each``, or of a user's ``cap``.

    ``amount`` replaces what the configuration says, or is added to it with ``added``; None takes a limit or cap away,
    and of a guarantee leaves nothing. It is in force from ``start`` (0: at once) until ``end`` (None: for good), unless
    it was taken back at ``undone``. The user ``default`` stands for all who have no cap of their own.
    """

    change_id: str
    at: float
    author: str
    reason: str
    part: QuotaPart
    name: str
    resource: str
    amount: float | None
    added: bool = False
    start: float = 0.0
    end: float | None = None
    undone: float | None = None
    undone_by: str = ""

    def in_force(self, now: float) -> bool:
        """Whether it counts at that moment."""
        return self.undone is None and self.start <= now and (self.end is None or now < self.end)

    @property
    def target(self) -> Target:
        """The number that it is about."""
        return self.part, self.name, self.resource


def effective(quotas: Quotas, changes: Iterable[QuotaChange], now: float) -> Quotas:
    """Return the quotas in force at ``now``; the very same object where no change is."""
    changed = _changed(quotas, changes, now)
    if changed is quotas:
        return quotas
    groups = {name: _within_limits(group) for name, group in changed.groups.items()}
    return changed.model_copy(update={"groups": groups})


def contradictions(quotas: Quotas, changes: Iterable[QuotaChange], now: float) -> Iterator[Message]:
    """Say of each guarantee in force that it was cut to the limit, for administrators."""
    for name, group in _changed(quotas, changes, now).groups.items():
        for resource, message in excesses_of(group):
            yield Message.of(GUARANTEE_CUT, group=plain(name), resource=resource, contradiction=message)


def span(changes: Iterable[QuotaChange], now: float) -> tuple[float, float]:
    """Return since when, and until when, the same changes are in force as at ``now``."""
    moments = [moment for one in changes for moment in _moments(one)]
    since = max((moment for moment in moments if moment <= now), default=float("-inf"))
    return since, min((moment for moment in moments if moment > now), default=float("inf"))


def quotas_ahead(
    quotas: Quotas, changes: Iterable[QuotaChange], now: float, names: Collection[str]
) -> Iterator[Quotas]:
    """Yield the quotas of some groups and users as they are now, and as each change that is made already leaves them.

    Whoever asks about a person names ``default`` as well.
    """
    concerned = [one for one in changes if one.name in names]
    yield effective(quotas, concerned, now)
    for moment in sorted({moment for one in concerned for moment in _moments(one) if moment > now}):
        yield effective(quotas, concerned, moment)


def next_change(changes: Iterable[QuotaChange], now: float) -> float | None:
    """Return when a change begins or ends next; None if none does."""
    until = span(changes, now)[1]
    return None if until == float("inf") else until


def check_changes(
    quotas: Quotas, before: Sequence[QuotaChange], after: Sequence[QuotaChange], now: float
) -> Message | None:
    """Say what would contradict itself at any moment from ``now`` on by ``after``, and did not by ``before``."""
    names = {one.name for one in {*before} ^ {*after} if one.part != "cap"}
    before, after = ([one for one in made if one.name in names and one.part != "cap"] for made in (before, after))
    quotas = Quotas(groups={name: group for name, group in quotas.groups.items() if name in names})
    moments = {now, *(moment for one in (*before, *after) for moment in _moments(one) if moment > now)}
    for moment in sorted(moments):
        known = set(_contradicted(quotas, before, moment))
        for (group, resource), message in _contradicted(quotas, after, moment).items():
            if (group, resource) not in known:
                said = {"group": plain(group), "resource": resource, "contradiction": message}
                text = WOULD_CONTRADICT_NOW if moment == now else WOULD_CONTRADICT
                return Message.of(text, {**said, **({} if moment == now else {"moment": write_moment(moment)})})
    return None


def value_of(quotas: Quotas, part: QuotaPart, name: str, resource: str) -> float | None:
    """Return a number as it stands; None where nothing limits it. What is not guaranteed is 0."""
    group = quotas.groups.get(name, GroupQuota())
    if part == "guaranteed":
        return group.guaranteed.get(resource, 0.0)
    if part == "limit":
        return group.limit.get(resource)
    own = group.each if part == "each" else quotas.users.get(name)
    return _cap_of(own, quotas.users.get(DEFAULT_USER), resource)


def _moments(one: QuotaChange) -> tuple[float, ...]:
    if one.undone is not None:
        return ()
    return (one.start,) if one.end is None else (one.start, one.end)


def _contradicted(quotas: Quotas, changes: Iterable[QuotaChange], now: float) -> dict[tuple[str, str], Message]:
    groups = _changed(quotas, changes, now).groups
    return {(name, resource): told for name, group in groups.items() for resource, told in excesses_of(group)}


def _changed(quotas: Quotas, changes: Iterable[QuotaChange], now: float) -> Quotas:
    """Return the quotas with the changes in force, whatever comes of them."""
    live = sorted((one for one in changes if one.in_force(now)), key=lambda one: (one.at, one.change_id))
    if not live:
        return quotas
    values: dict[Target, float | None] = {}
    for one in live:
        values[one.target] = _applied(one, _value_now(quotas, values, one.target))
    groups, users = dict(quotas.groups), dict(quotas.users)
    for (part, name), amounts in _by_part(values).items():
        if part == "cap":
            users[name] = _with_caps(users.get(name), amounts)
        else:
            groups[name] = _with_amounts(groups.get(name, GroupQuota()), part, amounts)
    return quotas.model_copy(update={"groups": groups, "users": users})


def _value_now(quotas: Quotas, values: Mapping[Target, float | None], target: Target) -> float | None:
    """Return a number as the changes before have left it."""
    if target in values:
        return values[target]
    part, name, resource = target
    usual: Target = ("cap", DEFAULT_USER, resource)
    if part in ("each", "cap") and usual in values:
        group = quotas.groups.get(name)
        own = quotas.users.get(name) if part == "cap" else group.each if group is not None else None
        if own is None or (resource not in own.limit and resource not in own.uncapped):
            return values[usual]
    return value_of(quotas, part, name, resource)


def _by_part(values: Mapping[Target, float | None]) -> dict[tuple[QuotaPart, str], dict[str, float | None]]:
    parts: dict[tuple[QuotaPart, str], dict[str, float | None]] = {}
    for (part, name, resource), value in values.items():
        parts.setdefault((part, name), {})[resource] = value
    return parts


def _applied(change: QuotaChange, value: float | None) -> float | None:
    if not change.added or change.amount is None:
        return change.amount
    if value is None:  # what nothing limits is not limited by more, or less
        return None
    return from_micro(min(max(0, to_micro(value) + to_micro(change.amount)), to_micro(MOST)))


def _cap_of(own: UserCap | None, default: UserCap | None, resource: str) -> float | None:
    if own is not None and (resource in own.limit or resource in own.uncapped):
        return own.limit.get(resource)
    return default.limit.get(resource) if default is not None else None


def _with_caps(cap: UserCap | None, changed: Mapping[str, float | None]) -> UserCap:
    cap = cap or UserCap()
    uncapped = (cap.uncapped - changed.keys()) | {resource for resource, value in changed.items() if value is None}
    return UserCap(soft=cap.soft, **_amounts(cap.limit, changed)).without_caps_on(uncapped)


def _with_amounts(group: GroupQuota, part: QuotaPart, changed: Mapping[str, float | None]) -> GroupQuota:
    if part == "each":
        return group.model_copy(update={"each": _with_caps(group.each, changed)})
    return group.model_copy(update={part: _amounts(group.guaranteed if part == "guaranteed" else group.limit, changed)})


def _amounts(before: Mapping[str, float], changed: Mapping[str, float | None]) -> dict[str, float]:
    return {resource: value for resource, value in {**before, **changed}.items() if value is not None}


def _within_limits(group: GroupQuota) -> GroupQuota:
    """Cut the guarantees to what the limits leave of them; of those by type, the last ones lose."""
    if next(excesses_of(group), None) is None:
        return group
    limit: Mapping[str, float] = group.limit
    left = to_micro(limit.get(GPU, 4 * MOST))
    guaranteed = {}
    for resource, amount in group.guaranteed.items():
        most = min(to_micro(amount), to_micro(limit.get(resource, amount)))
        if resource.startswith(GPU_PREFIX):
            most = min(most, left)
            left -= most
        guaranteed[resource] = from_micro(most)
    return group.model_copy(update={"guaranteed": guaranteed})


def describe_value(value: float | None) -> Message | str:
    """Return a number for a sentence."""
    return format_number(value) if value is not None else Message(N_("no limit"))
