"""``GET usage``: whose GPU-hours one sees, that they are those of the ledger, and what cannot be asked."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from typing import Any

import httpx
import pytest

from mlabhub.service.usage.loop import UsageLoop
from tests.service.conftest import Running
from tests.service.test_privacy import set_privacy
from tests.service.usage.conftest import BEGIN, HOUR, Past

DAY = datetime.fromtimestamp(BEGIN).date().isoformat()
PERIOD = f"from={DAY}&to={DAY}"


async def ask(past: Past, who: str, query: str = "") -> dict[str, Any]:
    answer = await past.running.call("GET", f"api/v1/usage?{PERIOD}{query}", who)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def hours(row: dict[str, Any]) -> tuple[float, ...]:
    """Return what is allocated, used, wasted, not known, and waited for."""
    return tuple(row[f"{part}_s"] / HOUR for part in ("allocated", "used", "wasted", "unknown", "waited"))


def by_name(told: dict[str, Any]) -> dict[str, tuple[float, ...]]:
    return {row["name"]: hours(row) for row in told["rows"]}


async def test_administrators_see_everybodys(past: Past) -> None:
    told = await ask(past, "admin")
    assert (told["covers"], told["count"], told["until"]) == ("everybody", 3, BEGIN + 3.0 * HOUR)
    assert by_name(told) == {
        "alice": (2.0, 0.5, 1.5, 0.0, 0.0),
        "bob": (2.0, 0.0, 0.0, 2.0, 0.0),
        "carol": (3.0, 0.0, 0.0, 3.0, 4.0),
    }
    assert told["rows"][0]["name"] == "alice"
    assert hours(told["total"]) == (7.0, 0.5, 1.5, 5.0, 4.0)
    assert by_name(await ask(past, "admin", "&by=group")) == {
        "vision": (4.0, 0.5, 1.5, 2.0, 0.0),
        "": (3.0, 0.0, 0.0, 3.0, 0.0),
        "nlp": (0.0, 0.0, 0.0, 0.0, 4.0),
    }
    (day,) = (await ask(past, "admin", "&by=day"))["rows"]
    assert (day["name"], hours(day)) == (DAY, (7.0, 0.5, 1.5, 5.0, 4.0))


async def test_others_see_their_own(past: Past) -> None:
    set_privacy(past.running, "self")
    told = await ask(past, "alice")
    assert (told["covers"], by_name(told)) == ("own", {"alice": (2.0, 0.5, 1.5, 0.0, 0.0)})
    assert by_name(await ask(past, "alice", "&by=group")) == {"vision": (4.0, 0.5, 1.5, 2.0, 0.0)}
    assert by_name(await ask(past, "alice", "&by=profile")) == {"gpu": (2.0, 0.5, 1.5, 0.0, 0.0)}
    assert by_name(await ask(past, "carol", "&by=group")) == {"nlp": (0.0, 0.0, 0.0, 0.0, 4.0)}
    (day,) = (await ask(past, "bob", "&by=day"))["rows"]
    assert (hours(day)[0], day["there_s"]) == (2.0, None)


@pytest.mark.parametrize(
    ("privacy", "names"), [("self", {"alice"}), ("group", {"alice", "bob"}), ("open", {"alice", "bob", "carol"})]
)
async def test_names_as_far_as_privacy_gives(past: Past, privacy: str, names: set[str]) -> None:
    set_privacy(past.running, privacy)
    assert set(by_name(await ask(past, "alice"))) == names


async def test_nothing_counts_twice_after_a_start(past: Past) -> None:
    before = await ask(past, "admin")
    past.world.usage_loop = UsageLoop(past.world)
    await past.pass_by(0.0)
    assert await ask(past, "admin") == before
    await past.pass_by(1.0)
    assert by_name(await ask(past, "admin"))["carol"][0] == 4.0


async def test_what_there_was_is_known_while_it_is_watched(past: Past) -> None:
    for _ in range(12):
        await past.pass_by(1 / 12)
    (day,) = (await ask(past, "admin", "&by=day"))["rows"]
    assert day["there_s"] == 8 * HOUR


async def test_rows_come_in_pages(past: Past) -> None:
    told = await ask(past, "admin", "&limit=1&offset=1")
    assert (told["count"], [row["name"] for row in told["rows"]]) == (3, ["carol"])


async def test_csv_has_all_rows_in_hours(past: Past) -> None:
    answer = await past.running.call("GET", f"api/v1/usage?{PERIOD}&format=csv&limit=1", "admin")
    assert answer.headers["Content-Type"].startswith("text/csv")
    first, *rows = csv.reader(io.StringIO(answer.text))
    assert first == ["user", *(f"{one}_gpu_hours" for one in ("allocated", "used", "wasted", "unknown", "waited"))]
    assert ["alice", "2.000000", "0.500000", "1.500000", "0.000000", "0.000000"] in rows
    assert len(rows) == 3


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("by=colour", 'by must be one of user, group, profile, day; it is "colour"'),
        ("from=yesterday", 'from must be a day such as 2026-11-27; it is "yesterday"'),
        ("to=2026-02-30", 'to must be a day such as 2026-11-27; it is "2026-02-30"'),
        ("from=2026-02-02&to=2026-02-01", "The first day, 2026-02-02, is after the last one, 2026-02-01"),
        ("from=1990-01-01&to=2026-01-01", "there are more than 1830 days"),
        ("limit=0", 'limit must be a whole number from 1 to 1000; it is "0"'),
        ("limit=99999999999999999999", "limit must be a whole number"),
        ("offset=-1", "offset must be a whole number"),
        ("format=xml", 'format must be one of json, csv; it is "xml"'),
    ],
)
async def test_what_cannot_be_asked(running: Running, query: str, words: str) -> None:
    answer = await running.call("GET", f"api/v1/usage?{query}")
    assert (answer.status_code, words in answer.json()["error"]["message"]) == (422, True), answer.text


async def test_prometheus_counts_by_group(past: Past) -> None:
    for _ in range(12):
        await past.pass_by(1 / 12)
    answer: httpx.Response = await past.running.call("GET", "metrics", "admin")
    lines = answer.text.splitlines()
    assert 'mlabhub_gpu_held_seconds_total{group="(no group)",use="unknown"} 3600.0' in lines
    assert "alice" not in answer.text
