"""What a server writes, as it is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlabhub.core.log_text import LONGEST_LINE, LineReader, clean, last_lines, what_is_new


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("\x1b[32m[I 2026]\x1b[0m ready", "[I 2026] ready"),
        ("\x1b]0;a title\x07prompt", "prompt"),
        (" 10 %\r 50 %\r100 %\r", "100 %"),
        ("a\tb\x07", "a    b\ufffd"),
        ("\u202egnp.exe", "\ufffdgnp.exe"),
        ("\x1b[9999999999", "\ufffd[9999999999"),
        ("模型已保存", "模型已保存"),
    ],
)
def test_a_line_is_what_a_terminal_would_have_left_of_it(written: str, shown: str) -> None:
    assert clean(written) == shown


def test_a_line_without_end_is_cut() -> None:
    assert len(clean("x" * 100_000)) == LONGEST_LINE
    reader = LineReader()
    assert [reader.feed(b"x" * 100_000) for _ in range(50)] == [[]] * 50
    assert [len(line) for line in reader.end()] == [LONGEST_LINE]


@given(st.binary(max_size=400), st.data())
def test_however_it_is_cut_the_lines_are_the_same(written: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(written)), max_size=6)))
    reader, lines = LineReader(), []
    for begin, end in zip([0, *cuts], [*cuts, len(written)], strict=True):
        lines += reader.feed(written[begin:end])
    lines += reader.end()
    assert tuple(lines) == last_lines(written, 1000)
    assert all(line.isprintable() for line in lines)


def test_as_many_lines_as_are_asked_for() -> None:
    assert last_lines(b"a\nb\nc\n", 2) == ("b", "c")
    assert last_lines(b"a\nb", 9) == ("a", "b")
    assert last_lines(b"a\nb", 0) == ()


@given(st.lists(st.sampled_from("ab"), max_size=8), st.lists(st.sampled_from("abc"), max_size=8), st.integers(1, 20))
def test_what_is_known_is_not_told_again(known: list[str], further: list[str], most: int) -> None:
    new = what_is_new(known, [*known, *further][-most:])
    assert list(new) == further[len(further) - len(new) :]


def test_of_something_else_all_is_new() -> None:
    assert what_is_new(["a", "b"], ["c", "d"]) == ("c", "d")
    assert what_is_new(["a", "b"], ["b", "c"]) == ("c",)
