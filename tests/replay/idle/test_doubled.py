"""A recording that stands in a stream twice is read once; a clock that was set back is no copy."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from mlabhub.replay.idle import doubled
from mlabhub.replay.idle.doubled import Once
from mlabhub.replay.idle.reader import read_samples
from tests.replay.idle.traces import lines_of, many, replayed, sessions, trace

TOLD = lines_of(many(400, servers=20))
IDLE = lines_of(trace((90, 0.0)))


def left(lines: Sequence[bytes]) -> list[bytes]:
    """Return the lines that are read."""
    return [raw for _, raw in Once(lines)]


@pytest.mark.parametrize("copies", [2, 3])
@pytest.mark.parametrize("held", [100, 399, 400, 1000])
def test_copies_are_left_out(copies: int, held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doubled, "HELD", held)
    once = Once(TOLD * copies)
    assert list(once) == list(enumerate(TOLD, 1))
    assert once.left_out == (copies - 1) * len(TOLD)


def test_what_comes_after_a_copy_is_read_and_known_by_its_line() -> None:
    more = lines_of(many(500, servers=20))[400:]
    once = list(Once([*TOLD, *TOLD, *more]))
    assert [raw for _, raw in once] == [*TOLD, *more]
    assert once[len(TOLD)][0] == 2 * len(TOLD) + 1


def test_a_copy_that_is_cut_short_once_it_is_known_is_left_out_as_far_as_it_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doubled, "HELD", 100)
    assert left([*TOLD, *TOLD[:120], b"{}\n"]) == [*TOLD, b"{}\n"]


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([], id="nothing"),
        pytest.param([*IDLE, *IDLE], id="a clock set back to the first line while nothing happened"),
        pytest.param([one for one in TOLD for _ in range(2)], id="each line twice on end"),
        pytest.param([*TOLD, *TOLD[:120]], id="a beginning that may be anything"),
        pytest.param([*TOLD, *TOLD[:120], b"{}\n", *TOLD[120:]], id="a copy that differs"),
        pytest.param([b"{\n", b"[" * 99_999, b"7\n", b"\n"] * 2, id="no samples at all"),
    ],
)
def test_what_is_no_copy_stays(lines: list[bytes]) -> None:
    assert left(lines) == lines


def test_a_replay_of_a_recording_twice_is_the_replay_of_it_once() -> None:
    story = list(sessions(servers=6, days=1.0))
    once, twice = replayed(story), replayed([*story, *story])
    assert (twice.decisions, twice.totals) == (once.decisions, once.totals)
    notes = read_samples(lines_of([*story, *story])).notes
    assert notes == (f"{len(story)} lines repeat the recording from its beginning, word for word, and are left out.",)
