"""Runs trials for those who ask, one after the other.

Guarantees: one process at a time; it ends when it takes too long, when nobody has asked for it for a while, or when
whoever asked for it asks for something else; what came of it is kept for a while, so that looking again costs nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import sys
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from mlabhub.errors import MLabError
from mlabhub.messages import N_, Message, message_of

log = logging.getLogger(__name__)
MOST_S = 600.0
UNWANTED_S = 20.0
KEPT_S = 900.0
MOST_KEPT = 20
MOST_LINE = 8 << 20
PROGRAM = (sys.executable, "-m", "mlabhub.service.trials.work")

TOO_LONG = N_("It took longer than {minutes} minutes and was given up. Choose fewer days.")
BROKE = N_("The replay ended without a result; it may have needed more memory than there is. Choose fewer days.")

State = Literal["waits", "runs", "done", "failed"]
Job = Any
"""Something that `mlabhub.service.trials.work` knows how to run, and that can be pickled."""


@dataclass(frozen=True)
class Standing:
    """How far a trial is. ``progress`` is between 0 and 1; ``result`` is there when it is done, ``fault`` if it failed.

    ``waits``: somebody else's runs, and this one's turn comes when that is over.
    """

    state: State
    progress: float = 0.0
    result: dict[str, Any] = field(default_factory=dict)
    fault: Message | None = None

    @property
    def over(self) -> bool:
        """Whether nothing of it changes any more."""
        return self.state in ("done", "failed")


@dataclass
class _Running:
    owner: str
    key: str
    began: float
    asked: float
    task: asyncio.Task[None] | None = None
    progress: float = 0.0


@dataclass(frozen=True)
class _Kept:
    at: float
    standing: Standing


class Trials:
    """All trials of a service. ``monotonic`` tells seconds; ``program`` is what runs one."""

    def __init__(self, monotonic: Callable[[], float], program: tuple[str, ...] = PROGRAM, most_s: float = MOST_S):
        self._monotonic = monotonic
        self._program = program
        self._most_s = most_s
        self._running: _Running | None = None
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()

    async def ask(self, owner: str, key: str, make: Callable[[], Awaitable[Job]]) -> Standing:
        """Return how far the trial ``key`` of a person is; it is begun if it can be.

        Raises what ``make`` raises, which is only called when it begins.
        """
        now = self._monotonic()
        known = self._kept.get((owner, key))
        if known is not None and now - known.at < KEPT_S:
            return known.standing
        running = self._running
        if running is not None and running.owner == owner and running.key != key:
            await self._end(running)
            running = self._running
        if running is not None:
            if (running.owner, running.key) != (owner, key):
                return Standing("waits")
            running.asked = now
            return Standing("runs", running.progress)
        self._running = begun = _Running(owner, key, now, now)
        try:
            job = await make()
        except BaseException:
            self._running = None
            raise
        begun.task = asyncio.create_task(self._run(begun, job), name="trial")
        return Standing("runs")

    async def close(self) -> None:
        """End what runs."""
        if self._running is not None:
            await self._end(self._running)

    async def _end(self, running: _Running) -> None:
        if running.task is not None:
            running.task.cancel()
            await asyncio.gather(running.task, return_exceptions=True)
            if self._running is running:  # it was cancelled before it did anything
                self._running = None

    async def _run(self, running: _Running, job: Job) -> None:
        try:
            standing = await self._work(running, job)
        except asyncio.CancelledError:
            log.debug("The trial of %s was ended: nobody waits for it", running.owner)
            raise
        except Exception as error:
            log.warning("A trial of %s failed: %s", running.owner, error, exc_info=not isinstance(error, MLabError))
            standing = Standing("failed", fault=Message(BROKE))
        finally:
            if self._running is running:
                self._running = None
        if standing is not None:
            self._keep(running, standing)

    async def _work(self, running: _Running, job: Job) -> Standing | None:
        """Run a process to its end; None if nobody wants it any more."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*self._program, stdin=pipe, stdout=pipe, limit=MOST_LINE)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            packed = await asyncio.to_thread(pickle.dumps, job)
            process.stdin.write(len(packed).to_bytes(8, "big") + packed)
            return await self._follow(running, process.stdout)
        finally:
            if process.returncode is None:
                process.kill()
            process.stdin.close()
            await asyncio.shield(process.wait())

    async def _follow(self, running: _Running, lines: asyncio.StreamReader) -> Standing | None:
        while True:
            try:
                line = await asyncio.wait_for(lines.readline(), timeout=1.0)
            except asyncio.TimeoutError:
                line = None
            now = self._monotonic()
            if now - running.began > self._most_s:
                return Standing("failed", fault=Message.of(TOO_LONG, minutes=round(self._most_s / 60)))
            if now - running.asked > UNWANTED_S:
                return None
            if line is None:
                continue
            if not line:
                return Standing("failed", fault=Message(BROKE))
            told = json.loads(line)
            if "result" in told:
                return Standing("done", 1.0, told["result"])
            if "fault" in told:
                return Standing("failed", fault=message_of(told["fault"]))
            running.progress = told["progress"]

    def _keep(self, running: _Running, standing: Standing) -> None:
        self._kept[running.owner, running.key] = _Kept(self._monotonic(), standing)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
