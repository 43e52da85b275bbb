"""What the last round left: room that is promised, and GPUs that are not lent.

Guarantees: values. What a launch claims itself stands in nobody's way but others'.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from mlabhub.core.sharing.model import Claim, Round


@dataclass(frozen=True)
class Standing:
    """Claims, and how many GPUs of each type are not lent."""

    claims: tuple[Claim, ...] = ()
    kept: Mapping[str, int] = field(default_factory=dict, hash=False)

    @classmethod
    def after(cls, made: Round) -> Standing:
        """Return what a round left."""
        return cls(made.claims, made.kept)

    def without(self, waiter: str) -> Standing:
        """Return it for one who waits: what is kept for them is theirs."""
        return replace(self, claims=tuple(one for one in self.claims if one.waiter != waiter))

    @cached_property
    def by_node(self) -> Mapping[str, tuple[Claim, ...]]:
        """The claims by machine."""
        found: dict[str, tuple[Claim, ...]] = {}
        for one in self.claims:
            found[one.machine] = (*found.get(one.machine, ()), one)
        return found


NOTHING = Standing()
