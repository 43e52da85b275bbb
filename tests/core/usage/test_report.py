"""Periods as people write them, the order of lines, and CSV that no spreadsheet runs."""

from __future__ import annotations

import csv
import io
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlabhub.core.usage.report import Line, NoPeriod, Period, by_day, by_waste, csv_text, read_period, whole
from mlabhub.core.usage.sums import Sums

TODAY = date(2026, 11, 27)


def test_without_words_it_is_the_last_thirty_days() -> None:
    found = read_period(None, "", TODAY)
    assert (found, found.length) == (Period(date(2026, 10, 29), TODAY), 30)
    assert found.before == Period(date(2026, 9, 29), date(2026, 10, 28))


@pytest.mark.parametrize(
    "text", ["2026-13-01", "2026-1-1", "１２３４-０１-０１", "0001-01-01", "9999-12-31", "x" * 10_000]
)
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(NoPeriod):
        read_period(text, None, TODAY)
    with pytest.raises(NoPeriod):
        read_period(None, text, TODAY)


def test_who_wasted_most_comes_first() -> None:
    lines = by_waste({"a": Sums(9, 0, 1), "b": Sums(5, 0, 4), "c": Sums(8, 0, 1)})
    assert [line.name for line in lines] == ["b", "a", "c"]
    assert whole(lines) == Sums(22, 0, 6)


def test_every_day_has_a_line() -> None:
    lines = by_day({"2026-11-02": Sums(7)}, Period(date(2026, 11, 1), date(2026, 11, 3)))
    assert [(line.name, line.sums.held) for line in lines] == [("2026-11-01", 0), ("2026-11-02", 7), ("2026-11-03", 0)]


@given(st.lists(st.text()))
def test_no_cell_is_a_formula_or_breaks_its_line(names: list[str]) -> None:
    text = csv_text("user", [Line(name, Sums(3_600_000, 1)) for name in names])
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert len(rows) == len(names) + 1 == text.count("\r\n")
    for name, row in zip(names, rows[1:], strict=True):
        assert not row[0].lstrip().startswith(("=", "+", "-", "@"))
        assert row[1:3] == ["1.000000", "0.000000"]
        if name.isalnum():
            assert row[0] == name
