"""``mlabhub audit`` against a service that runs: what is found, shown and written out."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime
from typing import Any

import pytest
import typer

from mlabhub.cli.dates import read_past_day
from mlabhub.errors import InvalidLaunch, NotPermitted
from mlabhub.ledger import AuditEntry
from mlabhub.messages import Message
from mlabhub.service.writer import Outcome
from tests.cli.test_queue import full, mlabhub, refused, running
from tests.service.conftest import Running

__all__ = ["full", "mlabhub", "running"]


@pytest.fixture
async def written(full: Running) -> Running:
    """Return a service whose audit has 1,200 entries of bob's, and one that attacks."""
    said = Message.of("{n} asked", n="admin")
    records = [AuditEntry(float(n), "admin", "stop", said, "bob", f"s{n}") for n in range(1200)]
    records.append(AuditEntry(5000.0, "carol", "keep", Message("=1+1\u202e\x1b[2J"), "carol", "x"))
    await full.world.writer.submit(lambda _: Outcome(None, tuple(records)))
    return full


async def test_it_is_shown_and_narrowed(written: Running, mlabhub: Any) -> None:
    shown = await mlabhub("audit", "--user", "bob", "--text", "S7 ".strip(), "--limit", "3", who="admin")
    assert shown.exit_code == 0, shown.exception
    lines = shown.stdout.splitlines()
    assert lines[0].split()[:2] == ["when", "act"]
    assert len(lines) == 4
    assert "bob/s799" in lines[1]
    assert "There are more" in shown.stderr
    assert (await mlabhub("audit", "--text", "nobody says so", who="admin")).stdout == "No entry is like that.\n"
    attack = (await mlabhub("audit", "--actor", "carol", who="admin")).stdout
    assert not {"\u202e", "\x1b"} & set(attack)


async def test_as_json(written: Running, mlabhub: Any) -> None:
    told = json.loads((await mlabhub("audit", "--act", "stop", "--limit", "1000", "--json", who="admin")).stdout)
    assert len(told["entries"]) == 1000
    assert set(told) == {"entries", "next"}
    assert told["next"] == told["entries"][-1]["number"]


async def test_as_csv_all_of_it(written: Running, mlabhub: Any) -> None:
    rows = list(csv.DictReader(io.StringIO((await mlabhub("audit", "--user", "bob", "--csv", who="admin")).stdout)))
    assert [row["server"] for row in rows] == [f"s{n}" for n in reversed(range(1200))]
    (one,) = csv.DictReader(io.StringIO((await mlabhub("audit", "--user", "carol", "--csv", who="admin")).stdout))
    assert one["message"].startswith("'=1+1")
    assert not {"\u202e", "\x1b"} & set(one["message"])


async def test_it_is_for_administrators_and_says_what_is_wrong(written: Running, mlabhub: Any) -> None:
    refused(await mlabhub("audit"), NotPermitted, 1)
    refused(await mlabhub("audit", "--csv"), NotPermitted, 1)
    refused(await mlabhub("audit", "--text", "x" * 300, who="admin"), InvalidLaunch, 1)
    assert (await mlabhub("audit", "--csv", "--json", who="admin")).exit_code == 2
    assert "soon" in (await mlabhub("audit", "--from", "soon", who="admin")).stderr


@pytest.mark.parametrize(
    ("text", "end", "at"),
    [
        ("3d", False, "2026-11-29T12:00"),
        ("12h", True, "2026-12-02T00:00"),
        ("yesterday", False, "2026-12-01T00:00"),
        ("yesterday", True, "2026-12-02T00:00"),
        ("today", False, "2026-12-02T00:00"),
        ("wednesday", False, "2026-12-02T00:00"),
        ("friday", False, "2026-11-27T00:00"),
        ("2026-11-03", True, "2026-11-04T00:00"),
    ],
)
def test_what_is_past_is_meant(text: str, end: bool, at: str) -> None:
    now = datetime.fromisoformat("2026-12-02T12:00").astimezone()
    assert read_past_day(text, now, end=end, option="--from") == datetime.fromisoformat(at).astimezone().timestamp()


def test_what_is_no_moment() -> None:
    with pytest.raises(typer.BadParameter, match="soon"):
        read_past_day("soon", datetime.now().astimezone(), end=False, option="--from")
