"""What idleness comes to, as a page for administrators."""

from __future__ import annotations

import time

import pytest

from mlabhub.messages import Message
from mlabhub.service.idle.answers import (
    KeepingAnswer,
    OverviewAnswer,
    SilentAnswer,
    UndeliverableAnswer,
    UnknownAnswer,
    WouldStopAnswer,
)
from tests.pages.conftest import Login
from tests.pages.launcher import HOSTILE
from tests.pages.site import PREFIX, Site

pytestmark = pytest.mark.asyncio(loop_scope="session")


def told(many: int = 1) -> OverviewAnswer:
    """Return one of each, with texts that attack."""
    now = time.time()
    why = Message.of("{why}", why=HOSTILE)
    stops = (
        *(
            WouldStopAnswer("01W", "bob", "old", now - 7200, 2, Message("GPU idle for 2 h."), None, None, False, 4.0)
            for _ in range(many)
        ),
        WouldStopAnswer("01X", "bob", "used", now - 7200, 4, why, now - 3600, None, True, 4.0),
    )
    return OverviewAnswer(
        now,
        {"active": 3, "warned": 1, "idle": 0},
        8.0,
        1,
        stops,
        (UnknownAnswer("01U", "carol", "", 1, None, why, (why,)),),
        (SilentAnswer("01S", HOSTILE, HOSTILE, 1, now - 1200),),
        (UndeliverableAnswer("01D", "dan", "exp", 1),),
        (KeepingAnswer("01K", "", "", now - 600, now + 6600, HOSTILE, HOSTILE),),
    )


async def test_administrators_see_all_of_it(login: Login, site: Site) -> None:
    site.idle.told = told()
    text = (await (await login("root")).get("idle")).text
    for said in (
        "Servers: 3 at work · 1 warned.",
        "Dry runs would have stopped 2 in the last 30 days, and 8.0 GPU-hours would have been free. Used again",
        "after that: 1.",
        "not once",
        "used again",
        "still idle",
        "(20 min ago)",
        "dan / exp",
        "carol / Default server",
        f'href="{PREFIX}servers/01W"',
        "01K",
    ):
        assert said in text, said
    assert "<img src=x" not in text
    assert "<script>alert" not in text
    assert " style=" not in text


async def test_nobody_else_does(login: Login, site: Site) -> None:
    client = await login("alice")
    assert (await client.get("idle")).status_code == 403
    assert f'href="{PREFIX}idle"' not in (await client.get("")).text
    assert f'href="{PREFIX}idle"' in (await (await login("root")).get("")).text


async def test_nothing_is_said_to_be_nothing(login: Login, site: Site) -> None:
    client = await login("root")
    empty = (await client.get("idle")).text
    assert "No server runs." in empty
    assert "Every warning reached its person." in empty
    assert "<table" not in empty


async def test_much_is_cut(login: Login, site: Site) -> None:
    site.idle.told = told(500)
    assert "Behind these: 401 more." in (await (await login("root")).get("idle")).text
