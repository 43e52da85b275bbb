"""One person who queues and leaves without end: others are told to give back, and that they may stay, a few times."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from mlabhub.core.privacy import Viewer
from mlabhub.core.resolve import resolve
from mlabhub.service.queue import acts
from mlabhub.service.queue.restraint import FIRST_S
from mlabhub.service.queue_views import Told, entry_view
from tests.service.queue.lab import Lab, make_catalog

QUOTAS = {"groups": {"nlp": {"guaranteed": {"gpu": 4}}, "vision": {}}, "notice_seconds": 300}
DAY = 86400.0


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    one = await Lab(tmp_path, make_catalog(QUOTAS)).boot()
    await one.runs("alice", gpus=4, group="vision")
    await one.look(1)
    yield one
    await one.halt()


async def come_and_go(lab: Lab, seconds: float = 1.0) -> None:
    """Let carol ask for what is hers, and leave."""
    waiting = await lab.waits("carol", gpus=4, group="nlp")
    await lab.look(seconds)
    await lab.world.writer.submit(acts.leave(waiting, "carol", lab.now))
    await lab.look(1)


def notices(lab: Lab) -> int:
    return lab.news.of("alice").count("notice")


async def test_who_leaves_again_and_again_troubles_others_once(lab: Lab) -> None:
    for _ in range(20):
        await come_and_go(lab)
    assert lab.news.of("alice") == ["notice", "notice_withdrawn"]


async def test_a_day_of_it_is_a_few_times(lab: Lab) -> None:
    while lab.mono < DAY / 2:
        await come_and_go(lab, 299)
    assert 3 < notices(lab) < 8


async def test_an_owner_who_thought_again_waits_a_while_longer_and_is_told_so(lab: Lab) -> None:
    await come_and_go(lab)
    waiting = await lab.waits("carol", gpus=4, group="nlp")
    await lab.look()
    assert not lab.projection.notices
    entry, told = lab.entry(waiting), Told({waiting: lab.world.queue.blocked_of(waiting) or ""})
    seen = {
        who: entry_view(entry, 1, Viewer(who, frozenset({group})), told).reasons[0].code
        for who, group in (("carol", "nlp"), ("dave", "nlp"), ("alice", "vision"))
    }
    assert seen == {"carol": "restrained", "dave": "room", "alice": "room"}
    await lab.look(FIRST_S)
    assert notices(lab) == 2
    await lab.look(301)
    await lab.look()
    assert lab.state(waiting) == "started"


async def test_others_of_the_group_are_not_concerned(lab: Lab) -> None:
    await come_and_go(lab)
    await lab.waits("dave", gpus=4, group="nlp")
    await lab.look()
    assert notices(lab) == 2


async def test_changing_back_and_forth_is_no_way_around(lab: Lab) -> None:
    waiting = await lab.waits("carol", gpus=4, group="nlp")
    for count in range(20):
        await lab.look(1)
        lab.now += 1
        options = {"profile": "gpu", "gpus": 4, "cpu": 1 + count % 2, "group": "nlp" if count % 2 else None}
        request = resolve(lab.catalog(), "carol", ("nlp", "x"), {**options, "group": "nlp" if count % 2 else "x"}, "")
        await lab.world.writer.submit(acts.change(waiting, request, options, "carol", lab.now))
    assert notices(lab) == 1


async def test_who_starts_as_others_end_by_themselves_has_done_nothing(lab: Lab) -> None:
    waiting = await lab.waits("carol", gpus=4, group="nlp")
    await lab.look()
    await lab.stop("alice")
    for _ in range(3):
        await lab.look(1)
    assert lab.state(waiting) == "started"
    await lab.stop("carol")
    await lab.look(1)
    await lab.runs("alice", gpus=4, group="vision")
    await lab.waits("carol", gpus=4, group="nlp")
    await lab.look()
    assert notices(lab) == 2


async def test_who_was_refused_has_done_nothing(lab: Lab) -> None:
    waiting = await lab.waits("carol", gpus=4, group="nlp")
    await lab.look()
    lab.hub.users["carol"] = replace(lab.hub.users["carol"], groups=("other",))
    for _ in range(3):
        await lab.look(301)
    assert lab.state(waiting) == "refused"
    lab.hub.users["carol"] = replace(lab.hub.users["carol"], groups=("nlp",))
    await lab.waits("carol", gpus=4, group="nlp")
    await lab.look()
    assert notices(lab) == 2
