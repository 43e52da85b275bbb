"""What a pod, as the cluster tells of it, says about its server."""

from __future__ import annotations

import pytest

from mlabhub.spawners.kube.states import Pod, is_gone


def pod(uid: str) -> Pod:
    return {"metadata": {"uid": uid, "name": "mlabhub-x-alice"}}


@pytest.mark.parametrize(
    ("known", "last", "gone"),
    [
        pytest.param(pod("ours"), pod("ours"), False, id="there"),
        pytest.param(None, pod("ours"), True, id="the watch told that it went"),
        pytest.param(None, None, None, id="the watch has not told of it yet"),
        pytest.param(None, pod("before"), None, id="nor of it after an earlier one"),
        pytest.param(pod("before"), pod("before"), None, id="the watch is so late that it has an earlier one"),
    ],
)
def test_a_late_watch_is_not_taken_for_an_end(known: Pod | None, last: Pod | None, gone: bool | None) -> None:
    assert is_gone("ours", known, last) is gone
