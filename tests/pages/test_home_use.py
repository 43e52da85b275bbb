"""What the home page shows of use and cost, and of quotas."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlabhub.core.idle.day_use import PLACES, STEP_S, DayUse, day_use
from mlabhub.core.idle.samples import Sample, Samples
from mlabhub.i18n import get_translator
from mlabhub.service.pages.quota_bars import WIDTH, Meter, make_bars
from mlabhub.service.pages.spark import gpu_hours, make_sparks
from mlabhub.service.views import CatalogView, UsageView
from tests.pages.conftest import Login
from tests.pages.helpers import start
from tests.pages.launcher import MemoryLauncher
from tests.pages.site import Site

END = 1_000_000 * 60.0
ENGLISH, CHINESE = get_translator("en"), get_translator("zh_CN")


def samples_of(*rows: tuple[float, list[float | None], float | None]) -> Samples:
    """Return samples: how many minutes before the end, use of each GPU, cores in use."""
    known = Samples("01A")
    for minutes, gpus, cores in rows:
        known.add(Sample(END - 60 * minutes, gpus=len(gpus), gpu_util=gpus, cpu_cores=cores))
    return known


def test_the_highest_use_of_gpus_and_the_mean_of_cores() -> None:
    use = day_use(samples_of((40, [10, 90], 1.0), (20, [5, 6], 2.0), (19, [50, 0], 4.0), (0, [37, 0], 2.5)), END)
    assert (use.gpu[-3:], use.cores[-3:]) == ((90, 50, 37), (1.0, 3.0, 2.5))
    assert (use.gpu_now, use.cores_now, use.before) == (37, 2.5, PLACES - 3)


def test_unknown_is_never_zero_and_work_that_was_seen_counts() -> None:
    use = day_use(samples_of((20, [None, 3], None), (19, [2, 2], 1.0), (1, [None, 40], 1.0)), END)
    assert (use.gpu[-2:], use.cores[-2:]) == ((None, 40), (None, 1.0))
    assert use.gpu_now == 40
    late = day_use(samples_of((5, [80], 1.0)), END)
    assert (late.gpu_now, late.cores_now, late.gpu[-1]) == (None, None, 80)
    assert day_use(Samples("01A"), END).before == PLACES


def test_a_launch_without_gpus_has_no_picture_of_them() -> None:
    use = day_use(samples_of((1, [], 1.5)), END)
    assert (use.gpu, use.gpu_now, use.cores[-1]) == ((), None, 1.5)
    assert [one.key for one in make_sparks(use, 4, ENGLISH)] == ["cpu"]


@given(st.lists(st.tuples(st.floats(-200, 2000), st.one_of(st.none(), st.floats(0, 100))), max_size=40))
def test_a_value_is_shown_only_where_one_was_measured(rows: list[tuple[float, float | None]]) -> None:
    use = day_use(samples_of(*((minutes, [value], value) for minutes, value in rows)), END)
    for place, value in enumerate(use.gpu):
        first = END - (PLACES - place) * STEP_S
        told = [util for minutes, util in rows if first < END - 60 * minutes <= first + STEP_S and util is not None]
        assert value is None or any(math.isclose(value, one, rel_tol=1e-5, abs_tol=1e-5) for one in told)


def test_a_picture_says_what_it_shows() -> None:
    use = day_use(samples_of((100, [None], 1.0), (61, [75], 3.4), (1, [0], None)), END)
    gpu, cpu = make_sparks(use, 8, ENGLISH)
    assert (gpu.now, gpu.said) == ("now 0 %", "at most 75 % in the last 1 h 45 min, not known for 1 h 15 min")
    assert cpu.now == "now not known"
    assert len(gpu.areas) == 2
    assert all(left >= use.before for left, _ in gpu.unknown)
    assert "GPU" not in make_sparks(use, 8, CHINESE)[1].name
    assert make_sparks(DayUse(END, PLACES, (), ()), 8, ENGLISH) == make_sparks(None, 8, ENGLISH) == []


def test_cost_is_gpus_times_hours() -> None:
    assert gpu_hours(2, 5400, ENGLISH) == "3 GPU-hours"
    assert gpu_hours(1, 100, ENGLISH) == "0 GPU-hours"
    assert gpu_hours(8, 90 * 86400, ENGLISH) == "17,280 GPU-hours"
    assert gpu_hours(1, -5, ENGLISH) == "0 GPU-hours"


def view_of(own: UsageView, *groups: UsageView) -> CatalogView:
    return CatalogView((), (), (), None, own, groups, see_nodes=tuple, gpu_types=("a100",))


def test_bars_say_what_is_held_borrowed_guaranteed_and_the_limit() -> None:
    vision = UsageView("vision", {"gpu": 14}, {"gpu": 40}, {"gpu": 8}, borrowed={"gpu": 6})
    own, group = make_bars(view_of(UsageView("alice", {"gpu": 2}, {"gpu": 8}, {}), vision), None, ENGLISH)
    assert [(one.said, one.meter.own, one.meter.borrowed) for one in own.bars] == [("2 of 8 GPU", WIDTH // 4, 0)]
    (bar,) = group.bars
    assert bar.said == "vision holds 8 of 8 guaranteed GPU, and borrows 6 of 32."
    assert bar.meter == Meter(own=200, borrowed=150, guaranteed=200, full=False)


def test_more_than_a_limit_that_was_lowered_is_said() -> None:
    (own,) = make_bars(view_of(UsageView("alice", {"gpu": 9}, {"gpu": 8}, {})), "alice", ENGLISH)
    assert (own.name, own.bars[0].meter.full, own.bars[0].meter.own) == ("alice alone", True, WIDTH)
    assert "more than the limit" in own.bars[0].said


def minutes_ago(launcher: MemoryLauncher, user: str, name: str, minutes: float) -> None:
    view = launcher.views[user, name]
    launcher.views[user, name] = replace(view, since=(datetime.now() - timedelta(minutes=minutes)).timestamp())


@pytest.mark.asyncio(loop_scope="session")
async def test_a_card_has_use_and_cost_so_far(login: Login, launcher: MemoryLauncher, site: Site) -> None:
    launch_id = await start(launcher, profile="gpu")
    launcher.finish(launch_id)
    minutes_ago(launcher, "alice", "exp", 90)
    gpus = launcher.views["alice", "exp"].gpus
    site.idle.uses[launch_id] = day_use(samples_of((2, [12] * gpus, 1.0), (1, [37] * gpus, 2.5)), END)
    client = await login("alice")
    page = (await client.get("")).text
    assert re.search(r"GPU</span> now 37 % <span[^>]*>\(at most 37 % in the last 15 min\)", page)
    assert f"{1.5 * gpus:g} GPU-hours" in page
    assert "Quotas</h2>" in page
    assert " style=" not in page
    site.idle.uses.clear()
    assert "mlab-sparks" not in (await client.get("")).text
    assert "GPU-hours" not in (await (await login("bob")).get("")).text


@pytest.mark.asyncio(loop_scope="session")
async def test_an_administrator_sees_anothers(login: Login, launcher: MemoryLauncher, site: Site) -> None:
    launcher.finish(await start(launcher, profile="gpu"))
    page = (await (await login("root")).get("?user=alice")).text
    assert "alice alone" in page
