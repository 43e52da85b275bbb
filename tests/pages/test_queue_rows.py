"""A line of the queue's table is made once for all who see it alike, and not for longer than it is true."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

from mlabhub.i18n import get_translator
from mlabhub.service.pages.queue_rows import FRESH_S, QueueRows
from mlabhub.service.pages.queueing import Row, Words
from mlabhub.service.views import Person
from tests.pages.launcher import MemoryLauncher

NOW = datetime(2026, 11, 27, 12, tzinfo=timezone.utc)
ENGLISH = Words(get_translator("en"), lambda path="", **_: path, NOW)


async def test_who_sees_alike_shares_lines_and_time_makes_them_anew() -> None:
    launcher = MemoryLauncher({"alice": (), "bob": ()})
    launcher.waits.add("alice", "exp", gpus=1, group=None)
    (entry,) = await launcher.waits.queue(Person("bob"))
    made: list[Row] = []
    rows = QueueRows()

    def line(words: Words = ENGLISH, view: object = entry, acts: bool = False) -> str:
        def render(row: Row) -> str:
            made.append(row)
            return f"<tr>{len(made)}"

        known = rows.known(view, words, front=False, acts=acts)  # type: ignore[arg-type]
        return known or rows.make(view, words, render, front=False, acts=acts)  # type: ignore[arg-type]

    assert (line(), line()) == ("<tr>1", "<tr>1")
    assert line(acts=True) == "<tr>2", "other columns"
    assert line(replace(ENGLISH, t=get_translator("zh_CN"))) == "<tr>3", "another language"
    assert line(view=replace(entry)) == "<tr>4", "another view, though an equal one"
    assert line(replace(ENGLISH, now=NOW + timedelta(seconds=0.3 * FRESH_S - 1))) == "<tr>1"
    assert line(replace(ENGLISH, now=NOW + timedelta(seconds=FRESH_S))) == "<tr>5", "it says how long ago"
    assert line(replace(ENGLISH, now=NOW - timedelta(seconds=1))) == "<tr>6", "the clock was set back"
