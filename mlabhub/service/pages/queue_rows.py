"""The lines of the queue's table as HTML, each made once for all who see it alike.

Guarantees: a line is made anew when its entry is another view, and after `FRESH_S`, for it says how long ago and in how
long; of lines that nobody asks for any more no more than `MOST_KEPT` stay in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from markupsafe import Markup

from mlabhub.service.pages.queueing import Row, Words, make_row
from mlabhub.service.wait_views import QueueEntryView

FRESH_S = 10.0
MOST_KEPT = 20_000


class QueueRows:
    """Keeps lines by the view that they show: the queue hands out the same one to all who see alike."""

    def __init__(self) -> None:
        self._made: dict[tuple[int, str, bool, bool], tuple[QueueEntryView, str]] = {}
        self._since: datetime | None = None

    def line(
        self, entry: QueueEntryView, words: Words, render: Callable[[Row], str], *, front: bool, acts: bool
    ) -> Markup:
        """Return an entry's line. ``front``: it may be moved to the front; ``acts``: there is a column of acts."""
        self._forget(words.now)
        key = (id(entry), words.t.language, front, acts)
        known = self._made.get(key)
        if known is None:  # the view is kept with its line, so that its id stays its own
            known = self._made[key] = (entry, render(make_row(entry, words, front=front)))
        return Markup(known[1])

    def _forget(self, now: datetime) -> None:
        since = self._since
        if since is None or not 0 <= (now - since).total_seconds() < FRESH_S or len(self._made) >= MOST_KEPT:
            self._made.clear()
            self._since = now
