"""The bench of replays: a made week is replayed, summed up and checked in the time that it may take."""

import pytest

from tests.bench.bench_replay import measure


def test_a_small_one_measures_what_it_says() -> None:
    found = measure(60)
    assert found["requests"] == 60
    assert found["rounds"] >= 0
    assert 0 < found["goodput"] <= 1


@pytest.mark.long
def test_a_week_of_5000_requests_on_100_nodes_takes_less_than_30_seconds_of_a_processor() -> None:
    assert measure(5_000)["all_s"] < 30
