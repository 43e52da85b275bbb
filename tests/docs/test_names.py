"""Labels, variables and files that others may rely on are in the reference."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlabhub.core.admission import Placement
from mlabhub.core.identity import Identity
from mlabhub.core.plan import LaunchPlan, make_plan
from mlabhub.core.profiles import LaunchRequest
from mlabhub.core.storage import Storage
from mlabhub.engine import labels
from mlabhub.spawners.plan_to_container import gpu_environment
from mlabhub.supervisor.first_run import SECRETS
from tests.docs.pages import DOCS

NAMES = (DOCS / "reference" / "names.md").read_text()
STATE = (DOCS / "reference" / "state-folder.md").read_text()
LABELS = sorted(value for name, value in vars(labels).items() if name.isupper() and str(value).startswith("mlabhub."))


def plan() -> LaunchPlan:
    """Return a plan, whatever it is for."""
    request = LaunchRequest("a", "", "cpu", "base", "x", None, None, 0, None, 1.0, 1.0, 0.5, 64, False)
    request = replace(request, kind="tensorboard", tools=("tensorboard",), unused_seconds=3600)
    storage = Storage().located("/nas")
    return make_plan(
        request, launch_id="x", identity=Identity("a", 200000, 200000), placement=Placement("n"), storage=storage
    )


@pytest.mark.parametrize("label", LABELS)
def test_label(label: str) -> None:
    assert f"| `{label}` |" in NAMES


@pytest.mark.parametrize("variable", sorted({**plan().environment, **gpu_environment(plan())}))
def test_variable(variable: str) -> None:
    assert f"`{variable}`" in NAMES


@pytest.mark.parametrize("secret", SECRETS)
def test_secret(secret: str) -> None:
    assert f"| `{secret}` |" in STATE
