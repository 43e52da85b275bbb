"""Quotas: what a group may always count on, what it may hold at most, and each person's own cap; and who sees whom.

Guarantees: amounts are finite and not negative; a guarantee never exceeds the limit beside it. A resource that is
absent from a limit is not limited by it; an absent guarantee is 0. A group without an entry is not limited as a group;
a user without an entry has the caps of ``default``, and a user with one has those it does not name, ``soft`` included.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from mlabhub.core.privacy import Privacy
from mlabhub.core.schema import Amount, KeyFault, Model, key_faults
from mlabhub.core.units import GPU, GPU_PREFIX, RESOURCE_PATTERN, format_number, is_resource
from mlabhub.messages import N_, Message

DEFAULT_USER = "default"


NO_RESOURCE = N_("is not a resource; there are cpu, memory_gib, servers, gpu, and gpu:TYPE such as gpu:a100")
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


class GroupQuota(Model):
    """One group's share."""

    guaranteed: Amounts = Field(default_factory=dict, description="What the group may always count on.")
    limit: Amounts = Field(default_factory=dict, description="What its members may hold together at most.")

    @model_validator(mode="after")
    def _guarantees_fit(self) -> GroupQuota:
        faults = []
        for resource, amount in self.guaranteed.items():
            bounds = [resource, GPU] if resource.startswith(GPU_PREFIX) else [resource]
            for bound in bounds:
                if amount > self.limit.get(bound, amount):
                    message = Message.of(
                        N_("guarantees {amount}, more than the limit of {limit} {bound}; lower one or raise the other"),
                        amount=format_number(amount),
                        limit=format_number(self.limit[bound]),
                        bound=bound,
                    )
                    faults.append(KeyFault(("guaranteed", resource), message))
        if faults:
            raise key_faults(faults)
        return self


class UserCap(Model):
    """One person's cap: amounts of ``cpu``, ``memory_gib``, ``servers``, ``gpu`` and ``gpu:TYPE``, each a key."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[Resource, Amount]

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
    cpu_overcommit: Annotated[float, Field(strict=True, ge=1, le=1000, allow_inf_nan=False)] = Field(
        default=1.0,
        description="How many times a machine's CPUs are handed out; one server never gets more than it has.",
    )

    def group_limit(self, group: str | None) -> Mapping[str, float]:
        """Return what ``group`` may hold at most; empty when nothing limits it."""
        entry = self.groups.get(group) if group is not None else None
        return entry.limit if entry else {}

    def user_limit(self, user: str) -> Mapping[str, float]:
        """Return what ``user`` may hold at most, by caps hard and soft."""
        own, default = self.users.get(user), self.users.get(DEFAULT_USER)
        if own is None or default is None:
            one = own or default
            return one.limit if one else {}
        return {**default.limit, **own.limit}

    def user_soft(self, user: str) -> frozenset[str]:
        """Return the resources on which the cap of ``user`` counts only while others wait."""
        own, default = self.users.get(user), self.users.get(DEFAULT_USER)
        soft = own.soft if own is not None else None
        if soft is None and default is not None:
            soft = default.soft
        return frozenset(self.user_limit(user) if soft is True else soft or ())
