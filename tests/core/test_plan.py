"""The plan: what a backend gets."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlabhub.core.admission import Placement
from mlabhub.core.identity import GroupId, Identity
from mlabhub.core.plan import LaunchPlan, make_plan
from mlabhub.core.storage import Storage, mounts_for
from mlabhub.errors import MLabError
from tests.core.examples import LAUNCH_ID, TORCH, resolve_for

STORAGE = Storage().located("/srv/nas")


def plan_for(user: str = "alice", groups: tuple[str, ...] = ("vision",), display_name: str = "Train_1") -> LaunchPlan:
    identity = Identity(user, 200000, 200000, tuple(GroupId(name, 200001 + n) for n, name in enumerate(groups)))
    request = resolve_for(list(groups), {"profile": "gpu", "gpus": 2, "gpu_type": "t4"}, user)
    placement = Placement("n1", ("GPU-1", "GPU-2"), "t4")
    return make_plan(
        request,
        launch_id=LAUNCH_ID,
        identity=identity,
        placement=placement,
        storage=STORAGE,
        display_name=display_name,
        cpu_overcommit=4.0,
        gpu_products=("NVIDIA T4",),
    )


def test_plan():
    plan = plan_for()
    identity = Identity("alice", 200000, 200000, (GroupId("vision", 200001),))
    assert plan == LaunchPlan(
        launch_id=LAUNCH_ID,
        user="alice",
        server_name="",
        display_name="Train_1",
        profile="gpu",
        image="torch",
        image_reference=TORCH,
        group="vision",
        cpu=2.0,
        memory_gib=4.0,
        shm_gib=4.0,
        pids=4096,
        gpu_type="t4",
        gpus=("GPU-1", "GPU-2"),
        environment={
            "MLABHUB_LAUNCH_ID": LAUNCH_ID,
            "MLABHUB_USER": "alice",
            "MLABHUB_UID": "200000",
            "MLABHUB_GID": "200000",
            "MLABHUB_GROUPS": "vision:200001",
            "MLABHUB_HOME": "/mnt/user/alice",
            "MLABHUB_SUDO": "0",
            "MLABHUB_KIND": "workbench",
            "MLABHUB_PLACES": '["/mnt/user/alice", "/mnt/share/vision"]',
        },
        mounts=mounts_for(STORAGE, identity),
        identity=identity,
        sudo=False,
        node="n1",
        tools=("lab", "vscode", "terminal"),
        cpu_guarantee=0.5,
        gpu_products=("NVIDIA T4",),
    )


@given(st.text(min_size=1), st.lists(st.text(min_size=1), unique=True, max_size=4), st.text())
def test_plan_survives_json_and_its_environment_is_plain(user, groups, display_name):
    plan = plan_for(user, tuple(groups), display_name)
    assert LaunchPlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan
    for name, value in plan.environment.items():
        assert name.startswith("MLABHUB_")
        if name == "MLABHUB_PLACES":
            assert json.loads(value) == [mount.target for mount in plan.mounts]
            continue
        assert re.fullmatch(r"[A-Za-z0-9_.:,/-]*", value)


@pytest.mark.parametrize("plain", [None, [], {}, {"launch_id": 1}, "x", {**plan_for().to_dict(), "cpu": "much"}])
def test_what_is_not_a_plan(plain):
    with pytest.raises(MLabError, match="cannot be read"):
        LaunchPlan.from_dict(plain)
