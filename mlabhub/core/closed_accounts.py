"""An account that was closed: until when its files are kept, and what comes back when it is reopened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

AccountState = Literal["closed", "cleaned", "reopened"]


@dataclass(frozen=True)
class ClosedAccount:
    """The account of ``user``, closed at ``at`` by ``actor``. One user has one of these at a time: the last.

    Files are kept until ``keep_until``; ``cleaned``: they were removed after that. ``quota_changes`` are the user's own
    quotas that ended with it, to be in force again when it is reopened.
    """

    user: str
    at: float
    keep_until: float
    actor: str
    reason: str = ""
    state: AccountState = "closed"
    changed: float = 0.0
    quota_changes: tuple[str, ...] = ()

    @property
    def active(self) -> bool:
        """Return whether the account is closed, with its files or without."""
        return self.state != "reopened"

    def may_be_cleaned(self, now: float) -> bool:
        """Whether its files may be removed at ``now``."""
        return self.state == "closed" and now >= self.keep_until
