"""Whether a started process has its GPU, with real processes: an engine names one before it is that of the image."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from mlabhub.engine.cdi import Expected
from mlabhub.spawners.verify import missing_by

EXPECTED = Expected(nodes=("/dev/null",), environment=("MLABHUB_TEST_GPU=1",))


@contextmanager
def process(script: str) -> Iterator[int]:
    """Run a shell script and give its process id."""
    running = subprocess.Popen(["/bin/sh", "-c", script], stdin=subprocess.PIPE, env={})
    try:
        yield running.pid
    finally:
        running.kill()
        running.communicate()


def test_a_process_that_is_not_yet_the_images_is_waited_for() -> None:
    with process("sleep 0.4; exec env MLABHUB_TEST_GPU=1 cat") as pid:
        assert missing_by(time.monotonic(), pid, EXPECTED) == ["MLABHUB_TEST_GPU=1"]
        assert missing_by(time.monotonic() + 20, pid, EXPECTED) == []


def test_what_never_comes_is_named_when_the_time_is_over() -> None:
    with process("exec cat") as pid:
        begun = time.monotonic()
        assert missing_by(begun + 0.3, pid, EXPECTED) == ["MLABHUB_TEST_GPU=1"]
        assert time.monotonic() - begun >= 0.3
