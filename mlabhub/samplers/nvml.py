"""How busy the GPUs of this machine are that servers hold, as NVIDIA's driver tells it.

Guarantees: a round comes to its end within about `PATIENCE_S`, whatever driver and library do. What was not read (a
slice's use, which nobody measures; a GPU that is lost; a driver that is gone, fails or hangs) is None with its reason
in words. Where something else uses a server's GPU, too, only the server's own part counts. While nobody holds a GPU no
program of ours has the driver open, so that GPUs can be reset, divided, or get another driver.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from mlabhub.core.readings import Reading, Value, Watched, known
from mlabhub.engine import driver
from mlabhub.messages import N_, Message
from mlabhub.samplers.owners import Owners

PATIENCE_S = 30.0
"""Without NVIDIA's persistence daemon a driver wakes its GPUs for the first question, one after the other."""
LONGEST_SPAN_S = 15.0
"""Rounds further apart than this leave a hole between them."""
MOMENT_S = 1.0
"""What a reading speaks for that has none before it."""

PROGRAM = Path(__file__).with_name("nvml_watch.py")
NOT_SUPPORTED = 3

NO_DRIVER = N_("NVIDIA's driver is not loaded, so nobody knows how busy the GPUs are.")
NOT_MEASURED = N_("Nobody measures how busy {gpu} is: the driver does not tell it of slices (MIG) and of some boards.")
NOT_READ = N_("{gpu} could not be read ({reason}).")
SHARED = N_("Something else uses {gpu}, too, and the driver does not tell how much of its use is the server's.")

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Told:
    """What the program told: raw values by UUID, or why there are none."""

    gpus: Mapping[str, Facts] = field(default_factory=dict)
    fault: Message | None = None


class Watcher:
    """Holds the conversation with the program; one question at a time."""

    def __init__(self, patience_s: float = PATIENCE_S):
        self.patience_s = patience_s
        self._program: subprocess.Popen[bytes] | None = None
        self._stuck: subprocess.Popen[bytes] | None = None
        self._lock = Lock()

    def ask(self, uuids: Sequence[str]) -> Told:
        """Return what the driver tells of these GPUs. Blocks, for at most twice the patience."""
        hangs = Told(fault=Message.of(driver.HANGS, seconds=self.patience_s))
        if not self._lock.acquire(timeout=self.patience_s):
            return hangs
        try:
            if self._stuck is not None and self._stuck.poll() is None:
                return hangs
            self._stuck = None
            return self._ask(uuids) or hangs
        finally:
            self._lock.release()

    def rest(self) -> None:
        """End the program; the next question starts it again."""
        with self._lock:
            self._end()

    def _ask(self, uuids: Sequence[str]) -> Told | None:
        program = self._running()
        assert program.stdin is not None
        try:
            program.stdin.write(json.dumps(list(uuids)).encode() + b"\n")
            program.stdin.flush()
        except OSError:
            pass  # It has ended, and what it said last is still to be read.
        line = _line(program, self.patience_s)
        if line is None:
            program.kill()
            self._stuck, self._program = program, None
            _close(program)
            return None
        told = understand(line)
        if told is None:
            return self._crashed(program)
        if told.fault is not None or all("handle" in facts.get("errors", {}) for facts in told.gpus.values()):
            self._end()
        return told

    def _running(self) -> subprocess.Popen[bytes]:
        if self._program is None or self._program.poll() is not None:
            self._end()
            self._program = subprocess.Popen(
                [sys.executable, "-I", str(PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        return self._program

    def _crashed(self, program: subprocess.Popen[bytes]) -> Told:
        program.kill()
        try:
            _, complaint = program.communicate(timeout=self.patience_s)
        except (subprocess.TimeoutExpired, OSError, ValueError):
            complaint = b""
        status = program.poll()
        self._end()
        return Told(fault=driver.crashed(complaint.decode("utf-8", "replace"), status))

    def _end(self) -> None:
        """Let the program go. One that does not end, for it hangs in the driver, is not waited for, nor asked again."""
        program, self._program = self._program, None
        if program is None:
            return
        _close(program)
        program.kill()
        try:
            program.wait(1.0)
        except subprocess.TimeoutExpired:
            self._stuck = program


def _close(program: subprocess.Popen[bytes]) -> None:
    for pipe in (program.stdin, program.stdout, program.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what it was never given stays in the buffer
                pipe.close()


def _line(program: subprocess.Popen[bytes], patience_s: float) -> bytes | None:
    """Return the program's next line, less if it ended, None if nothing came in time."""
    assert program.stdout is not None
    until, found = time.monotonic() + patience_s, b""
    with selectors.DefaultSelector() as selector:
        selector.register(program.stdout, selectors.EVENT_READ)
        while not found.endswith(b"\n"):
            if not selector.select(max(0.0, until - time.monotonic())):
                return None
            more = os.read(program.stdout.fileno(), 65536)
            if not more:
                break
            found += more
    return found


def understand(line: bytes) -> Told | None:
    """Return what a line of the program says; None if it is none of its lines."""
    try:
        raw = json.loads(line)
    except ValueError:
        return None
    if driver.is_absent(raw.get("error")):
        return Told(fault=Message(NO_DRIVER))
    if "error" in raw:
        return Told(fault=driver.fault_of(raw["error"], str(raw.get("text", ""))))
    return Told(gpus=raw["gpus"])


class NvmlSampler:
    """Reads the GPUs that servers of this machine hold; call it every few seconds, from one thread at a time."""

    def __init__(self, watcher: Watcher | None = None, proc: Path = Path("/proc")):
        self._watcher = watcher or Watcher()
        self._proc = proc
        self._before: dict[str, float] = {}

    def sample(self, watched: Iterable[Watched], now: float) -> tuple[Reading, ...]:
        """Return a reading of every server that holds GPUs. Blocks, for about the patience at most."""
        watched = tuple(watched)
        holders = tuple(one for one in watched if one.gpus)
        before, self._before = self._before, {one.launch_id: now for one in holders}
        if not holders:
            self._watcher.rest()
            return ()
        told = self._watcher.ask(sorted({gpu for one in holders for gpu in one.gpus}))
        owners = Owners(watched, self._proc)
        return tuple(_reading(one, told, owners, now, _span(before.get(one.launch_id), now)) for one in holders)

    def close(self) -> None:
        """End the program that asks."""
        self._watcher.rest()


def _span(before: float | None, now: float) -> float:
    """Return the seconds for which a reading speaks: since the one before, unless that is long ago."""
    return now - before if before is not None and 0 < now - before <= LONGEST_SPAN_S else MOMENT_S


def _reading(one: Watched, told: Told, owners: Owners, now: float, span: float) -> Reading:
    if told.fault is not None:
        nothing = (None,) * len(one.gpus)
        return Reading(one.server, one.launch_id, now, nothing, nothing, span_s=span, reasons=(told.fault,))
    uses = [_use(gpu, told.gpus.get(gpu, {}), one.launch_id, owners) for gpu in one.gpus]
    return Reading(
        one.server,
        one.launch_id,
        now,
        tuple(util for util, _, _ in uses),
        tuple(memory for _, memory, _ in uses),
        span_s=span,
        reasons=tuple(reason for _, _, reason in uses if reason is not None),
    )


def _use(gpu: str, facts: Facts, launch_id: str, owners: Owners) -> tuple[Value, Value, Message | None]:
    """Return a server's use of a GPU, the bytes that it takes there, and why something of this is not known."""
    listed = [*facts.get("compute", ()), *facts.get("graphics", ())]
    whose = {pid: owners.owner(pid) for pid, _ in listed}
    alone = all(owner in (launch_id, None) for owner in whose.values())
    own = {pid for pid, owner in whose.items() if owner == launch_id}
    memory = known(facts.get("memory")) if alone else _own_memory(listed, own)
    whole = _whole(facts)
    util = whole if alone or not whole else _own_use(facts, own)
    if util is not None and memory is not None:
        return util, memory, None
    return util, memory, _why(gpu, facts) if alone or whole is None else Message.of(SHARED, gpu=gpu)


def _whole(facts: Facts) -> Value:
    """Return how busy a GPU was, by whomever: the highest of now and of the driver's buffer."""
    if facts.get("mig") == 1:
        return None
    told = (known(facts.get("utilisation"), 100), known(facts.get("buffered"), 100))
    return max((value for value in told if value is not None), default=None)


def _own_use(facts: Facts, own: set[int]) -> Value:
    """Return the highest use of a server's processes: NVIDIA lists those whose use was not zero."""
    uses = facts.get("process_use")
    if uses is None:
        return None
    values = [known(use, 100) for pid, use in uses if pid in own]
    return None if None in values else max((value for value in values if value is not None), default=0.0)


def _own_memory(listed: Iterable[Sequence[Any]], own: set[int]) -> Value:
    """Return the bytes of a server's processes; one that both computes and draws is listed twice with the same."""
    each = {pid: known(used) for pid, used in listed if pid in own}
    return None if None in each.values() else sum(used for used in each.values() if used is not None)


def _why(gpu: str, facts: Facts) -> Message:
    errors, words = facts.get("errors", {}), facts.get("words", {})
    if facts.get("mig") == 1 or errors.get("utilisation") == NOT_SUPPORTED:
        return Message.of(NOT_MEASURED, gpu=gpu)
    names = [name for name in ("handle", "utilisation", "memory") if name in errors]
    reason = words.get(names[0], "") if names else "no number"
    return Message.of(NOT_READ, gpu=gpu, reason=reason)
