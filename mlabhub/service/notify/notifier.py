"""News as messages: what takes them, and what makes a notice to give back survive a crash."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit

from mlabhub.catalog import LoadedNotifications, notifications_file, read_notifications
from mlabhub.core.notifications import Notifications
from mlabhub.core.privacy import Privacy
from mlabhub.errors import MLabError
from mlabhub.i18n import get_translator
from mlabhub.ledger import ReclaimNotice, Reservation
from mlabhub.service.metrics import Metrics
from mlabhub.service.news import EndsSoon, News, NewsItem, NoticeGiven, about
from mlabhub.service.notify import wire
from mlabhub.service.notify.letters import Letter, letters_about, write
from mlabhub.service.notify.post import Post, Send
from mlabhub.service.notify.source import NotificationsSource
from mlabhub.service.projection import Projection
from mlabhub.service.writer import Outcome, Writer
from mlabhub.settings import Settings

log = logging.getLogger(__name__)
MOST_EARLY = 10_000


class Notifier:
    """Passes news on by a `Post`. What is told before the file was first read is sent after it."""

    def __init__(self, loaded: Callable[[], LoadedNotifications], privacy: Callable[[], Privacy], post: Post):
        self._loaded = loaded
        self._privacy = privacy
        self._post = post
        self._early: deque[NewsItem] | None = deque(maxlen=MOST_EARLY)

    def tell(self, one: NewsItem) -> None:
        """Take one thing; whatever goes wrong is in the log alone."""
        if self._early is not None:
            self._early.append(one)
            return
        try:
            for letter in letters_about(one, self._loaded(), self._privacy()):
                self._post.put(letter)
        except Exception as error:  # its text may have an address
            log.error("News of the kind %s could not be passed on: %s", one.kind, type(error).__name__)

    def unused_after_s(self) -> float:
        """Return how long a server was not used before its owner is asked to give it back."""
        settings = self._loaded().settings or Notifications()
        return 60.0 * settings.somebody_waits_after_minutes

    def begin(self) -> None:
        """Send from now on: the file has been read."""
        early, self._early = self._early, None
        for one in early or ():
            self.tell(one)


def service_root(settings: Settings) -> str:
    """Return where people reach the service's pages."""
    address = urlsplit(settings.public_url)
    return f"{address.scheme}://{address.netloc}{settings.service_prefix}"


async def _nobody(item: NewsItem) -> None:
    """Record nothing."""


def note_told(
    writer: Writer, clock: Callable[[], float], idle_told: Callable[[NewsItem], Awaitable[None]] = _nobody
) -> Callable[[Letter], Awaitable[None]]:
    """Return what records that the holder was told of a notice; one that cannot be recorded is told again.

    ``idle_told`` is told what was taken by the person's own mail server or chat.
    """

    async def note(letter: Letter) -> None:
        item = letter.item
        if letter.reader is not None:
            return
        await idle_told(item)
        if not isinstance(item, NoticeGiven | EndsSoon):
            return
        deadline = item.deadline if isinstance(item, NoticeGiven) else item.ends

        def act(projection: Projection) -> Outcome[None]:
            notice = projection.notices.get(item.launch_id)
            if notice is None or notice.told is not None or notice.deadline != deadline:
                return Outcome(None)
            return Outcome(None, (replace(notice, told=clock()),))

        try:
            await writer.submit(act)
        except MLabError as error:
            log.debug("Not recorded that the notice for %s was sent: %s", item.launch_id, error.log_text)

    return note


def tell_again(projection: Projection, news: News, now: float) -> int:
    """Tell, when the service starts, of the notices in force of which nobody was told yet; return how many."""
    count = 0
    for notice in projection.notices.values():
        one = projection.launch(notice.launch_id)
        if one is not None and notice.told is None and notice.deadline > now:
            news.tell(notice_of(one, notice))
            count += 1
    return count


def notice_of(one: Reservation, notice: ReclaimNotice) -> NoticeGiven | EndsSoon:
    """Return the news of a notice for a launch; one without an entry is about the launch's longest duration."""
    if notice.entry:
        return NoticeGiven(**about(one), at=notice.at, deadline=notice.deadline)
    return EndsSoon(**about(one), at=notice.at, ends=notice.deadline)


@asynccontextmanager
async def open_notifier(
    settings: Settings,
    writer: Writer,
    privacy: Callable[[], Privacy],
    metrics: Metrics,
    clock: Callable[[], float],
    send: Send = wire.send,
    idle_told: Callable[[NewsItem], Awaitable[None]] = _nobody,
) -> AsyncIterator[Notifier]:
    """Run a notifier for an installation, whose writer was started. Notices that nobody was told of are told again."""
    source = NotificationsSource(
        notifications_file(settings.config_dir), partial(read_notifications, is_known=wire.is_known), time.monotonic
    )
    root = service_root(settings)

    def words(letters: Sequence[Letter]) -> tuple[str, str]:
        loaded = source().settings
        return write(letters, get_translator("en" if loaded is None else loaded.language), root)

    post = Post(send, words, metrics, clock, note_told(writer, clock, idle_told))
    notifier = Notifier(source, privacy, post)

    async def run() -> None:
        try:
            await asyncio.to_thread(source.look)
        except Exception as error:  # its text may repeat what the file says
            log.error("Notifications could not be read: %s", type(error).__name__)
        notifier.begin()
        await source.watch()

    with contextlib.suppress(MLabError):  # the ledger is away: the next start tells again
        tell_again(writer.projection, notifier, clock())
    watching = asyncio.create_task(run(), name="notifications")
    try:
        yield notifier
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await post.close()
