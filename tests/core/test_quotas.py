"""What quotas may say."""

import math
from datetime import datetime, timezone

import pytest
from pydantic import ValidationError

from mlabhub.core.moments import NoMoment, read_moment, write_moment
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


def test_the_cap_of_the_group_that_pays_goes_before_that_of_all():
    read = quotas(
        groups={"vision": {"each": {"gpu": 16, "soft": True}}, "nlp": {"limit": {"gpu": 4}}},
        users={"default": {"gpu": 8, "servers": 4}, "bob": {"gpu": 2, "soft": False}},
    )
    assert read.user_limit("alice", "vision") == {"gpu": 16, "servers": 4}
    assert read.user_soft("alice", "vision") == {"gpu", "servers"}
    assert read.user_limit("default", "vision") == {"gpu": 16, "servers": 4}, "who has no entry, whatever the name"
    assert read.user_limit("alice", "nlp") == read.user_limit("alice") == {"gpu": 8, "servers": 4}
    assert read.user_soft("alice", "nlp") == frozenset()
    assert read.user_limit("bob", "vision") == {"gpu": 2, "servers": 4}
    assert read.user_soft("bob", "vision") == frozenset()


def test_maintenance_of_a_node():
    def window(first: int, last: int, *nodes: str) -> dict[str, object]:
        times = {"from": f"2026-12-{first:02}T00:00Z", "until": f"2026-12-{last:02}T00:00Z"}
        return {**times, "nodes": nodes, "reason": "disks"}

    def at(day: int) -> float:
        return datetime(2026, 12, day, tzinfo=timezone.utc).timestamp()

    read = quotas(maintenance=[window(20, 21, "*"), window(10, 12, "n1", "n2"), window(11, 14, "n2")])
    starts = {
        (node, day): found and found.start
        for node in ("n1", "n2", "n3")
        for day in (1, 10, 12, 14, 20, 21)
        if (found := read.maintenance_of(node, at(day))) or True
    }
    assert starts == {
        ("n1", 1): at(10),
        ("n1", 10): at(10),
        ("n1", 12): at(20),
        ("n1", 14): at(20),
        ("n1", 20): at(20),
        ("n2", 1): at(10),
        ("n2", 10): at(10),
        ("n2", 12): at(11),
        ("n2", 14): at(20),
        ("n2", 20): at(20),
        **{("n3", day): at(20) for day in (1, 10, 12, 14, 20)},
        **{(node, 21): None for node in ("n1", "n2", "n3")},
    }


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-12-01T18:00+01:00", "2026-12-01T17:00:00Z"),
        ("2026-12-01 18:00:30 +08", "2026-12-01T10:00:30Z"),
        ("2026-12-01t18:00:00.5-0530", "2026-12-01T23:30:00Z"),
        ("2024-02-29T00:00z", "2024-02-29T00:00:00Z"),
    ],
)
def test_moments(text, utc):
    assert write_moment(read_moment(text)) == utc


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-02-30T00:00Z",
        "2026-12-01T24:00Z",
        "2026-12-01T18:00",
        "2026-12-01T18:00+16:00",
        "friday",
        None,
        3,
        "٢026",
    ],
)
def test_no_moments(text):
    with pytest.raises(NoMoment):
        read_moment(text)
