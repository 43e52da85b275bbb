"""Policies to compare with: what the rules have to be better than.

Guarantees: pure and deterministic; each keeps hard caps and limits by group (soft caps do not count), and starts
nothing where it does not fit. They share nothing with the live rules but the shape of a round.
"""

from collections.abc import Mapping

from mlabhub.replay.baselines.kueue import kueue
from mlabhub.replay.baselines.simple import back_fill, borrow_without_reclaim, fifo, static_partition
from mlabhub.replay.engine import MakeRules

BASELINES: Mapping[str, MakeRules] = {
    "static": static_partition,
    "fifo": fifo,
    "back-fill": back_fill,
    "no-reclaim": borrow_without_reclaim,
    "kueue": kueue,
}

__all__ = ["BASELINES", "back_fill", "borrow_without_reclaim", "fifo", "kueue", "static_partition"]
