"""Guarantees held against the machines."""

from datetime import datetime, timezone

from mlabhub.core.admission import Capacity
from mlabhub.core.quota_sums import notes_on_sums, unknown_groups, unknown_machines
from tests.core.examples import make_node
from tests.core.test_quotas import quotas

TWO = Capacity((make_node("n1", 4, "a100", 8, 64), make_node("n2", 2, "t4", 8, 64)))


def notes(capacity=TWO, **values):
    return [str(one).partition(". Whoever")[0] for one in notes_on_sums(quotas(**values), capacity)]


def test_what_there_is_may_be_guaranteed():
    groups = {"v": {"guaranteed": {"gpu": 4, "gpu:a100": 4, "cpu": 16}}, "n": {"guaranteed": {"gpu:t4": 2}}}
    assert notes(groups=groups) == []
    assert notes() == []


def test_more_is_told_with_the_numbers():
    groups = {"v": {"guaranteed": {"gpu:a100": 4}}, "n": {"guaranteed": {"gpu": 2.5, "gpu:a100": 1}}, "x": {}}
    assert notes(groups=groups) == [
        "Groups are guaranteed 6.5 GPU together, and the machines have 6 GPU: v 4 GPU, n 2.5 GPU",
        "Groups are guaranteed 5 A100 together, and the machines have 4 A100: v 4 A100, n 1 A100",
    ]
    assert notes(Capacity(), groups=groups) == []


def test_what_no_machine_has_is_told_too():
    assert notes(groups={"v": {"guaranteed": {"gpu:h200": 1}}}) == [
        "Groups are guaranteed 1 H200 together, and the machines have 0 H200: v 1 H200"
    ]


def test_cpus_count_as_often_as_they_are_handed_out():
    groups = {"v": {"guaranteed": {"cpu": 17, "memory_gib": 129}}}
    assert len(notes(groups=groups)) == 2
    assert notes(groups=groups, cpu_overcommit=2.0) == [
        "Groups are guaranteed 129 GiB together, and the machines have 128 GiB: v 129 GiB"
    ]


def test_of_many_groups_the_largest_are_named():
    many = {f"g{number:02}": {"guaranteed": {"gpu": number}} for number in range(12)}
    (note,) = notes(groups=many)
    assert note.endswith(
        "6 GPU: g11 11 GPU, g10 10 GPU, g09 9 GPU, g08 8 GPU, g07 7 GPU, g06 6 GPU, g05 5 GPU, g04 4 GPU, …"
    )


def test_names_that_nobody_has():
    window = {"from": "2026-12-01T00:00Z", "until": "2026-12-02T00:00Z", "reason": "disks"}
    read = quotas(groups={"v": {}, "n": {}}, maintenance=[{**window, "nodes": ["n1", "n9", "*"]}])
    now = datetime(2026, 12, 1, tzinfo=timezone.utc).timestamp()
    assert unknown_machines(read, TWO, now) == ("n9",)
    assert unknown_machines(read, Capacity(), now) == ()
    assert unknown_machines(read, TWO, now + 86400) == ()
    assert unknown_groups(read, ["n", "x"]) == ("v",)
