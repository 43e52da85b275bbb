"""What a hub knows of its pods by watching: those that are gone, and what was told of each."""

from __future__ import annotations

from typing import Any

from mlabhub.spawners.kube.reflectors import MOST_GONE, Event, Remembering, Sorting


def test_a_pod_that_was_deleted_is_remembered() -> None:
    pods = Remembering({"n/a": {"status": 1}, "n/b": {}})
    assert pods.pop("n/a", None) == {"status": 1}
    assert pods.pop("n/a", None) is None
    assert (dict(pods), pods.gone) == ({"n/b": {}}, {"n/a": {"status": 1}})


def test_what_vanished_while_nobody_watched_is_remembered_too() -> None:
    before = Remembering({"n/a": {"status": 1}, "n/b": {}})
    before.pop("n/b")
    after = Remembering({"n/c": {}}, before)
    assert (dict(after), set(after.gone)) == ({"n/c": {}}, {"n/a", "n/b"})


def test_the_oldest_is_forgotten_first() -> None:
    pods = Remembering({str(number): {} for number in range(MOST_GONE + 2)})
    for name in list(pods):
        pods.pop(name)
    assert len(pods.gone) == MOST_GONE
    assert "0" not in pods.gone


class Slow(dict[str, Event]):
    """Events that take their time to be gone through."""

    def __init__(self, events: dict[str, Event], seconds: float):
        super().__init__(events)
        self.seconds = seconds
        self.now = 100.0

    def values(self) -> Any:
        """Return them, later."""
        self.now += self.seconds
        return super().values()


def test_many_events_are_sorted_so_seldom_that_it_costs_little() -> None:
    about = {"kind": "Pod", "name": "alice"}
    events = Slow({"a": {"involvedObject": about, "reason": "Pulling"}}, seconds=0.05)
    sorting = Sorting(lambda: events.now)
    assert [one["reason"] for one in sorting.of(events)["Pod", "alice"]] == ["Pulling"]
    events["b"] = {"involvedObject": about, "reason": "Pulled"}
    events.now = 100.9
    assert len(sorting.of(events)["Pod", "alice"]) == 1
    events.now = 101.1
    assert len(sorting.of(events)["Pod", "alice"]) == 2
    events.seconds, events.now = 0.001, 200.0
    sorting.of(events)
    events.now = 200.21
    events["c"] = {"involvedObject": about, "reason": "Created"}
    assert len(sorting.of(events)["Pod", "alice"]) == 3, "a few are looked at soon again"
