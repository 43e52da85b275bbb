"""Quotas in words and bars: what is held of what one may hold, what is borrowed, what was changed by whom and why.

Guarantees: pure; what nothing limits is said to be so, never drawn as if it were nothing or all; a bar says nothing
that the words beside it do not say.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from mlabhub.core.quota_changes import QuotaChange, QuotaPart
from mlabhub.core.quotas import DEFAULT_USER
from mlabhub.core.quote import plain
from mlabhub.core.reasons import unit_of
from mlabhub.core.units import CPU, GPU, MEMORY, SERVERS
from mlabhub.i18n import N_, Translator
from mlabhub.service.pages.queueing import Url
from mlabhub.service.pages.quota_bars import Meter, lends, make_meter
from mlabhub.service.pages.waits import local
from mlabhub.service.pages.words import list_text
from mlabhub.service.views import QuotaChangeView, UsageView

PARTS: dict[QuotaPart, str] = {
    "guaranteed": N_("Guaranteed"),
    "limit": N_("Limit"),
    "each": N_("One person's cap"),
    "cap": N_("Cap"),
}
STATES = {
    "in force": N_("in force"),
    "ahead": N_("not yet in force"),
    "over": N_("over"),
    "undone": N_("undone by {user}"),
}
NAMES = {MEMORY: N_("Memory (GiB)"), SERVERS: N_("Servers")}
ORDER = {GPU: 0, CPU: 2, MEMORY: 3, SERVERS: 4}


@dataclass(frozen=True)
class Line:
    """One resource; without a ``meter`` where nothing bounds it, so that there is nothing to draw it against."""

    name: str
    text: str
    meter: Meter | None


@dataclass(frozen=True)
class UsageCard:
    """A group or a person with its lines; ``remarks`` are what a line has no room for."""

    name: str
    url: str
    lines: list[Line]
    remarks: list[str]


@dataclass(frozen=True)
class ChangeRow:
    """One change of quotas; ``undo_url`` where it can be taken back."""

    change_id: str
    name: str
    url: str
    what: str
    made: datetime
    author: str
    reason: str
    start: str
    end: str
    state: str
    counts: bool
    undo_url: str


def make_card(usage: UsageView, t: Translator, url: str) -> UsageCard:
    """Return what a group or a person holds and may hold, the scarcest first."""
    named = {one for part in (usage.limit, usage.guaranteed, usage.used) for one in part}
    shown = [one for one in sorted(named, key=_order) if one in usage.limit or one in usage.guaranteed or _counts(one)]
    each = list_text(t, (_amount(t, one, usage.each[one]) for one in sorted(usage.each, key=_order)))
    remarks = [t(N_("When it pays, one person may hold at most {what}."), what=each)] if each else []
    return UsageCard(plain(usage.name), url, [make_line(usage, one, t) for one in shown], remarks)


def make_line(usage: UsageView, resource: str, t: Translator) -> Line:
    """Return the line of one resource."""
    used, limit = usage.used.get(resource, 0.0), usage.limit.get(resource)
    guaranteed = usage.guaranteed.get(resource)
    borrowed = usage.borrowed.get(resource, 0.0) if lends(usage, resource) else 0.0
    parts = [
        t(N_("{used} used, no limit"), used=used)
        if limit is None
        else t(N_("{used} of {limit} used"), used=used, limit=limit)
    ]
    if guaranteed is not None:
        parts.append(t(N_("{amount} guaranteed"), amount=guaranteed))
    if borrowed:
        parts.append(t(N_("{amount} borrowed"), amount=borrowed))
    if resource in usage.soft:
        parts.append(t(N_("more while nobody waits")))
    drawn = (limit is not None or guaranteed is not None) and any((limit, guaranteed, used))
    return Line(line_name(resource, t), " · ".join(parts), make_meter(usage, resource) if drawn else None)


def line_name(resource: str, t: Translator) -> str:
    """Return a resource's name where it stands by itself, as before its bar."""
    return t(NAMES[resource]) if resource in NAMES else t.say(unit_of(resource))


def make_changes(
    changes: Iterable[QuotaChangeView], t: Translator, url: Url, now: datetime, *, admin: bool
) -> list[ChangeRow]:
    """Return changes as lines, in the order given."""
    return [_change_row(one, t, url, now, admin) for one in changes]


def _change_row(one: QuotaChangeView, t: Translator, url: Url, now: datetime, admin: bool) -> ChangeRow:
    counts = one.state in ("in force", "ahead")
    return ChangeRow(
        change_id=one.change_id,
        name=name_text(one.name, t, of_user=one.part == "cap"),
        url=quota_url(url, one.name, of_user=one.part == "cap"),
        what=change_text(one, t),
        made=local(one.at),
        author=plain(one.author),
        reason=one.reason,
        start=t.moment(local(one.start or one.at), now),
        end=t.moment(local(one.end), now) if one.end is not None else t(N_("for good")),
        state=t(STATES[one.state], user=plain(one.undone_by)) if one.state == "undone" else t(STATES[one.state]),
        counts=counts,
        undo_url=url("undo-quota", change=one.change_id) if admin and counts else "",
    )


def quota_url(url: Url, name: str, *, of_user: bool) -> str:
    """Return the address of a group's or a person's quota."""
    return url("quotas/of", **{"person" if of_user else "group": name})


def name_text(name: str, t: Translator, *, of_user: bool) -> str:
    """Return whom a quota is about."""
    return t(N_("everybody without a cap of their own")) if of_user and name == DEFAULT_USER else plain(name)


def change_text(one: QuotaChangeView | QuotaChange, t: Translator) -> str:
    """Say what is changed: ``Limit, A100: +2``."""
    if one.amount is None:
        amount = t(N_("nothing")) if one.part == "guaranteed" else t(N_("no limit"))
    else:
        amount = f"{'+' if one.added and one.amount >= 0 else ''}{t.number(one.amount)}"
    return t(N_("{part}, {unit}: {amount}"), part=t(PARTS[one.part]), unit=line_name(one.resource, t), amount=amount)


def value_text(value: float | None, t: Translator) -> str:
    """Return a number, or that there is none."""
    return t(N_("no limit")) if value is None else t.number(value)


def _amount(t: Translator, resource: str, amount: float) -> str:
    return t(N_("{number} {unit}"), number=amount, unit=t.say(unit_of(resource)))


def _counts(resource: str) -> bool:
    """Whether it is worth a line although nothing bounds it: GPUs in all are."""
    return resource == GPU


def _order(resource: str) -> tuple[int, str]:
    return ORDER.get(resource, 1), resource
