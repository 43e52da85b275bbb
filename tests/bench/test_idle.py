"""The bench of verdicts: servers are assessed and samples replayed in the time that they may take."""

import pytest

from tests.bench.bench_idle import assess_all, measure, replay


def test_a_small_one_measures_what_it_says() -> None:
    found = measure(5, 2_000)
    assert (found["servers"], found["samples"], found["stops_of_a_busy_server"]) == (5, 2_000, 0)
    assert found["day_mb"] > 0


@pytest.mark.long
def test_3000_servers_are_assessed_in_less_than_three_tenths_of_a_second() -> None:
    found = assess_all(3_000)
    assert found["assess_s"] < 0.3
    assert found["day_mb"] < 200


@pytest.mark.long
def test_a_million_samples_are_replayed_in_less_than_20_seconds() -> None:
    assert replay(1_000_000)["all_s"] < 20
