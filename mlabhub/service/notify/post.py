"""Letters on their way: each line (a mail server, a chat) has its own queue, tries again, and gives up in the end.

Guarantees: `put` never waits and never raises; memory and threads are bounded; a line that hangs, fails or is slow
holds up no other; a letter is tried at most `TRIES` times, and not after it has expired. What is given up is counted,
and said in the log, at most once a minute and line. Stopping waits for no server.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

from mlabhub.messages import N_, Message
from mlabhub.service.metrics import Metrics
from mlabhub.service.notify.letters import Letter, name_of
from mlabhub.service.notify.wire import Outcome

log = logging.getLogger(__name__)
MOST_LETTERS = 50_000
MOST_IN_LINE = 10_000
MOST_TOGETHER = 10
"""Letters that one message takes when several wait for the same address."""
AT_ONCE = 3
"""Messages on their way to one line."""
TRIES = 6
FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 300.0
PATIENCE_S = 30.0
"""After this a try counts as failed; its thread is left alone, and the line waits for it."""
PACE_S = 4.0
"""Between two messages to one chat: some close it to whoever sends more than 20 a minute."""
COMPLAIN_S = 60.0

Send = Callable[[str, str, str], Outcome]
Write = Callable[[Sequence[Letter]], tuple[str, str]]
OnSent = Callable[[Letter], Awaitable[None]]


@dataclass
class _Waiting:
    letter: Letter
    tries: int = 0


@dataclass
class _Line:
    """``urgent`` and ``waiting`` are by address, next first."""

    name: str
    urgent: dict[str, deque[_Waiting]] = field(default_factory=dict)
    waiting: dict[str, deque[_Waiting]] = field(default_factory=dict)
    count: int = 0
    busy: int = 0
    quiet_until: dict[str, float] = field(default_factory=dict)
    ill: bool = False
    given_up: int = 0
    said_at: float = float("-inf")

    def addresses(self) -> Iterator[tuple[dict[str, deque[_Waiting]], str]]:
        """Yield those that something waits for, with where it waits, in their order; it may be taken meanwhile."""
        for queues in (self.urgent, self.waiting):
            for address in tuple(queues):
                yield queues, address


class Post:
    """Takes letters; runs in one event loop. ``clock`` is the wall clock, which letters expire by."""

    def __init__(
        self,
        send: Send,
        write: Write,
        metrics: Metrics,
        clock: Callable[[], float],
        on_sent: OnSent,
        *,
        first_pause_s: float = FIRST_PAUSE_S,
        patience_s: float = PATIENCE_S,
        pace_s: float = PACE_S,
    ):
        self._send = send
        self._write = write
        self._metrics = metrics
        self._clock = clock
        self._on_sent = on_sent
        self._first_pause_s = first_pause_s
        self._patience_s = patience_s
        self._pace_s = pace_s
        self._lines: dict[str, _Line] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._pending: set[str] = set()
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many letters have not been taken or given up yet."""
        return sum(line.count for line in self._lines.values())

    def put(self, letter: Letter) -> None:
        """Take a letter, or drop it where there are too many."""
        line = self._lines.setdefault(letter.line, _Line(name_of(letter.address)))
        if self._closed or line.count >= MOST_IN_LINE or self.waiting >= MOST_LETTERS:
            self._give_up(line, 1, Message(N_("too many wait")))
            return
        line.count += 1
        self._enqueue(letter.line, _Waiting(letter))

    async def close(self, seconds: float = 2.0) -> None:
        """Let what is ready go out for a moment, then drop the rest."""
        deadline = asyncio.get_running_loop().time() + seconds
        while self._tasks and asyncio.get_running_loop().time() < deadline:
            await asyncio.wait(self._tasks, timeout=max(0.0, deadline - asyncio.get_running_loop().time()))
            await asyncio.sleep(0)
        self._closed = True
        if self.waiting:
            log.warning("Messages not sent when the service stopped: %d", self.waiting)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _enqueue(self, key: str, one: _Waiting) -> None:
        line = self._lines[key]
        queues = line.urgent if one.letter.urgent else line.waiting
        queues.setdefault(one.letter.address, deque()).append(one)
        self._pump_soon(key)

    def _pump_soon(self, key: str) -> None:
        """Look after what is told at the same moment, so that it goes into one message."""
        if key not in self._pending and not self._closed:
            self._pending.add(key)
            asyncio.get_running_loop().call_soon(self._pump, key)

    def _pump(self, key: str) -> None:
        self._pending.discard(key)
        line, now = self._lines[key], asyncio.get_running_loop().time()
        if self._closed:
            return
        for queues, address in line.addresses():
            if line.busy >= AT_ONCE:
                return
            if line.quiet_until.get(address, 0.0) > now:
                continue
            batch = self._take(line, queues, address)
            if batch:
                line.busy += 1
                if batch[0].letter.paced:
                    line.quiet_until[address] = now + self._pace_s
                    asyncio.get_running_loop().call_later(self._pace_s, self._rested, key, address)
                task = asyncio.get_running_loop().create_task(self._deliver(key, line, batch))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _rested(self, key: str, address: str) -> None:
        self._lines[key].quiet_until.pop(address, None)
        self._pump_soon(key)

    def _take(self, line: _Line, queues: dict[str, deque[_Waiting]], address: str) -> list[_Waiting]:
        """Return the next letters to an address, without those that are too old; the address goes to the end."""
        batch: list[_Waiting] = []
        queue, late, now = queues.pop(address), 0, self._clock()
        while queue and len(batch) < MOST_TOGETHER:
            one = queue.popleft()
            if one.letter.expires <= now:
                late += 1
            else:
                batch.append(one)
        if queue:
            queues[address] = queue
        if late:
            line.count -= late
            self._give_up(line, late, Message(N_("they came to nothing for too long")))
        return batch

    async def _deliver(self, key: str, line: _Line, batch: list[_Waiting]) -> None:
        letters = [one.letter for one in batch]
        try:
            outcome = await self._try(key, line, letters)
        except Exception as error:  # in our words: the letters stay what they are
            log.error("A message could not be written: %s", type(error).__name__)
            outcome = Outcome(False, Message(N_("it could not be written")))
        if outcome.taken:
            line.count -= len(batch)
            self._metrics.notifications.labels("sent").inc(len(batch))
            if line.ill:
                line.ill = False
                log.info("The messages by %s are taken again", line.name)
            for letter in letters:
                await self._on_sent(letter)
            return
        if not line.ill:
            line.ill = True
            log.warning("A message by %s was not taken: %s; it is tried again", line.name, outcome.why)
        for one in batch:
            self._again(key, line, one, outcome)

    async def _try(self, key: str, line: _Line, letters: Sequence[Letter]) -> Outcome:
        """Send one message in a thread of its own; the line has it until it has ended, however long that is."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Outcome] = loop.create_future()

        def ended(outcome: Outcome) -> None:
            line.busy -= 1
            if not done.done():
                done.set_result(outcome)
            self._pump_soon(key)

        def run() -> None:
            try:
                title, body = self._write(letters)
                outcome = self._send(letters[0].address, title, body)
            except BaseException as error:
                outcome = Outcome(False, Message.of(N_("it failed: {kind}"), kind=type(error).__name__))
            if not loop.is_closed():
                try:
                    loop.call_soon_threadsafe(ended, outcome)
                except RuntimeError:  # closed since: nobody waits for this any more
                    log.debug("A message ended after the service")

        try:
            threading.Thread(target=run, name="notify", daemon=True).start()
        except RuntimeError:  # this machine gives no more threads
            line.busy -= 1
            raise
        await asyncio.wait({done}, timeout=self._patience_s)
        return done.result() if done.done() else Outcome(False, Message(N_("it does not answer")))

    def _again(self, key: str, line: _Line, one: _Waiting, outcome: Outcome) -> None:
        one.tries += 1
        pause = min(self._first_pause_s * 4.0 ** (one.tries - 1), LONGEST_PAUSE_S)
        if one.tries >= TRIES or self._clock() + pause >= one.letter.expires:
            line.count -= 1
            self._give_up(line, 1, outcome.why)
            return
        self._metrics.notifications.labels("retried").inc()
        asyncio.get_running_loop().call_later(pause, self._enqueue, key, one)

    def _give_up(self, line: _Line, count: int, why: Message) -> None:
        self._metrics.notifications.labels("dropped").inc(count)
        line.given_up += count
        now = self._clock()
        if not 0 <= now - line.said_at < COMPLAIN_S:
            log.error("Messages by %s that were given up: %d; the last: %s", line.name, line.given_up, why)
            line.said_at, line.given_up = now, 0
