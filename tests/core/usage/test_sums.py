"""GPU time as sums: however time is cut, the parts are the whole, to the millisecond, and nothing counts twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlabhub.core.readings import Sample
from mlabhub.core.usage.sums import Fold, Held, Key, Sums, Waited, days_between, step_of

ZONES = ["UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kolkata", "Australia/Lord_Howe", "Asia/Beirut"]
# In each of these days some of the zones sets its clocks.
BEGINS = [one // 60 * 60 for one in (1_711_756_800, 1_729_900_800, 1_540_600_000, 1_711_230_000, 1_696_000_000)]
MINUTE = 60
SPAN = 3 * 1440

minutes = st.integers(0, SPAN)


@st.composite
def launches(draw: st.DrawFn) -> list[Held]:
    """Some launches of two users, of which some run on, or were over before."""
    found = []
    for number in range(draw(st.integers(0, 5))):
        begin = draw(minutes)
        end = draw(st.one_of(st.none(), st.integers(begin, SPAN)))
        user, group = draw(st.sampled_from([("alice", "vision"), ("alice", None), ("bob", "vision")]))
        found.append(
            Held(f"L{number}", user, group, draw(st.sampled_from(["a", "b"])), draw(st.integers(1, 4)), begin, end)
        )
    return found


def at(begin: int, one: Held) -> Held:
    """Return a launch, its minutes made moments."""
    end = None if one.end is None else begin + MINUTE * one.end
    return Held(one.launch_id, one.user, one.group, one.profile, one.gpus, begin + MINUTE * one.begin, end)


def fold(
    since: float, until: float, zone: str, held: Iterable[Held], samples: Iterable[Sample] = ()
) -> dict[Key, Sums]:
    """Return the sums of one window."""
    one = Fold(since, until, ZoneInfo(zone))
    one.hold(held)
    one.wait(Waited(each.user, each.group, each.profile, each.gpus, each.begin, each.end) for each in held)
    for sample in samples:
        if since < sample.t <= until:
            one.see([sample])
    return one.sums


def together(parts: Iterable[dict[Key, Sums]]) -> dict[Key, Sums]:
    """Return the sums of several windows."""
    found: dict[Key, Sums] = {}
    for part in parts:
        for key, one in part.items():
            found[key] = found.get(key, Sums()).plus(one)
    return found


@given(launches(), st.sampled_from(BEGINS), st.sampled_from(ZONES), st.lists(minutes, max_size=6))
def test_windows_and_days_are_the_whole(held: list[Held], begin: int, zone: str, cuts: list[int]) -> None:
    held = [at(begin, one) for one in held]
    edges = [begin, *(begin + MINUTE * cut for cut in sorted(cuts)), begin + MINUTE * SPAN]
    found = together(fold(since, until, zone, held) for since, until in pairwise(edges) if since < until)
    wanted: Counter[Key] = Counter()
    for one in held:
        last = begin + MINUTE * SPAN if one.end is None else int(one.end)
        for moment in range(int(one.begin), last, MINUTE):
            day = datetime.fromtimestamp(moment, ZoneInfo(zone)).date().isoformat()
            wanted[Key(day, one.user, one.group or "", one.profile)] += 1000 * MINUTE * one.gpus
    assert {key: one.held for key, one in found.items()} == dict(wanted)
    assert {key: one.waited for key, one in found.items()} == dict(wanted)


uses = st.one_of(st.none(), st.sampled_from([0.0, 9.9, 10.0, 100.0]))


@given(
    launches(),
    st.sampled_from(ZONES),
    st.lists(st.tuples(st.integers(-2, SPAN + 2), st.integers(0, 5), st.lists(uses, max_size=5)), max_size=30),
    st.lists(minutes, max_size=3),
    st.floats(0, 59.999),
)
def test_no_more_is_measured_than_was_held(
    held: list[Held], zone: str, told: list[tuple[int, int, list[float | None]]], cuts: list[int], off: float
) -> None:
    begin = BEGINS[0]
    held = [at(begin, one) for one in held]
    samples = [
        Sample(begin + MINUTE * minute + off, "x/", f"L{launch}", len(util), tuple(util), (), None)
        for minute, launch, util in sorted(told, key=lambda one: one[0])
    ]
    edges = [begin, *(begin + MINUTE * cut for cut in sorted(cuts)), begin + MINUTE * SPAN]
    found = together(fold(since, until, zone, held, samples) for since, until in pairwise(edges) if since < until)
    for one in found.values():
        assert min(one.used, one.idle, one.unknown) >= 0


def test_what_is_used_idle_and_not_known() -> None:
    held = [Held("L0", "alice", "vision", "gpu", 2, 30.0, 240.0)]
    samples = [
        Sample(60.0, "alice/", "L0", 2, (10.0, 9.9), (), None),
        Sample(120.0, "alice/", "L0", 2, (None, 0.0), (), None),
        Sample(240.0, "alice/", "L0", 2, (50.0, 50.0), (), None),
        Sample(240.0, "alice/", "other", 2, (50.0, 50.0), (), None),
    ]
    found = fold(0.0, 600.0, "UTC", held, samples)[Key("1970-01-01", "alice", "vision", "gpu")]
    assert found == Sums(held=2 * 210_000, used=30_000 + 120_000, idle=30_000 + 60_000, waited=2 * 210_000)
    assert found.unknown == 60_000 + 120_000


def test_a_sample_that_comes_twice_counts_once() -> None:
    held = [Held("L0", "alice", None, "gpu", 1, 0.0)]
    samples = [Sample(t, "alice/", "L0", 1, (80.0,), (), None) for t in (60.0, 60.0, 90.0)]
    assert fold(0.0, 300.0, "UTC", held, samples)[Key("1970-01-01", "alice", "", "gpu")].used == 90_000


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [("Europe/Berlin", "2024-03-31", 23), ("Europe/Berlin", "2024-10-27", 25), ("Asia/Beirut", "2024-03-31", 23)],
)
def test_days_with_more_or_fewer_hours(zone: str, day: str, hours: int) -> None:
    noon = datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=ZoneInfo(zone)).timestamp()
    found = {
        one.name: (one.end - one.begin) / 3_600_000
        for one in days_between(noon - 86_400, noon + 86_400, ZoneInfo(zone))
    }
    assert found[day] == hours


def test_a_day_that_a_zone_left_out_is_nobodys() -> None:
    zone = ZoneInfo("Pacific/Apia")
    begin = datetime(2011, 12, 29, 12, tzinfo=zone).timestamp()
    assert [one.name for one in days_between(begin, begin + 86_400, zone)] == ["2011-12-29", "2011-12-31"]


def test_days_of_this_machines_zone() -> None:
    moment = datetime(2026, 11, 27, tzinfo=timezone.utc).timestamp()
    (one, *_) = days_between(moment, moment + 1.0)
    assert one.name == datetime.fromtimestamp(moment).date().isoformat()


def test_how_long_a_sample_speaks() -> None:
    coarse = [Sample(t, "a/", "L", 1, (0.0,), (), None) for t in (300.0, 600.0)]
    fine = [*coarse, Sample(660.0, "a/", "L", 1, (0.0,), (), None)]
    assert (step_of(coarse, old=True), step_of(coarse, old=False), step_of(fine, old=True)) == (300.0, 60.0, 60.0)
