"""Quotas applied to one request: which limits it would exceed, in words.

Guarantees: sums are compared exactly; a request that brings a group or user to its limit is within it; a soft cap
counts while somebody else waits for what it is about, and only then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mlabhub.core.capacity import Placement
from mlabhub.core.holdings import Holding, Holdings, Usage
from mlabhub.core.privacy import Viewer
from mlabhub.core.profiles import LaunchRequest
from mlabhub.core.quotas import Quotas
from mlabhub.core.quote import plain
from mlabhub.core.reasons import Reason, amount_of, describe_holders, describe_servers, listed, sentences, unit_of
from mlabhub.core.units import SERVERS, amounts, format_number, from_micro, to_micro
from mlabhub.core.waiting import Waiting, others_wait
from mlabhub.messages import N_, Message

MOST_TO_STOP = 3

HOLDS = N_("{name} holds {used} of {limit} {unit}: {holders}.")
HOLDS_ON_SERVERS = N_("{name} holds {used} of {limit} {unit} on servers: {servers}.")
OTHERS_WAIT = N_("Others wait, so the cap of {limit} {unit} counts.")
SOFT_LESS = N_("Take {left} or less, or wait until nobody else waits.")
SOFT_WAIT = N_("Wait until nobody else waits.")
GROUP_LESS = N_("Take {left} or less, or wait until one of them stops.")
GROUP_WAIT = N_("Wait until one of them stops, or ask an administrator for a higher limit.")
GROUP_NEVER = N_(
    "{asked} is more than {name} may ever hold: its limit is {limit} {unit}. "
    "Take {most} or less, or ask an administrator for a higher limit."
)
GROUP_NONE = N_(
    "{name} may hold no {unit}: its limit is 0. Choose something without, or ask an administrator for a higher limit."
)
USER_LESS = N_("Take {left} or less, or stop {stop}.")
USER_STOPPING = N_("Wait until {stop} has stopped.")
USER_STOP = N_("Stop {stop}, or ask an administrator for a higher cap.")
USER_NEVER = N_(
    "{asked} is more than {name} may ever hold: the cap is {limit} {unit}. "
    "Take {most} or less, or ask an administrator for a higher cap."
)
USER_NONE = N_(
    "{name} may hold no {unit}: the cap is 0. Choose something without, or ask an administrator for a higher cap."
)
YOUR_SOFT_CAP = N_("Beyond your cap of {limit} {unit}: counted again as soon as others wait.")
SOFT_CAP = N_("Beyond the cap of {limit} {unit} of {name}: counted again as soon as others wait.")


@dataclass(frozen=True)
class _Excess:
    """One limit that one request would exceed; amounts in millionths. ``soft``: the limit counts while others wait."""

    name: str
    resource: str
    asked: int
    limit: int
    usage: Usage
    soft: bool = False

    @property
    def never(self) -> bool:
        return self.asked > self.limit and not self.soft

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
            most=amount_of(self.resource, from_micro(self.limit)),
        )


def keeps_limits(
    request: LaunchRequest,
    vector: Mapping[str, float],
    quotas: Quotas,
    holdings: Holdings,
    queue: Sequence[Waiting],
) -> bool:
    """Return whether no limit stands in the way of ``vector``."""
    if request.group is not None:
        limit = quotas.group_limit(request.group)
        if limit and next(_excesses(request.group, vector, limit, holdings.group(request.group)), None) is not None:
            return False
    return next(_user_excesses(request, vector, quotas, holdings, queue), None) is None


def limit_reasons(
    request: LaunchRequest,
    vector: Mapping[str, float],
    quotas: Quotas,
    holdings: Holdings,
    queue: Sequence[Waiting],
    viewer: Viewer,
) -> tuple[Reason, ...]:
    """Return a reason for each limit of the paying group and of the user that ``vector`` would exceed."""
    reasons = []
    if request.group is not None:
        limit = quotas.group_limit(request.group)
        for excess in _excesses(request.group, vector, limit, holdings.group(request.group)):
            reasons.append(_group_reason(excess, viewer))
    for excess in _user_excesses(request, vector, quotas, holdings, queue):
        reasons.append(_user_reason(excess, holdings))
    return tuple(reasons)


def soft_notes(
    request: LaunchRequest, placement: Placement, quotas: Quotas, holdings: Holdings, viewer: Viewer | None
) -> tuple[Reason, ...]:
    """Return a note for each soft cap that a request goes beyond which is admitted; no viewer is the user."""
    soft = quotas.user_soft(request.user, request.group)
    if not soft:
        return ()
    vector = amounts(request.cpu, request.memory_gib, placement.gpu_type, request.gpus)
    beyond = _excesses(
        request.user, vector, quotas.user_limit(request.user, request.group), holdings.user(request.user)
    )
    template = YOUR_SOFT_CAP if viewer is None or viewer.name == request.user else SOFT_CAP
    return tuple(
        Reason("beyond_soft_cap", excess.say(template), excess.resource) for excess in beyond if excess.resource in soft
    )


def _excesses(
    name: str, vector: Mapping[str, float], limit: Mapping[str, float], usage: Usage, soft: bool = False
) -> Iterator[_Excess]:
    for resource, amount in vector.items():
        if amount and resource in limit:
            asked, bound = to_micro(amount), to_micro(limit[resource])
            if usage.get(resource) + asked > bound:
                yield _Excess(name, resource, asked, bound, usage, soft)


def _user_excesses(
    request: LaunchRequest,
    vector: Mapping[str, float],
    quotas: Quotas,
    holdings: Holdings,
    queue: Sequence[Waiting],
) -> Iterator[_Excess]:
    """Return the caps of the user that count now."""
    user, group = request.user, request.group
    soft = quotas.user_soft(user, group)
    for excess in _excesses(user, vector, quotas.user_limit(user, group), holdings.user(user)):
        if excess.resource not in soft:
            yield excess
        elif others_wait(queue, request, excess.resource):
            yield _Excess(user, excess.resource, excess.asked, excess.limit, excess.usage, soft=True)


def _group_reason(excess: _Excess, viewer: Viewer) -> Reason:
    if excess.never:
        return Reason("group_never", excess.say(GROUP_NEVER if excess.limit else GROUP_NONE), excess.resource)
    holders = describe_holders(excess.usage.holders(excess.resource), excess.name, viewer)
    parts = [excess.say(HOLDS, holders=holders), excess.say(GROUP_LESS if excess.left > 0 else GROUP_WAIT)]
    return Reason("group_limit", sentences(parts), excess.resource)


def _user_reason(excess: _Excess, holdings: Holdings) -> Reason:
    if excess.never:
        return Reason("user_never", excess.say(USER_NEVER if excess.limit else USER_NONE), excess.resource)
    parts = []
    if excess.usage.get(excess.resource):
        servers = describe_servers(holdings.holdings_of(excess.usage), excess.resource)
        template = HOLDS if excess.resource == SERVERS else HOLDS_ON_SERVERS
        parts.append(excess.say(template, servers=servers, holders=servers))
    if excess.soft:
        parts.append(excess.say(OTHERS_WAIT))
    if excess.asked > excess.limit:
        parts.append(excess.say(SOFT_LESS if excess.left > 0 else SOFT_WAIT))
    else:
        parts.append(_how_to_make_room(excess, list(holdings.holdings_of(excess.usage))))
    return Reason("user_limit", sentences(parts), excess.resource)


def _how_to_make_room(excess: _Excess, servers: Sequence[Holding]) -> Message:
    """Say what to take or to stop; of servers that are being stopped already, only that they are waited for."""
    stopping = [one for one in servers if one.state == "stopping"]
    if sum(to_micro(one.amounts.get(excess.resource, 0)) for one in stopping) >= excess.asked - excess.left:
        return excess.say(USER_STOPPING, stop=_what_to_stop(excess, stopping))
    template = USER_LESS if excess.left > 0 else USER_STOP
    return excess.say(template, stop=_what_to_stop(excess, servers))


def _what_to_stop(excess: _Excess, servers: Sequence[Holding]) -> Message | str:
    """Name the smallest server that makes room for the request; where none does alone, the largest ones together."""
    resource, need = excess.resource, excess.asked - excess.left
    held = [(to_micro(one.amounts.get(resource, 0)), one.server) for one in servers]
    chosen = sorted(one for one in held if one[0] >= need)[:1]
    for one in () if chosen else sorted(held, key=lambda one: (-one[0], one[1])):
        if need > 0 and one[0]:
            chosen.append(one)
            need -= one[0]
    return _all_of([_server_and_part(server, amount, resource) for amount, server in chosen])


def _server_and_part(server: str, amount: int, resource: str) -> str:
    name = server or "default"
    return name if resource == SERVERS else f"{name} ({format_number(from_micro(amount))})"


def _all_of(names: Sequence[str]) -> Message | str:
    if len(names) > MOST_TO_STOP or len(names) < 2:
        return listed(names[:MOST_TO_STOP], len(names))
    return Message.of(N_("{first} and {second}"), first=", ".join(names[:-1]), second=names[-1])
