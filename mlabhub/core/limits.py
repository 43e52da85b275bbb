"""Quotas applied to one request: which limits it would exceed, in words.

Guarantees: sums are compared exactly; a request that brings a group or user to its limit is within it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mlabhub.core.holdings import Holdings, Usage
from mlabhub.core.profiles import LaunchRequest
from mlabhub.core.quotas import Quotas
from mlabhub.core.quote import plain
from mlabhub.core.reasons import Reason, amount_of, describe_holders, describe_servers, unit_of
from mlabhub.core.units import format_number, from_micro, to_micro
from mlabhub.messages import N_, Message


@dataclass(frozen=True)
class _Excess:
    """One limit that one request would exceed; amounts in millionths."""

    name: str
    resource: str
    asked: int
    limit: int
    usage: Usage

    @property
    def never(self) -> bool:
        return self.asked > self.limit

    @property
    def left(self) -> int:
        return self.limit - self.usage.get(self.resource)

    def say(self, template: str, **more: object) -> Message:
        """Build a sentence from the amounts."""
        return Message.of(
            template,
            more,
            name=plain(self.name),
            asked=amount_of(self.resource, from_micro(self.asked)),
            used=format_number(from_micro(self.usage.get(self.resource))),
            limit=format_number(from_micro(self.limit)),
            unit=unit_of(self.resource),
            left=amount_of(self.resource, from_micro(self.left)),
        )


def limit_reasons(
    request: LaunchRequest, vector: Mapping[str, float], quotas: Quotas, holdings: Holdings
) -> tuple[Reason, ...]:
    """Return a reason for each limit of the paying group and of the user that ``vector`` would exceed."""
    reasons = []
    if request.group is not None:
        limit = quotas.group_limit(request.group)
        for excess in _excesses(request.group, vector, limit, holdings.group(request.group)):
            reasons.append(_group_reason(excess))
    for excess in _excesses(request.user, vector, quotas.user_limit(request.user), holdings.user(request.user)):
        reasons.append(_user_reason(excess, holdings))
    return tuple(reasons)


def _excesses(name: str, vector: Mapping[str, float], limit: Mapping[str, float], usage: Usage) -> Iterator[_Excess]:
    for resource, amount in vector.items():
        if amount and resource in limit:
            asked, bound = to_micro(amount), to_micro(limit[resource])
            if usage.get(resource) + asked > bound:
                yield _Excess(name, resource, asked, bound, usage)


def _group_reason(excess: _Excess) -> Reason:
    if excess.never:
        template = N_(
            "{asked} is more than {name} may ever hold: its limit is {limit} {unit}. "
            "Take less, or ask an administrator for a higher limit."
        )
        return Reason("group_never", excess.say(template))
    holders = describe_holders(excess.usage.holders(excess.resource))
    if excess.left > 0:
        template = N_(
            "{name} holds {used} of {limit} {unit}: {holders}. "
            "{left} would be within the limit; for more, wait until one of them stops."
        )
    else:
        template = N_(
            "{name} holds {used} of {limit} {unit}: {holders}. "
            "Wait until one of them stops, or ask an administrator for a higher limit."
        )
    return Reason("group_limit", excess.say(template, holders=holders))


def _user_reason(excess: _Excess, holdings: Holdings) -> Reason:
    if excess.never:
        template = N_(
            "{asked} is more than {name} may ever hold: the cap is {limit} {unit}. "
            "Take less, or ask an administrator for a higher cap."
        )
        return Reason("user_never", excess.say(template))
    if excess.left > 0:
        template = N_(
            "{name} holds {used} of {limit} {unit} on servers: {servers}. "
            "{left} would be within the cap; for more, stop one of them."
        )
    else:
        template = N_(
            "{name} holds {used} of {limit} {unit} on servers: {servers}. "
            "Stop one of them, or ask an administrator for a higher cap."
        )
    servers = describe_servers(holdings.holdings_of(excess.usage), excess.resource)
    return Reason("user_limit", excess.say(template, servers=servers))
