"""Pods that are gone are remembered: how they were tells why their servers ended."""

from __future__ import annotations

from mlabhub.spawners.kube.reflectors import MOST_GONE, Remembering


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
