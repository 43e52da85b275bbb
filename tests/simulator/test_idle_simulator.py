"""Stories of idle servers from seeds: a stop is after a delivered warning, its grace, and ten idle minutes."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.simulator.idle_story import IdleStory
from tests.simulator.story import Script, describe, tell_story

DEEDS = 60


def live_through(seed: int, steps: int) -> Counter[str]:
    """Tell stories, one after the other, for so many steps; return what happened in them."""
    happened: Counter[str] = Counter()
    while happened["steps"] < steps:
        story = tell_story(Script.of(seed, DEEDS), IdleStory)
        if story.accounts.broken:
            pytest.fail(describe(story), pytrace=False)
        happened.update(story.accounts.counts)
        happened["steps"] += story.steps
        happened["hours"] += int(story.accounts.now / 3600)
        seed += 1
    return happened


def test_some_stories_of_idle_servers() -> None:
    happened = live_through(5000, 20_000)
    print(dict(happened))


@pytest.mark.long
@pytest.mark.timeout(900)
def test_many_stories_of_idle_servers() -> None:
    happened = live_through(200_000, 600_000)
    print(dict(happened))
    for kind, least in {"warning given": 300, "warning stopping": 100, "warning withdrawn": 20, "kept": 1}.items():
        assert happened[kind] >= least, (kind, happened)
