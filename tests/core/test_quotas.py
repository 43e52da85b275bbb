"""What quotas may say."""

import math

import pytest
from pydantic import ValidationError

from mlabhub.core.quotas import Quotas


def quotas(**values: object) -> Quotas:
    return Quotas.model_validate(values)


def test_as_the_interface_fixes_them():
    read = quotas(
        groups={"vision": {"guaranteed": {"gpu": 24, "gpu:a100": 8}, "limit": {"gpu": 64}}},
        users={"default": {"gpu": 8}},
        notice_seconds=600,
    )
    assert read.group_limit("vision") == {"gpu": 64}
    assert read.groups["vision"].guaranteed == {"gpu": 24, "gpu:a100": 8}


def test_who_has_no_entry():
    read = quotas(
        groups={"vision": {"limit": {"gpu": 1}}}, users={"default": {"gpu": 8, "servers": 4}, "bob": {"gpu": 2}}
    )
    assert read.group_limit("nlp") == {}
    assert read.group_limit(None) == {}
    assert read.user_limit("alice") == {"gpu": 8, "servers": 4}
    assert read.user_limit("bob") == {"gpu": 2, "servers": 4}
    assert Quotas().user_limit("alice") == {}
    assert read.user_soft("bob") == Quotas().user_soft("bob") == frozenset()


@pytest.mark.parametrize(
    ("users", "soft"),
    [
        pytest.param({"default": {"gpu": 8, "soft": True}, "alice": {"gpu": 16}}, {"gpu"}, id="inherited"),
        pytest.param(
            {"default": {"gpu": 8, "soft": True}, "alice": {"servers": 2}}, {"gpu", "servers"}, id="all of it"
        ),
        pytest.param({"default": {"gpu": 8, "soft": True}, "alice": {"soft": False}}, set(), id="taken back"),
        pytest.param({"default": {"gpu": 8, "cpu": 4}, "alice": {"soft": ["gpu"]}}, {"gpu"}, id="one resource"),
        pytest.param({"default": {"gpu": 8, "soft": True}, "alice": {"soft": ["cpu"]}}, {"cpu"}, id="another one"),
        pytest.param({"default": {"gpu": 8, "soft": True}, "alice": {"gpu": 1, "soft": None}}, {"gpu"}, id="no word"),
    ],
)
def test_soft_caps(users, soft):
    assert quotas(users=users).user_soft("alice") == soft


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ({"groups": {"v": {"limit": {"gpux": 1}}}}, "is not a resource"),
        ({"groups": {"v": {"limit": {"gpu:": 1}}}}, "is not a resource"),
        ({"groups": {"v": {"limit": {"gpu:any": 1}}}}, "is not a resource"),
        ({"groups": {"v": {"limit": {"gpu": -1}}}}, "greater than or equal to 0"),
        ({"groups": {"v": {"limit": {"gpu": math.nan}}}}, "finite"),
        ({"groups": {"v": {"limit": {"gpu": "8"}}}}, "valid number"),
        ({"groups": {"v": {"limit": {"gpu": True}}}}, "valid number"),
        ({"groups": {"v": {"limits": {"gpu": 1}}}}, "Extra"),
        ({"groups": {"v": {"guaranteed": {"gpu": 2}, "limit": {"gpu": 1}}}}, "more than the limit of 1 gpu"),
        ({"groups": {"v": {"guaranteed": {"gpu:t4": 2}, "limit": {"gpu": 1}}}}, "more than the limit of 1 gpu"),
        ({"users": {"alice": 3}}, "dictionary"),
        ({"users": {"alice": {"memory": 3}}}, "is not a resource"),
        ({"users": {"alice": {"soft": "gpu"}}}, "must be true, false or a list"),
        ({"users": {"alice": {"soft": 1}}}, "must be true, false or a list"),
        ({"users": {"alice": {"soft": ["gpux"]}}}, "is not a resource"),
        ({"groups": {"v": {"soft": True}}}, "Extra"),
        ({"privacy": "all"}, "open"),
        ({"notice_seconds": -1}, "greater"),
        ({"cpu_overcommit": 0.5}, "greater"),
        ({"cpu_overcommit": math.inf}, "finite"),
    ],
    ids=str,
)
def test_wrong(values, wrong):
    with pytest.raises(ValidationError, match=wrong):
        quotas(**values)


def test_every_contradiction_is_named():
    with pytest.raises(ValidationError) as caught:
        quotas(groups={"v": {"guaranteed": {"cpu": 2, "gpu": 3, "servers": 1}, "limit": {"cpu": 1, "gpu": 2}}})
    (error,) = caught.value.errors()
    assert [fault.at for fault in error["ctx"]["faults"]] == [("guaranteed", "cpu"), ("guaranteed", "gpu")]
