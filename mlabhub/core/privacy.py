"""Who may learn who holds what: one setting for a whole installation, and one function that everything asks.

Guarantees: one always sees what is one's own, administrators see everything, and nobody else sees more than the
setting gives: ``open`` everybody, ``group`` what one of the viewer's groups pays for, ``self`` nothing of others.
Without a viewer nothing of anybody is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

Privacy = Literal["open", "group", "self"]


class Held(Protocol):
    """What has a holder: a holding, a reservation."""

    @property
    def user(self) -> str:
        """Who holds it."""

    @property
    def group(self) -> str | None:
        """Which group pays."""


@dataclass(frozen=True)
class Viewer:
    """Who is told. ``groups`` are theirs at the hub, ``privacy`` is the installation's setting."""

    name: str
    groups: frozenset[str] = frozenset()
    admin: bool = False
    privacy: Privacy = "self"

    @property
    def sees_all(self) -> bool:
        """Whether nothing is kept from them."""
        return self.admin or self.privacy == "open"

    def may_see(self, held: Held) -> bool:
        """Whether this person may learn whose it is."""
        return self.may_know(held.user, held.group)

    def may_know(self, user: str, group: str | None) -> bool:
        """Whether this person may learn that ``user`` holds something that ``group`` pays for."""
        if self.sees_all or user == self.name:
            return True
        return self.privacy == "group" and group is not None and group in self.groups


EVERYTHING = Viewer("", admin=True)
"""For what only administrators read, as the audit."""
