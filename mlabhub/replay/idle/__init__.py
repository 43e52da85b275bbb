"""Replay of idleness: recorded samples run through a policy of idleness, by the very code that decides live.

Guarantees: pure, as the rules are: no I/O, no clock; decisions come in order of time; the same samples and the same
policy give the same decisions.
"""

from mlabhub.replay.idle.reader import InvalidSamples, Recording, read_samples
from mlabhub.replay.idle.run import Decision, Outcome, Totals, run

__all__ = ["Decision", "InvalidSamples", "Outcome", "Recording", "Totals", "read_samples", "run"]
