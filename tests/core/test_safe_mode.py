"""Safe mode: the least of a profile, and nothing of the person's own at the start."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from mlabhub.core.admission import Placement
from mlabhub.core.identity import Identity
from mlabhub.core.plan import LaunchPlan, make_plan
from mlabhub.core.profiles import Catalog
from mlabhub.core.resolve import resolve
from mlabhub.core.safe_mode import SHELL, safe_arguments
from mlabhub.core.storage import Storage
from mlabhub.errors import InvalidLaunch, MLabError
from tests.core.examples import LAUNCH_ID

PROFILE: dict[str, Any] = {
    "slug": "gpu",
    "display_name": "GPU",
    "images": ["base"],
    "cpu": {"min": 1, "max": 8, "default": 4},
    "memory_gib": [2, 8, 16],
    "gpus": {"min": 1, "max": 4, "default": 2},
    "gpu_types": ["t4"],
}
BOARD = {"slug": "board", "display_name": "B", "images": ["base"], "cpu": 1, "memory_gib": 1, "kind": "tensorboard"}
IMAGE = {
    "slug": "base",
    "display_name": "Base",
    "reference": "localhost/mlabhub/base:latest",
    "tools": ["vscode", "tensorboard"],
}
CATALOG = Catalog.model_validate({"profiles": [PROFILE, BOARD], "images": [IMAGE]})


def plan_of(options: dict[str, Any]) -> LaunchPlan:
    return make_plan(
        resolve(CATALOG, "alice", ["vision"], options),
        launch_id=LAUNCH_ID,
        identity=Identity("alice", 1000, 1000),
        placement=Placement("n1", (), None),
        storage=Storage().located("/srv/nas"),
    )


def test_what_is_not_asked_for_is_the_least() -> None:
    request = resolve(CATALOG, "alice", ["vision"], {"profile": "gpu", "safe": True})
    assert (request.gpus, request.cpu, request.memory_gib, request.safe) == (1, 1, 2, True)
    request = resolve(CATALOG, "alice", ["vision"], {"profile": "gpu", "safe": True, "cpu": 8})
    assert request.cpu == 8


def test_it_counts_as_any_launch_and_stays_within_its_profile() -> None:
    with pytest.raises(MLabError, match="cpu cannot be"):
        resolve(CATALOG, "alice", ["vision"], {"profile": "gpu", "safe": True, "cpu": 0.5})
    with pytest.raises(MLabError, match="gpus cannot be"):
        resolve(CATALOG, "alice", ["vision"], {"profile": "gpu", "safe": True, "gpus": 0})


@pytest.mark.parametrize("value", ["true", 1, [], {}, 0])
def test_it_is_true_or_false(value: object) -> None:
    with pytest.raises(InvalidLaunch, match="safe is true or false"):
        resolve(CATALOG, "alice", ["vision"], {"profile": "gpu", "safe": value})


def test_a_tensorboard_has_none() -> None:
    with pytest.raises(InvalidLaunch, match="TensorBoard"):
        resolve(CATALOG, "alice", ["vision"], {"profile": "board", "safe": True})


def test_a_plan_says_so_and_only_then() -> None:
    plan = plan_of({"profile": "gpu", "safe": True})
    assert plan.safe
    assert LaunchPlan.from_dict(plan.to_dict()) == plan
    assert plan.environment["MLABHUB_SAFE"] == "1"
    assert plan.environment["PYTHONNOUSERSITE"] == "1"
    assert plan.environment["MLABHUB_TOOLS"] == "lab,terminal"
    assert plan.tools == ("lab",)
    assert all(LAUNCH_ID in plan.environment[name] for name in ("JUPYTER_CONFIG_DIR", "IPYTHONDIR", "JUPYTER_DATA_DIR"))
    usual = plan_of({"profile": "gpu"})
    assert not usual.safe
    assert "MLABHUB_SAFE" not in usual.environment
    assert "JUPYTER_CONFIG_DIR" not in usual.environment


def test_terminals_run_no_file() -> None:
    name, _, value = safe_arguments()[0].partition("=")
    assert name == "--ServerApp.terminado_settings"
    assert ast.literal_eval(value) == {"shell_command": list(SHELL)}
    assert SHELL[-1].endswith("exec /bin/bash --noprofile --norc")
