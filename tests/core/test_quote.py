"""Values of others in our sentences."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlabhub.core.quote import plain, quote, quote_all


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (-1, "-1"),
        (1.5, "1.5"),
        (float("nan"), "nan"),
        ("alice", '"alice"'),
        ("a\nb\x1b[31m", '"a\ufffdb\ufffd[31m"'),
        ("x" * 500, '"' + "x" * 77 + '…"'),
        (10**500, "a number of more than 80 digits"),
        ([], "[]"),
        ([1, [2], {"a": 1}, {}], "[1, […], {…}, {}]"),
        ({}, "{}"),
        ({"a": 1}, '{"a", …}'),
        (b"x", "a bytes"),
        (object(), "a object"),
    ],
    ids=lambda one: "object" if type(one) is object else repr(one),
)
def test_quote(value, shown):
    assert quote(value) == shown


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(json_values)
def test_quote_is_one_short_printable_line(value):
    shown = quote(value)
    assert shown.isprintable()
    assert len(shown) <= 80


@given(st.lists(st.text(max_size=100), max_size=30))
def test_quote_all_is_one_printable_line(values):
    shown = quote_all(values)
    assert shown.isprintable()
    assert len(shown) < 12 * 82 + 10


def test_quote_all():
    assert quote_all([]) == "-"
    assert quote_all(["a", "b", "c"], most=2) == "a, b, …"
    assert plain("{}") == "{}"
