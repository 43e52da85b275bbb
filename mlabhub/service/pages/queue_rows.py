"""The lines of the queue's table as HTML, each made once for all who see it alike.

Guarantees: a line is made anew when its entry is another view, and after `FRESH_S` at the latest, for it says how long
ago and in how long; of lines that nobody asks for any more no more than `MOST_KEPT` stay in memory. Lines that were
made together grow old at different times, so that nobody waits for all of them at once.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from markupsafe import Markup

from mlabhub.service.pages.queueing import Row, Words, make_row
from mlabhub.service.wait_views import QueueEntryView

FRESH_S = 30.0
MOST_KEPT = 20_000


@dataclass(frozen=True)
class _Line:
    """A line, and from when until when it is true enough; ``view`` is kept so that its id stays its own."""

    view: QueueEntryView
    html: Markup
    made: datetime
    until: datetime


class QueueRows:
    """Keeps lines by the view that they show: the queue hands out the same one to all who see alike."""

    def __init__(self) -> None:
        self._made: dict[tuple[int, str, bool, bool], _Line] = {}
        self._swept: datetime | None = None

    def known(self, entry: QueueEntryView, words: Words, *, front: bool, acts: bool) -> Markup | None:
        """Return an entry's line if it was made a moment ago. ``front``: it may be moved to the front; ``acts``: there
        is a column of acts."""
        line = self._made.get((id(entry), words.t.language, front, acts))
        return line.html if line is not None and line.made <= words.now < line.until else None

    def make(
        self, entry: QueueEntryView, words: Words, render: Callable[[Row], str], *, front: bool, acts: bool
    ) -> Markup:
        """Return an entry's line, made anew."""
        self._sweep(words.now)
        html = Markup(render(make_row(entry, words, front=front)))
        until = words.now + timedelta(seconds=FRESH_S * random.uniform(0.3, 1.0))
        self._made[id(entry), words.t.language, front, acts] = _Line(entry, html, words.now, until)
        return html

    def _sweep(self, now: datetime) -> None:
        """Let go of what is old."""
        since = self._swept
        if since is None or not 0 <= (now - since).total_seconds() < FRESH_S or len(self._made) >= MOST_KEPT:
            fresh = {key: line for key, line in self._made.items() if line.made <= now < line.until}
            self._made = fresh if len(fresh) < MOST_KEPT else {}
            self._swept = now
