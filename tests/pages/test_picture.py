"""A day of a server in one picture."""

from __future__ import annotations

from typing import Any

import pytest

from mlabhub.core.readings import Sample
from mlabhub.i18n import get_translator
from mlabhub.service.pages.picture import HEIGHT, WIDTH, Happened, Picture, make_picture
from tests.pages.conftest import Login
from tests.pages.helpers import start
from tests.pages.launcher import HOSTILE, MemoryLauncher
from tests.pages.site import Site

UNTIL = 1_700_000_100.0 // 3600 * 3600 + 1800
"""Half past some hour, so that the last half of the picture's last hour is ahead."""


def day(*stretches: tuple[float, float, Any, Any]) -> tuple[Sample, ...]:
    """Return samples by the minute: so many hours before, until so many hours before, use of two GPUs and cores."""
    return tuple(
        Sample(UNTIL - 3600 * first + 60 * (minute + 1), "alice/exp", "01A", 2, (gpu, gpu), (1.0, 1.0), cores)
        for first, last, gpu, cores in stretches
        for minute in range(round(60 * (first - last)))
    )


def picture(samples: tuple[Sample, ...], *happened: Happened) -> Picture:
    return make_picture(samples, UNTIL, happened, get_translator("en"))


def test_unknown_is_hatched_and_never_zero() -> None:
    """Two hours at work, one unread, two idle, two without any sample, and an hour idle."""
    found = picture(day((8, 6, 80.0, 2.0), (6, 5, None, None), (5, 3, 0.0, 0.25), (1, 0, 0.0, 0.25)))
    gpu, cpu = found.tracks
    now = WIDTH - 6
    assert gpu.unknown == [(0, now - 96), (now - 72, 12), (now - 36, 24)] == cpu.unknown
    assert len(gpu.areas) == 3
    assert f"L{now - 96} 20.0" in gpu.areas[0]
    assert f"L{now - 12} {HEIGHT}.0" in gpu.areas[2], "zero that was measured is a line on the edge"
    assert not any(f"{now + 1} " in area for area in gpu.areas), "what is ahead is neither known nor unknown"
    assert gpu.said.startswith("GPU: 10 % or more for 2 h, less for 3 h; for 18 h 30 min it is not known")
    assert cpu.said.startswith("Processors: 2 cores in use at most, 0.95 on average")
    assert found.hours[-1].values == ["0 %", "0.25 cores"]
    assert found.hours[0].values == ["not known", "not known"]
    assert (len(found.hours), len(found.labels)) == (24, 8)


def test_a_minute_unread_makes_five_unknown_unless_work_was_seen() -> None:
    samples = day((2, 0, 0.0, 0.5))
    holes = [one for one in samples if not UNTIL - 3600 < one.t <= UNTIL - 3480]
    assert (WIDTH - 18, 1) in picture(tuple(holes)).tracks[0].unknown
    busy = [one for one in day((2, 0, 50.0, 0.5)) if not UNTIL - 3600 < one.t <= UNTIL - 3480]
    assert picture(tuple(busy)).tracks[0].unknown == [(0, WIDTH - 30)]


def test_nothing_known_and_no_gpus() -> None:
    found = picture(())
    assert [track.key for track in found.tracks] == ["cpu"]
    assert found.tracks[0].said == "Processors: not known all the time."
    assert found.tracks[0].unknown == [(0, WIDTH - 6)]
    alone = tuple(Sample(UNTIL - 60 * ago, "a/b", "01A", 0, (), (), 1.5) for ago in range(60))
    assert [track.key for track in picture(alone).tracks] == ["cpu"]


def test_marks_are_where_they_happened_and_nowhere_outside() -> None:
    found = picture(
        (),
        Happened("warned", UNTIL - 3600, None, "Warned"),
        Happened("kept", UNTIL - 1800, UNTIL + 7200, "Kept"),
        Happened("kept", UNTIL - 90 * 3600, UNTIL - 80 * 3600, "long ago"),
    )
    assert [(one.kind, one.left, one.width) for one in found.marks] == [
        ("warned", WIDTH - 18, 0.0),
        ("kept", WIDTH - 12, 6.0),
    ]


@pytest.mark.asyncio(loop_scope="session")
async def test_the_page_has_it_for_everybody(login: Login, launcher: MemoryLauncher, site: Site) -> None:
    launch_id = await start(launcher, profile="gpu")
    site.idle.warned, site.idle.kept = {"exp"}, [(HOSTILE,)]
    client = await login("alice")
    text = (await client.get(f"servers/{launch_id}")).text
    assert 'role="img" aria-labelledby="day-cpu"' in text
    assert "The same as a table" in text
    assert "Warned at" in text
    assert 'class="mlab-day-warned"' in text
    assert 'class="mlab-day-unknown"' in text
    assert "<img src=x" not in text
    assert " style=" not in text
    site.idle.away = True
    away = (await client.get(f"servers/{launch_id}")).text
    assert "cannot be looked up at the moment" in away
    assert "<svg" not in away
