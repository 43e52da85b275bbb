"""What the pages ask of the queue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from mlabhub.service.views import LaunchAnswer, LaunchStatus, Person
from mlabhub.service.wait_views import ForecastAccuracy, NoticeView, Queued, QueueEntryView


class QueueDesk(Protocol):
    """The queue as people see it and act on it. Whoever acts for somebody else is an administrator.

    All raise `NotFound` for an entry that does not wait, or that is not the actor's.
    """

    async def queue(self, actor: Person) -> tuple[QueueEntryView, ...]:
        """Return everybody's entries, next first, as far as the actor may know them."""

    async def notices(self, actor: Person, user: str) -> tuple[NoticeView, ...]:
        """Return what a person was told to give back."""

    async def accuracy(self, actor: Person) -> ForecastAccuracy:
        """Return how good forecasts were, for administrators. Raises `Unavailable` while that cannot be looked up."""

    async def status(self, actor: Person, launch_id: str) -> LaunchStatus:
        """Return how far a launch is, whether it waits, runs or is over."""

    async def leave(self, actor: Person, launch_id: str, reason: str = "") -> None:
        """Take an entry out of the queue."""

    async def change(self, actor: Person, launch_id: str, user_options: Mapping[str, Any]) -> Queued | LaunchAnswer:
        """Let an entry ask for something else; it keeps its place only if that is no more."""

    async def nearest(self, actor: Person, launch_id: str) -> LaunchAnswer:
        """Start the nearest choice that can start now, in place of what waits. Raises `LaunchRefused` if none can."""

    async def move(self, actor: Person, launch_id: str, before: str | None = None, reason: str = "") -> None:
        """Move an entry before another one of its person's, None: to the front of these; for administrators."""
