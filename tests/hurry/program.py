"""`mlabhub` whose service lives `FASTER` times as fast as far as idleness goes: a program, for tests.

    program.py up ...                      the command line; the service that it runs is this file's
    program.py service --settings FILE     that service

Nothing in the product can be told to hurry, and no bound of a policy is moved: ten minutes are written as ten minutes.
Here the code's own times are read as shorter ones, and each policy is made shorter when it is looked up for a server.
Guarantees: a time that the code does not have any more is an error at once.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import CodeType, ModuleType

FASTER = 15.0
TIMES: dict[str, dict[str, float]] = {
    "mlabhub.core.readings": {"TICK_S": 4, "HOLE_S": 3},
    "mlabhub.core.idle.fold": {"LATE_S": 40, "TOUCHED_S": 20, "SHORTEST_GAP_S": 20},
    "mlabhub.samplers.rounds": {"EVERY_S": 1},
    "mlabhub.service.queue.deadlines": {"MARGIN_S": 2},
    "mlabhub.service.idle.delivery": {"HOME_S": 8},
    "mlabhub.service.idle.stopping": {"FRESH_S": 3},
    "mlabhub.service.idle.loop": {"BEAT_S": 2, "SILENCE_S": 20},
    "mlabhub.service.reports": {"CALL_EVERY_S": 0.2},
}
"""Not all are shorter by as much: a machine at work needs its time."""


class Hurrying(importlib.machinery.SourceFileLoader):
    """Reads a module with other times in it."""

    def get_code(self, fullname: str) -> CodeType:
        """Compile it with the lines changed; nothing of that is kept beside it."""
        text = Path(self.path).read_text()
        for name, seconds in TIMES[fullname].items():
            text, count = re.subn(rf"^{name} = [\d.]+$", f"{name} = {float(seconds)}", text, flags=re.MULTILINE)
            if count != 1:
                raise ImportError(f"{fullname} has {count} lines that set {name}")
        return compile(text, self.path, "exec")


class Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of `TIMES`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return how to load one of them."""
        if fullname not in TIMES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.origin is not None:
            spec.loader = Hurrying(fullname, spec.origin)
        return spec


def shorten_policies() -> None:
    """Have each policy shorter when it is looked up for a server."""
    from mlabhub.core.idle.file import Idle
    from mlabhub.core.idle.policy import Policy, Rule

    def short(rule: Rule) -> Rule:
        return replace(
            rule,
            thresholds=replace(rule.thresholds, hole_s=rule.thresholds.hole_s / FASTER),
            window_s=None if rule.window_s is None else rule.window_s / FASTER,
            held_s=rule.held_s / FASTER,
            held_most_s=rule.held_most_s / FASTER,
        )

    as_written = Idle.policy_for

    def policy_for(self: Idle, profile: str, group: str | None, now: float) -> Policy:
        policy = as_written(self, profile, group, now)
        return replace(
            policy,
            with_gpu=short(policy.with_gpu),
            without_gpu=short(policy.without_gpu),
            grace_s=policy.grace_s / FASTER,
            fresh_s=policy.fresh_s / FASTER,
            keep_most_s=policy.keep_most_s / FASTER,
        )

    Idle.policy_for = policy_for  # type: ignore[method-assign,assignment]


def serve() -> int:
    """Run the service."""
    sys.meta_path.insert(0, Finder())
    shorten_policies()
    from mlabhub.service.__main__ import main

    return main()


def run() -> None:
    """Run the command line; the supervisor starts this file instead of the service."""
    from mlabhub.cli import main
    from mlabhub.settings import Settings
    from mlabhub.supervisor import up
    from mlabhub.supervisor.children import Command
    from mlabhub.supervisor.commands import make_service_command

    def make_hurried(settings: Settings) -> Command:
        command = make_service_command(settings)
        python, _, _, *rest = command.argv
        return replace(command, argv=(python, str(Path(__file__).resolve()), "service", *rest))

    up.make_service_command = make_hurried  # type: ignore[attr-defined]
    main()


if __name__ == "__main__":
    if sys.argv[1] == "service":
        del sys.argv[1]
        sys.exit(serve())
    run()
