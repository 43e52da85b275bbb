"""What `default` frees, and whom it interrupts for it, beside rules that stop at a fixed time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest

from mlabhub.core.idle.policy import Policy
from mlabhub.core.idle.presets import DEFAULT
from mlabhub.replay.idle import Recording, Totals, read_samples, run
from tests.replay.idle.traces import lines_of, sessions

FIXED_MINUTES = (25, 35, 50, 70, 90, 120, 180, 300, 480, 700)


@pytest.fixture(scope="module")
def recording() -> Recording:
    return read_samples(lines_of(sessions()))


def totals(recording: Recording, policy: Policy) -> Totals:
    """Return what a policy comes to, as if nothing had been read before."""
    for launch in recording.launches:
        launch.samples.seen = 0
        launch.samples.folds.clear()
    return run(recording, policy).totals


def fixed(recording: Recording) -> Iterator[tuple[float, float]]:
    """Yield what fixed times free, and how often a GPU is wanted again, the least first."""
    for minutes in reversed(FIXED_MINUTES):
        rule = replace(DEFAULT.with_gpu, window_s=minutes * 60 - DEFAULT.grace_s)
        found = totals(recording, replace(DEFAULT, learns=False, with_gpu=rule))
        yield found.gpu_hours_reclaimed, found.wanted_again


def test_it_interrupts_nobody_more_than_a_fixed_time_that_frees_the_same(recording):
    curve = list(fixed(recording))
    compared = 0
    for step in range(2, 11, 2):
        found = totals(recording, DEFAULT.at(step / 10))
        assert found.stops_of_a_busy_server == 0
        for (less, few), (more, many) in pairwise(curve):
            if less <= found.gpu_hours_reclaimed <= more:
                alike = few + (many - few) * (found.gpu_hours_reclaimed - less) / (more - less)
                assert found.wanted_again <= alike
                compared += 1
    assert compared >= 4


def test_a_replay_can_be_repeated(recording):
    assert totals(recording, DEFAULT) == totals(recording, DEFAULT)
