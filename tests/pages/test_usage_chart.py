"""The picture of days of usage: its bands, its upper edge, and what nobody knew."""

from __future__ import annotations

import re

import pytest

from mlabhub.i18n import get_translator
from mlabhub.service.pages.usage_chart import HEIGHT, make_chart, nice
from mlabhub.service.usage.views import UsageRow

ENGLISH = get_translator("en")


def row(day: str, used: float, wasted: float, unknown: float, there: float | None) -> UsageRow:
    parts = [3600 * one for one in (used + wasted + unknown, used, wasted, unknown, 0.0)]
    return UsageRow(*parts, name=day, there_s=None if there is None else 3600 * there)


def edges(path: str) -> list[float]:
    """Return how high a band's points are, from the bottom up."""
    return [HEIGHT - float(high) for high in re.findall(r"[ML]\d+ (-?[\d.]+)", path)]


def test_bands_lie_upon_each_other() -> None:
    chart = make_chart([row("2026-11-01", 50, 20, 10, 100), row("2026-11-02", 0, 0, 0, None)], ENGLISH)
    assert (chart.width, chart.top) == (2, "100 GPU-hours a day")
    tops = [max(edges(band.path)) for band in chart.bands]
    assert [(band.key, top) for band, top in zip(chart.bands, tops, strict=True)] == [
        ("used", 100.0),
        ("wasted", 140.0),
        ("unknown", 160.0),
        ("free", 200.0),
    ]
    assert chart.lines[0].cells == ["50", "20", "10", "20"]
    assert chart.lines[1].cells == ["0", "0", "0", "not known"]


def test_what_nobody_knew_to_be_free_is_no_band() -> None:
    chart = make_chart([row("2026-11-01", 5, 0, 0, None)], ENGLISH)
    assert [band.key for band in chart.bands] == ["used", "wasted", "unknown"]
    assert make_chart([], ENGLISH).bands[0].path == ""


@pytest.mark.parametrize(("value", "top"), [(0, 1), (1, 1), (1.1, 2), (20, 20), (21, 50), (99_999, 100_000)])
def test_the_upper_edge_is_a_round_number(value: float, top: float) -> None:
    assert nice(value) == top
