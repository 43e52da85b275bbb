"""What is learned of idle gaps, and how long a server is given for it."""

from __future__ import annotations

import pytest

from mlabhub.core.idle.fold import fold_of
from mlabhub.core.idle.gaps import Gaps
from mlabhub.core.idle.patience import Patient
from mlabhub.core.idle.policy import Policy
from mlabhub.core.idle.samples import Sample, Samples

HOUR = 3600.0
POLICY = Policy(learns=True)
USUAL = 1.5 * HOUR


def window(gaps: Gaps, server: str = "alice/", gpus: int = 1) -> float:
    """Return how long a server is given that stands idle for an hour."""
    samples = Samples()
    for minute in range(61):
        samples.add(Sample(1e9 + 60 * minute, gpus, [0.0 if minute else 90.0] * gpus))
    rule = POLICY.rule(gpus)
    return Patient(gaps, server)(fold_of(samples, rule.thresholds), gpus, POLICY, rule)


def crowd(returned: int = 60, never: int = 60) -> Gaps:
    """Return what was learned of a crowd, each server once."""
    gaps = Gaps(USUAL)
    for number in range(returned):
        gaps.add(f"r{number}/", 2 * HOUR, 1, returned=True)
    for number in range(never):
        gaps.add(f"n{number}/", 6 * HOUR, 1, returned=False)
    return gaps


def test_without_history_all_are_alike():
    assert window(Gaps(USUAL)) == window(crowd()) == pytest.approx(4500)


def test_who_came_back_often_is_given_longer_and_who_never_did_is_given_less():
    gaps = crowd()
    for _ in range(20):
        gaps.add("often/", 2 * HOUR, 1, returned=True)
        gaps.add("never/", 12 * HOUR, 1, returned=False)
    assert window(gaps, "often/") > 1.5 * 4500
    assert window(gaps, "never/") < 4500 / 1.3
    samples = Samples()
    samples.add(Sample(1e9, 1, [0.0]))
    fold = fold_of(samples, POLICY.with_gpu.thresholds)
    said = str(Patient(gaps, "often/").ground(fold, 1e9 + 1.9 * HOUR))
    assert said == (
        "80 of 160 pauses this long never ended. "
        "20 times it was used again after such a pause, so it is given longer than others."
    )


def test_a_single_gap_changes_nothing():
    gaps = crowd()
    gaps.add("once/", 2 * HOUR, 1, returned=True)
    assert window(gaps, "once/") == pytest.approx(4500, rel=0.15)


def test_many_gpus_and_many_who_wait_make_it_shorter_within_bounds():
    gaps = crowd()
    assert window(gaps, gpus=8) < window(gaps, gpus=2) < window(gaps)
    gaps.waiting = 3
    shorter = window(gaps)
    assert shorter == pytest.approx(USUAL / 2 - 900)
    gaps.waiting = 10_000
    assert window(gaps, gpus=8) == pytest.approx(max(600, 0.3 * USUAL - 900))


def test_pauses_within_work_do_not_count_and_memory_is_bounded():
    gaps = Gaps(USUAL)
    for number in range(50_000):
        gaps.add(f"s{number}/", 10.0, 1, returned=True)
    assert gaps.never(0.0) == (0, 0)
    for number in range(50_000):
        gaps.add(f"s{number}/", 1000.0 + number, 1, returned=number % 2 == 0)
    assert gaps.never(0.0)[1] <= 40_000


def test_gaps_with_holes_are_not_learned_from():
    samples = Samples()
    patient = Patient(Gaps(USUAL), "a/")
    for minute in (0, *range(1, 100), 100, *range(150, 200), 200):
        samples.add(Sample(1e9 + 60 * minute, 1, [90.0 if minute in (0, 100, 200) else 0.0]))
    fold = fold_of(samples, POLICY.with_gpu.thresholds)
    assert list(fold.gaps) == [6000.0]
    patient.harvest(fold, 1)
    assert patient.gaps.never(0.0) == (0, 1)
    assert not fold.gaps
