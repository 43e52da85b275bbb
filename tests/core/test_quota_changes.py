"""Quotas in force at a moment, whatever was changed, undone or edited."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlabhub.core.quota_changes import (
    QuotaChange,
    check_changes,
    contradictions,
    effective,
    next_change,
    span,
    value_of,
)
from mlabhub.core.quotas import GroupQuota, Quotas, excesses_of
from tests.core.test_quotas import quotas

BASE = quotas(
    groups={
        "vision": {"guaranteed": {"gpu": 8, "gpu:a100": 4}, "limit": {"gpu": 32}, "each": {"gpu": 12, "soft": ["gpu"]}},
        "nlp": {},
    },
    users={"default": {"gpu": 8, "servers": 4}, "bob": {"gpu": 2}},
)


def change(part="limit", name="vision", resource="gpu", amount=16.0, **more):
    values = {"change_id": "c1", "at": 1.0, "author": "admin", "reason": "deadline", **more}
    return QuotaChange(part=part, name=name, resource=resource, amount=amount, **values)


def after(*changes, part=None, name=None, resource=None, now=10.0):
    last = changes[-1]
    return value_of(effective(BASE, changes, now), part or last.part, name or last.name, resource or last.resource)


@pytest.mark.parametrize(
    ("made", "value"),
    [
        (change(amount=16.0), 16),
        (change(amount=16.0, added=True), 48),
        (change(amount=-8.0, added=True), 24),
        (change(amount=-99.0, added=True), 0),
        (change(amount=None), None),
        (change(resource="cpu", amount=64.0), 64),
        (change(resource="cpu", amount=64.0, added=True), None),
        (change(part="guaranteed", resource="gpu:a100", amount=16.0, added=True), 20),
        (change(part="guaranteed", resource="gpu:t4", amount=2.0, added=True), 2),
        (change(part="guaranteed", amount=None), 0),
        (change(part="guaranteed", name="new", amount=4.0), 4),
        (change(part="each", amount=1.0), 1),
        (change(part="each", name="nlp", amount=4.0, added=True), 12),
        (change(part="each", name="nlp", amount=None), None),
        (change(part="cap", name="bob", amount=4.0, added=True), 6),
        (change(part="cap", name="carol", amount=4.0, added=True), 12),
        (change(part="cap", name="carol", amount=None), None),
        (change(part="cap", name="default", amount=5.0), 5),
        (change(amount=0.1, added=True), 32.1),
    ],
    ids=lambda one: (
        f"{one.part} {one.name} {one.resource} {one.amount} {one.added}" if isinstance(one, QuotaChange) else ""
    ),
)
def test_one_change(made, value):
    assert after(made) == value
    assert effective(BASE, (replace(made, undone=3.0),), 10) is BASE
    assert effective(BASE, (replace(made, undone=3.0),), 2) is BASE, "not even when the clock steps back"


def test_what_a_change_leaves_alone():
    now = effective(BASE, (change(), change(part="cap", name="carol", amount=None)), 10)
    assert now.groups["vision"].guaranteed == BASE.groups["vision"].guaranteed
    assert now.groups["vision"].each == BASE.groups["vision"].each
    assert now.groups["nlp"] == BASE.groups["nlp"]
    assert now.users["bob"] == BASE.users["bob"]
    assert now.user_limit("carol") == {"servers": 4}
    assert now.user_limit("carol", "vision") == {"servers": 4}
    assert now.user_limit("dave") == {"gpu": 8, "servers": 4}
    raised = effective(BASE, (change(part="each", amount=20.0),), 10)
    assert raised.user_limit("carol", "vision")["gpu"] == 20
    assert raised.user_soft("carol", "vision") == {"gpu"}


def test_the_last_word_counts():
    added = change(amount=16.0, added=True, change_id="a", at=1.0)
    fixed = change(amount=20.0, change_id="b", at=2.0)
    more = change(amount=1.0, added=True, change_id="c", at=3.0)
    assert after(added, fixed, more) == after(more, fixed, added) == 21
    assert after(added, more) == 49


def test_when_it_counts():
    week = change(start=100.0, end=200.0)
    assert [after(week, now=now) for now in (99.9, 100.0, 199.9, 200.0)] == [32, 16, 16, 32]
    later = change(change_id="c2", start=150.0)
    assert [next_change((week, later), now) for now in (0, 100, 150, 200)] == [100, 150, 200, None]
    assert span((week, later), 120) == (100, 150)
    assert span((week, replace(later, undone=1.0)), 120) == (100, 200)
    assert span((), 5) == (float("-inf"), float("inf"))


@pytest.mark.parametrize(
    ("before", "made", "told"),
    [
        ((), change(amount=4.0), "vision would have a contradiction: gpu guarantees 8, more than the limit of 4 gpu"),
        ((), change(part="guaranteed", amount=40.0), "guarantees 40, more than the limit of 32 gpu"),
        ((), change(part="guaranteed", resource="gpu:t4", amount=30.0), "by type to 34, more than the limit of 32 gpu"),
        ((), change(amount=4.0, start=86400.0), "From 1970-01-02T00:00:00Z on, vision would have a contradiction"),
        (
            (change(amount=64.0, end=86400.0),),
            change(part="guaranteed", amount=48.0, change_id="c2", end=2 * 86400.0),
            "From 1970-01-02T00:00:00Z on, vision would have",
        ),
        ((change(amount=64.0),), change(part="guaranteed", amount=48.0, change_id="c2"), None),
        ((), change(part="guaranteed", amount=None), None),
        ((), change(name="nlp", amount=0.0), None),
    ],
)
def test_a_change_that_would_contradict(before, made, told):
    found = check_changes(BASE, before, (*before, made), 10)
    if told is None:
        assert found is None
    else:
        assert told in str(found)


def test_what_was_wrong_before_does_not_stand_in_the_way():
    edited = quotas(groups={"vision": {"guaranteed": {"gpu": 8}, "limit": {"gpu": 8}}})
    borrowed = change(part="guaranteed", amount=4.0, added=True)
    assert [str(one) for one in contradictions(edited, (borrowed,), 10)] == [
        "vision: gpu guarantees 12, more than the limit of 8 gpu; lower one or raise the other. The guarantee counts "
        "up to the limit, until that is mended."
    ]
    assert effective(edited, (borrowed,), 10).groups["vision"].guaranteed == {"gpu": 8}
    other = change(resource="cpu", amount=8.0, change_id="c2")
    assert check_changes(edited, (borrowed,), (borrowed, other), 10) is None
    mended = change(amount=16.0, change_id="c2")
    assert check_changes(edited, (borrowed,), (borrowed, mended), 10) is None
    assert list(contradictions(edited, (borrowed, mended), 10)) == []


def test_guarantees_by_type_are_cut_together_the_last_one_first():
    edited = quotas(groups={"vision": {"guaranteed": {"gpu:a100": 5, "gpu": 9}, "limit": {"gpu": 9}}})
    more = change("guaranteed", resource="gpu:t4", amount=6.0)
    assert effective(edited, (more,), 10).groups["vision"].guaranteed == {"gpu:a100": 5, "gpu": 9, "gpu:t4": 4}
    less = change(resource="gpu", amount=3.0, change_id="c2")
    assert effective(edited, (more, less), 10).groups["vision"].guaranteed == {"gpu:a100": 3, "gpu": 3, "gpu:t4": 0}


RESOURCES = st.sampled_from(["cpu", "servers", "gpu", "gpu:a100", "gpu:t4"])
AMOUNTS = st.dictionaries(RESOURCES, st.integers(0, 20) | st.sampled_from([0.1, 0.2, 2.5]), max_size=4)
TIMES = st.integers(0, 8).map(float)


@st.composite
def any_quotas(draw):
    groups = {}
    for name in draw(st.sets(st.sampled_from(["v", "n"]))):
        limit, guaranteed = draw(AMOUNTS), draw(AMOUNTS)
        one = GroupQuota.model_construct(guaranteed=guaranteed, limit=limit, each=None)
        kept = {} if next(excesses_of(one), None) else guaranteed
        groups[name] = {"limit": limit, "guaranteed": kept, **({"each": draw(AMOUNTS)} if draw(st.booleans()) else {})}
    users = {name: draw(AMOUNTS) for name in draw(st.sets(st.sampled_from(["default", "bob"])))}
    return Quotas.model_validate({"groups": groups, "users": users})


@st.composite
def any_changes(draw):
    made = []
    for number in range(draw(st.integers(0, 6))):
        part = draw(st.sampled_from(["guaranteed", "limit", "each", "cap"]))
        start = draw(TIMES)
        added = draw(st.booleans())
        made.append(
            change(
                part,
                draw(st.sampled_from(["bob", "default"] if part == "cap" else ["v", "n"])),
                draw(RESOURCES),
                draw(st.none() | st.floats(-8.0 if added else 0.0, 20.0, width=16)),
                added=added,
                change_id=f"c{number}",
                at=draw(TIMES),
                start=start,
                end=draw(st.none() | st.integers(1, 5).map(lambda more, start=start: start + more)),
                undone=draw(st.none() | TIMES),
            )
        )
    return tuple(made)


@settings(max_examples=150)
@given(any_quotas(), any_changes(), st.permutations(range(6)), TIMES)
def test_whatever_was_changed(base, changes, order, now):
    found = effective(base, changes, now)
    again = Quotas.model_validate({**found.model_dump(), "maintenance": ()}) if found is not base else base
    assert {name: (one.guaranteed, one.limit) for name, one in again.groups.items()} == {
        name: (one.guaranteed, one.limit) for name, one in found.groups.items()
    }, "it is what a file may say: nothing negative, no guarantee beyond its limit"
    assert effective(base, [changes[one] for one in order if one < len(changes)], now) == found
    raw = list(contradictions(base, changes, now))
    for name, group in found.groups.items():
        assert group.limit == effective(base, [one for one in changes if one.part == "limit"], now).group_limit(name)
    if not raw:
        for one in {one.target: one for one in changes if one.in_force(now)}.values():
            last = max(
                (c for c in changes if c.target == one.target and c.in_force(now)), key=lambda c: (c.at, c.change_id)
            )
            if not last.added:
                wanted = last.amount if last.amount is not None or last.part != "guaranteed" else 0.0
                assert value_of(found, *one.target) == wanted
    if not any(one.in_force(now) for one in changes):
        assert found is base
    since, until = span(changes, now)
    assert since <= now < until
    for moment in (max(since, 0.0), min(until, 99.0) - 1e-6):
        assert effective(base, changes, moment) == found, "between two changes it stays the same"


@settings(max_examples=100)
@given(any_quotas(), any_changes(), TIMES)
def test_what_passes_the_check_never_contradicts(base, changes, now):
    live = tuple(replace(one, undone=None) for one in changes)
    if check_changes(base, (), live, now) is None:
        for moment in sorted({now, *(max(now, time) for one in live for time in (one.start, one.end or 0.0))}):
            assert list(contradictions(base, live, moment)) == []
