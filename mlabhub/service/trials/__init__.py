"""Trials: what a change of quotas, or of a policy of idleness, would have come to, replayed from what was recorded.

Guarantees: nothing that is live is touched; the service goes on as if nothing ran, for a trial is a process of its own
that gives way to all others; one runs at a time, for a bounded time, and ends when nobody waits for it any more.
"""

from mlabhub.service.trials.desk import Standing, Trials

__all__ = ["Standing", "Trials"]
