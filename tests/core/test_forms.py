"""What form fields say: everything gets through to the gate, numbers as numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlabhub.core.forms import read_number, read_query


@pytest.mark.parametrize(
    ("text", "value"),
    [("2", 2), (" 2 ", 2), ("0.5", 0.5), ("1e3", 1000), ("two", "two"), ("nan", "nan"), ("1e309", "1e309"), ("", "")],
)
def test_numbers(text: str, value: object) -> None:
    assert read_number(text) == value


def test_query() -> None:
    query = {"profile": ["gpu"], "gpus": ["1", "2"], "cmd": ["sh"], "empty": []}
    assert read_query(query) == {"profile": "gpu", "gpus": 2, "cmd": "sh"}


@given(st.dictionaries(st.text(), st.lists(st.text())))
def test_never_fails_and_drops_nothing_that_was_said(query: dict[str, list[str]]) -> None:
    assert set(read_query(query)) == {name for name, values in query.items() if values}
