"""Quotas: what a group may always count on, what it may hold at most, and each person's own cap; and who sees whom.

Guarantees: amounts are finite and not negative; a guarantee never exceeds the limit beside it. A resource that is
absent from a limit is not limited by it; an absent guarantee is 0. A group without an entry is not limited as a group.
A person's cap on a resource is their own; where they have none, that of the group that pays (``each``), and else that
of ``default``; the same holds for ``soft``. It counts all that the person holds, whoever pays for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PrivateAttr,
    model_validator,
)
from pydantic_core import CoreSchema

from mlabhub.core.moments import Moment, write_moment
from mlabhub.core.privacy import Privacy
from mlabhub.core.schema import Amount, KeyFault, Model, Text, key_faults
from mlabhub.core.tools import Minutes
from mlabhub.core.units import GPU, GPU_PREFIX, RESOURCE_PATTERN, format_number, from_micro, is_resource, to_micro
from mlabhub.messages import N_, Message

DEFAULT_USER = "default"


NO_RESOURCE = N_("is not a resource; there are cpu, memory_gib, servers, gpu, and gpu:TYPE such as gpu:a100")
BEYOND_LIMIT = N_("guarantees {amount}, more than the limit of {limit} {bound}; lower one or raise the other")
TYPES_BEYOND_LIMIT = N_(
    "brings what is guaranteed by type to {amount}, more than the limit of {limit} {bound}; "
    "lower one or raise the other"
)
NOT_SOFT = N_("must be true, false or a list of resources such as [gpu]")


def _resource(name: str) -> str:
    if not is_resource(name):
        raise key_faults([KeyFault((), Message(NO_RESOURCE))])
    return name


def _soft(value: object) -> object:
    if value is None or isinstance(value, bool):
        return value
    if not isinstance(value, list | tuple):
        raise key_faults([KeyFault((), Message(NOT_SOFT))])
    wrong = [index for index, one in enumerate(value) if not isinstance(one, str) or not is_resource(one)]
    if wrong:
        raise key_faults([KeyFault((index,), Message(NO_RESOURCE)) for index in wrong])
    return tuple(value)


Resource = Annotated[str, AfterValidator(_resource)]
Amounts = Annotated[
    dict[Resource, Amount], Field(json_schema_extra={"propertyNames": {"pattern": f"^({RESOURCE_PATTERN})$"}})
]


class UserCap(Model):
    """One person's cap: amounts of ``cpu``, ``memory_gib``, ``servers``, ``gpu`` and ``gpu:TYPE``, each a key."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[Resource, Amount]

    _uncapped: frozenset[str] = PrivateAttr(frozenset())
    soft: Annotated[bool | tuple[str, ...] | None, BeforeValidator(_soft)] = Field(
        default=None,
        description="Whether these caps count only while others wait: true, false, or the resources whose caps are so.",
    )

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Describe the resources, which are keys as well."""
        full = handler.resolve_ref_schema(handler(core_schema))
        full["propertyNames"] = {"pattern": f"^(soft|{RESOURCE_PATTERN})$"}
        return full

    @property
    def limit(self) -> Mapping[str, float]:
        """The amounts by resource."""
        return self.__pydantic_extra__

    @property
    def uncapped(self) -> frozenset[str]:
        """The resources on which there is no cap, whatever the others' is."""
        return self._uncapped

    def without_caps_on(self, resources: frozenset[str]) -> UserCap:
        """Return it with no cap on these, whatever the others' is."""
        cap = self.model_copy()
        cap._uncapped = resources
        return cap


class GroupQuota(Model):
    """One group's share."""

    guaranteed: Amounts = Field(default_factory=dict, description="What the group may always count on.")
    limit: Amounts = Field(default_factory=dict, description="What its members may hold together at most.")
    each: UserCap | None = Field(
        default=None,
        description="What one person may hold when the group pays, in place of what `default` of `users` says; "
        "a person's own entry there goes before it.",
    )

    @model_validator(mode="after")
    def _guarantees_fit(self) -> GroupQuota:
        faults = [KeyFault(("guaranteed", resource), message) for resource, message in excesses_of(self)]
        if faults:
            raise key_faults(faults)
        return self


def excesses_of(quota: GroupQuota) -> Iterator[tuple[str, Message]]:
    """Yield the guarantees that the limits beside them contradict, and say how.

    Those by type are bounded by the limit on all GPUs as well, each of them and together.
    """
    typed = {one: amount for one, amount in quota.guaranteed.items() if one.startswith(GPU_PREFIX)}
    contradicted = False
    for resource, amount in quota.guaranteed.items():
        for bound in [resource, GPU] if resource in typed else [resource]:
            if to_micro(amount) > to_micro(quota.limit.get(bound, amount)):
                contradicted = contradicted or bound == GPU
                yield resource, _beyond(BEYOND_LIMIT, amount, quota.limit[bound], bound)
    together = from_micro(sum(map(to_micro, typed.values())))
    if typed and not contradicted and to_micro(together) > to_micro(quota.limit.get(GPU, together)):
        yield next(reversed(typed)), _beyond(TYPES_BEYOND_LIMIT, together, quota.limit[GPU], GPU)


def _beyond(text: str, amount: float, limit: float, bound: str) -> Message:
    return Message.of(text, amount=format_number(amount), limit=format_number(limit), bound=bound)


ALL_NODES = "*"


class Maintenance(Model):
    """A time in which machines are closed: nothing new starts there."""

    nodes: tuple[Text, ...] = Field(
        min_length=1, description='Machines by their names, as `mlabhub gpus` shows them; ["*"]: all.'
    )
    start: Moment = Field(alias="from", description="When it begins, with the zone: 2026-12-01T18:00+01:00.")
    until: Moment = Field(description="When it ends, with the zone.")
    reason: Text = Field(description="What for; people read it.")

    @model_validator(mode="after")
    def _ends_after_its_start(self) -> Maintenance:
        if self.until <= self.start:
            message = Message.of(N_("must be later than from, {start}"), start=write_moment(self.start))
            raise key_faults([KeyFault(("until",), message)])
        return self

    def concerns(self, node: str) -> bool:
        """Whether it is about a machine."""
        return node in self.nodes or ALL_NODES in self.nodes


class Quotas(Model):
    """``quotas.yaml``."""

    groups: dict[str, GroupQuota] = Field(default_factory=dict, description="Shares by group of the hub.")
    users: dict[str, UserCap] = Field(
        default_factory=dict, description="What one person may hold; `default` is for all who have no entry."
    )
    privacy: Privacy = Field(
        default="group",
        description="Whose names people see beside what is held: `open` all, `group` those whom one of their own "
        "groups pays for, `self` only their own. Administrators see all.",
    )
    notice_seconds: Amount = Field(
        default=600.0, description="How long a borrower is told before a borrowed GPU is taken back."
    )
    claim_minutes: Minutes = Field(
        default=15.0, description="How long a server that was started from the queue waits to be used."
    )
    half_life_days: Annotated[float, Field(strict=True, ge=0.01, le=3650, allow_inf_nan=False)] = Field(
        default=7.0,
        description="After how many days what somebody used counts half when it is decided whose turn it is.",
    )
    max_reclaims: int = Field(
        default=3, strict=True, ge=0, le=1000, description="How often one launch may be taken back at most; 0: never."
    )
    owner_wait_hours: Annotated[float, Field(strict=True, ge=0, le=8760, allow_inf_nan=False)] = Field(
        default=72.0,
        description="How long an owner waits at most, beyond the notice, for what is lent to end by itself where much "
        "would be lost by taking it back; 0: not at all.",
    )
    maintenance: tuple[Maintenance, ...] = Field(
        default=(), max_length=1000, description="When which machines are closed, so that nothing new starts on them."
    )
    cpu_overcommit: Annotated[float, Field(strict=True, ge=1, le=1000, allow_inf_nan=False)] = Field(
        default=1.0,
        description="How many times a machine's CPUs are handed out; one server never gets more than it has.",
    )

    def group_limit(self, group: str | None) -> Mapping[str, float]:
        """Return what ``group`` may hold at most; empty when nothing limits it."""
        entry = self.groups.get(group) if group is not None else None
        return entry.limit if entry else {}

    def user_limit(self, user: str, group: str | None = None) -> Mapping[str, float]:
        """Return what ``user`` may hold at most when ``group`` pays, by caps hard and soft."""
        caps = self._caps_of(user, group)
        if len(caps) == 1:
            return caps[0].limit
        limit: dict[str, float] = {}
        for cap in reversed(caps):
            limit = {one: amount for one, amount in limit.items() if one not in cap.uncapped} if cap.uncapped else limit
            limit |= cap.limit
        return limit

    def user_soft(self, user: str, group: str | None = None) -> frozenset[str]:
        """Return the resources on which the cap of ``user`` counts only while others wait."""
        soft = next((cap.soft for cap in self._caps_of(user, group) if cap.soft is not None), ())
        return frozenset(self.user_limit(user, group) if soft is True else soft or ())

    def maintenance_of(self, node: str, now: float) -> Maintenance | None:
        """Return the maintenance that closes a machine now, or else the next one that will."""
        ahead = (one for one in self.maintenance if one.until > now and one.concerns(node))
        return min(ahead, key=lambda one: one.start, default=None)

    def _caps_of(self, user: str, group: str | None) -> list[UserCap]:
        """Return the caps of a user, the first one first."""
        entry = self.groups.get(group) if group is not None else None
        own = self.users.get(user) if user != DEFAULT_USER else None
        caps = (own, entry.each if entry else None, self.users.get(DEFAULT_USER))
        return [cap for cap in caps if cap is not None]


def default_payer(quotas: Quotas, groups: Sequence[str]) -> str | None:
    """Return who pays when nothing is said: the first group with a quota, else the first group, else nobody."""
    with_quota = (group for group in groups if group in quotas.groups)
    return next(with_quota, groups[0] if groups else None)
