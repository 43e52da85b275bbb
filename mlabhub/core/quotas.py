"""Quotas: what a group may always count on, what it may hold at most, and each person's own cap.

Guarantees: amounts are finite and not negative; a guarantee never exceeds the limit beside it. A resource that is
absent from a limit is not limited by it; an absent guarantee is 0. A group without an entry is not limited as a group;
a user without an entry has the caps of ``default``, and a user with one has those it does not name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from mlabhub.core.schema import FAULT, Amount, KeyFault, Model, key_faults
from mlabhub.core.units import GPU, GPU_PREFIX, RESOURCE_PATTERN, format_number, is_resource
from mlabhub.messages import N_, Message

DEFAULT_USER = "default"


def _resource(name: str) -> str:
    if not is_resource(name):
        message = Message(
            N_("is not a resource; there are cpu, memory_gib, servers, gpu, and gpu:TYPE such as gpu:a100")
        )
        raise PydanticCustomError(FAULT, "{text}", {"faults": (KeyFault((), message),), "text": str(message)})
    return name


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


class Quotas(Model):
    """``quotas.yaml``."""

    groups: dict[str, GroupQuota] = Field(default_factory=dict, description="Shares by group of the hub.")
    users: dict[str, Amounts] = Field(
        default_factory=dict, description="What one person may hold; `default` is for all who have no entry."
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
        """Return what ``user`` may hold at most."""
        return {**self.users.get(DEFAULT_USER, {}), **self.users.get(user, {})}
