"""What no quota can ever hold."""

import pytest

from mlabhub.core.hopeless import hopeless
from mlabhub.core.quota_changes import quotas_ahead
from tests.core.examples import make_request
from tests.core.test_quota_changes import change
from tests.core.test_quotas import quotas

BASE = quotas(groups={"vision": {"limit": {"gpu": 4}}}, users={"default": {"gpu": 6}, "bob": {"gpu": 1, "soft": True}})
RAISED = change(amount=8.0, start=100.0, end=200.0)
LOWERED = change(amount=0.0, end=50.0, change_id="c2")


@pytest.mark.parametrize(
    ("user", "gpus", "changes", "now", "told"),
    [
        ("alice", 4, (), 0, None),
        ("alice", 5, (), 0, "5 GPU is more than vision may ever hold: its limit is 4 GPU."),
        ("alice", 7, (), 0, "more than alice may ever hold: the cap is 6 GPU."),
        ("bob", 2, (), 0, None),
        ("alice", 4, (LOWERED,), 0, None),
        ("alice", 5, (LOWERED,), 0, "vision may hold no GPU: its limit is 0."),
        ("alice", 5, (RAISED,), 0, None),
        ("alice", 5, (RAISED,), 150, None),
        ("alice", 5, (RAISED,), 200, "5 GPU is more than vision may ever hold"),
        ("alice", 7, (RAISED,), 0, "more than alice may ever hold"),
        ("alice", 7, (RAISED, change("cap", "default", amount=None, change_id="c3", start=150.0)), 0, None),
        ("alice", 7, (RAISED, change("cap", "default", amount=None, change_id="c3", start=250.0)), 0, "7 GPU is more"),
    ],
)
def test_now_and_ahead(user, gpus, changes, now, told):
    request = make_request(user=user, group="vision", gpus=gpus, gpu_type="a100")
    found = hopeless(request, quotas_ahead(BASE, changes, now, {"vision", user, "default"}))
    assert (found is None) == (told is None), found
    assert told is None or told in str(found)
