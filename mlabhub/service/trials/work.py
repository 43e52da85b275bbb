"""The process of a trial: a job from stdin, then lines of JSON to stdout: how far it is, and what came of it.

Guarantees: it gives way to everything else, takes a bounded amount of memory, and ends with whoever began it.
"""

from __future__ import annotations

import json
import os
import pickle
import resource
import sys
import threading
import time
from typing import Any

from mlabhub.errors import MLabError
from mlabhub.messages import message_json

MOST_BYTES = 4 << 30
LEAST_BETWEEN_S = 0.25
NICE = 10


class Told:
    """Tells whoever waits how far it is, not more often than anybody looks."""

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, progress: float) -> None:
        """Say how far it is, from 0 to 1."""
        now = time.monotonic()
        if now - self._last >= LEAST_BETWEEN_S:
            self._last = now
            _say(progress=min(1.0, max(0.0, progress)))


def main() -> None:
    """Run one job."""
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    stdin = sys.stdin.buffer
    job = pickle.loads(stdin.read(int.from_bytes(stdin.read(8), "big")))  # from our own service, over our own pipe
    threading.Thread(target=_end_with, args=(stdin,), daemon=True).start()
    try:
        _say(result=job.run(Told()))
    except MLabError as error:
        _say(fault=message_json(error.message))


def _end_with(stdin: Any) -> None:
    """End when the pipe does: nobody is there any more who would read an answer."""
    stdin.read()
    os._exit(1)


def _say(**told: Any) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
