"""Numbers that may be chosen."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mlabhub.core.options import NumberOption


def option(value: object) -> NumberOption:
    return NumberOption.model_validate(value)


@pytest.mark.parametrize(
    ("written", "least", "most", "default", "described"),
    [
        (4, 4, 4, 4, "4"),
        (0.5, 0.5, 0.5, 0.5, "0.5"),
        ([1, 2, 4], 1, 4, 1, "1, 2, 4"),
        ({"choices": [4, 1, 2], "default": 2}, 1, 4, 2, "4, 1, 2"),
        ({"min": 1, "max": 16}, 1, 16, 1, "1 to 16 in steps of 1"),
        ({"min": 1, "max": 16, "step": 0.5, "default": 1.5}, 1, 16, 1.5, "1 to 16 in steps of 0.5"),
    ],
    ids=str,
)
def test_written_forms(written, least, most, default, described):
    made = option(written)
    assert (made.min, made.max, made.default, str(made.describe())) == (least, most, default, described)
    assert made.accepts(made.default)
    assert option(made.model_dump()) == made


@pytest.mark.parametrize(
    ("written", "wrong"),
    [
        ({"min": 4, "max": 2}, "max 2 is less than min 4"),
        ({"min": 1, "max": 4, "default": 5}, "the default 5 cannot be chosen; permitted: 1 to 4"),
        ({"min": 1, "max": 4, "default": 1.5}, "the default 1.5 cannot be chosen"),
        ({"choices": [1, 2], "default": 3}, "the default 3 cannot be chosen; permitted: 1, 2"),
        ({"choices": []}, "is empty"),
        ([], "is empty"),
        ({"choices": [1, 2], "min": 0}, "either choices, or min and max"),
        ({"choices": [1, "2"]}, "number"),
        ({"choices": "12"}, "tuple"),
        ({"min": 1}, "required"),
        ({}, "required"),
        ({"min": "1", "max": 2}, "number"),
        ({"min": True, "max": 2}, "number"),
        ({"min": 1, "max": math.inf}, "finite"),
        ({"min": 1, "max": 2, "step": 0}, "greater than 0"),
        ({"min": 1, "max": 2, "most": 3}, "Extra"),
        (-1, "dictionary"),
        (math.nan, "dictionary"),
        (True, "dictionary"),
        ("4", "dictionary"),
        (None, "dictionary"),
    ],
    ids=str,
)
def test_wrong_forms(written, wrong):
    with pytest.raises(ValidationError, match=wrong):
        option(written)


@pytest.mark.parametrize("value", [1, 1.0, 2, 16, 1.5])
def test_accepts(value):
    assert option({"min": 1, "max": 16, "step": 0.5}).accepts(value)


@pytest.mark.parametrize(
    "value", [0, 17, 1.25, -1, True, "2", None, math.nan, math.inf, 10**400, 1e308, [2], {}, 16.000001, b"2"]
)
def test_does_not_accept(value):
    assert not option({"min": 1, "max": 16, "step": 0.5}).accepts(value)
    assert not option([1, 2, 16]).accepts(value)


def test_steps_survive_binary_fractions():
    tenths = option({"min": 0.1, "max": 10, "step": 0.1})
    assert all(tenths.accepts(number / 10) for number in range(1, 101))
    assert not tenths.accepts(0.15)


@pytest.mark.parametrize(
    ("written", "bound", "least", "most", "default"),
    [
        ({"min": 1, "max": 16, "default": 8}, 4, 1, 4, 4),
        ({"min": 1, "max": 16, "default": 2}, 4.7, 1, 4, 2),
        ({"min": 1, "max": 16, "default": 2}, 100, 1, 16, 2),
        ({"min": 2, "max": 16, "default": 2}, 1, 2, 2, 2),
        ([1, 2, 4, 8], 5, 1, 4, 1),
        ({"choices": [1, 2, 8], "default": 8}, 5, 1, 2, 2),
        ([2, 4], 1, 2, 2, 2),
        (4, 2, 4, 4, 4),
    ],
    ids=str,
)
def test_at_most(written, bound, least, most, default):
    bounded = option(written).at_most(bound)
    assert (bounded.min, bounded.max, bounded.default) == (least, most, default)


steps = st.sampled_from([0.25, 0.5, 1.0, 2.0, 3.0])
amounts = st.integers(min_value=0, max_value=40).map(float)


@given(amounts, amounts, steps, amounts, st.floats(min_value=0, max_value=60))
def test_what_is_bounded_is_still_permitted(least, extra, step, default_steps, bound):
    most = least + extra
    default = min(least + default_steps * step, least + (extra // step) * step)
    whole = option({"min": least, "max": most, "step": step, "default": default})
    bounded = whole.at_most(bound)
    assert whole.accepts(bounded.default)
    assert bounded.max <= max(bound, least) + 1e-6
