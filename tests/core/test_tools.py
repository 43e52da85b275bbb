"""Which tools a server offers, and what a profile of kind tensorboard is and is not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlabhub.core.admission import Placement
from mlabhub.core.identity import GroupId, Identity
from mlabhub.core.plan import LaunchPlan, make_plan
from mlabhub.core.profiles import Catalog, LaunchRequest
from mlabhub.core.resolve import resolve
from mlabhub.core.sight import see
from mlabhub.core.tools import TOOLS, offered_tools
from mlabhub.errors import NotPermitted
from tests.core.examples import LAUNCH_ID, SMALL

IMAGES = {
    "base": {"tools": ["lab", "terminal", "tensorboard"]},
    "kde": {"tools": ["lab", "desktop", "vscode", "terminal", "ssh"]},
    "bare": {},
}
WORKBENCH = {"slug": "cpu", "images": ["base", "kde", "bare"], **SMALL}
BOARD = {"slug": "board", "images": ["base"], "cpu": 1, "memory_gib": 2, "kind": "tensorboard"}


def make_catalog(*profiles: dict[str, Any], **more: Any) -> Catalog:
    """Return a catalogue of these profiles and three images: with few tools, with a desktop, with nothing said."""
    return Catalog.model_validate(
        {
            "profiles": [{"display_name": one["slug"], **one} for one in profiles],
            "images": [
                {"slug": slug, "display_name": slug, "reference": f"localhost/{slug}:1", **image}
                for slug, image in IMAGES.items()
            ],
            "storage": {"shares": {"data": {"display_name": "Data", "source": "/srv/data", "target": "/mnt/data"}}},
            **more,
        }
    )


def request_of(options: dict[str, Any], *profiles: dict[str, Any]) -> LaunchRequest:
    return resolve(make_catalog(*profiles), "alice", ["vision"], options)


def plan_of(options: dict[str, Any], *profiles: dict[str, Any]) -> LaunchPlan:
    catalog = make_catalog(*profiles)
    return make_plan(
        resolve(catalog, "alice", ["vision"], options),
        launch_id=LAUNCH_ID,
        identity=Identity("alice", 1000, 1000, (GroupId("vision", 2000),)),
        placement=Placement("n1", (), None),
        storage=catalog.storage.located("/srv/nas"),
    )


@pytest.mark.parametrize(
    ("allowed", "has", "offered"),
    [
        pytest.param(None, ["terminal", "lab"], ("lab", "terminal"), id="all that the image has, in the pages' order"),
        pytest.param(["vscode", "lab"], TOOLS, ("lab", "vscode"), id="some of them"),
        pytest.param(["vscode"], ["lab"], (), id="nothing in common"),
        pytest.param(None, ["ssh"], (), id="ssh is not opened on a page"),
        pytest.param(None, [], ("lab", "vscode", "terminal"), id="nothing said: what all are given"),
        pytest.param(["desktop"], [], ("desktop",), id="nothing said: the profile knows"),
    ],
)
def test_what_can_be_opened(allowed: list[str] | None, has: list[str], offered: tuple[str, ...]) -> None:
    assert offered_tools(allowed, has) == offered


@pytest.mark.parametrize(
    ("image", "tools", "offered"),
    [
        pytest.param("kde", None, ("lab", "vscode", "terminal", "desktop"), id="as the image says"),
        pytest.param("kde", ["desktop", "tensorboard"], ("desktop",), id="as the profile allows"),
        pytest.param("saved/mine", None, TOOLS, id="saved, from an image that says nothing: not known"),
        pytest.param("r.test/x/y:1", None, ("lab", "vscode", "terminal"), id="typed: what it is given"),
        pytest.param("r.test/x/y:1", ["desktop", "lab"], ("lab",), id="typed: no desktop"),
    ],
)
def test_tools_of_a_launch(image: str, tools: list[str] | None, offered: tuple[str, ...]) -> None:
    opened = {"own_images": True, "typed_images": [{"registry": "r.test", "repository": "x/*"}], "tools": tools}
    images = ["base", "kde"]
    plan = plan_of({"image": image}, {**WORKBENCH, **opened, "images": images})
    assert plan.tools == offered
    assert plan.environment.get("MLABHUB_TOOLS") == (",".join(tools) if tools else None)


def test_a_tensorboard_alone() -> None:
    folders = ["/mnt/user/alice/runs/", "/mnt/data/exp 1"]
    plan = plan_of({"profile": "board", "log_folders": folders}, WORKBENCH, BOARD)
    assert (plan.kind, plan.tools, plan.gpus, plan.sudo) == ("tensorboard", ("tensorboard",), (), False)
    assert plan.log_folders == ("/mnt/user/alice/runs", "/mnt/data/exp 1")
    environment = {name: plan.environment[f"MLABHUB_{name}"] for name in ("KIND", "TOOLS", "UNUSED_SECONDS")}
    assert environment == {"KIND": "tensorboard", "TOOLS": "tensorboard", "UNUSED_SECONDS": "3600"}
    assert json.loads(plan.environment["MLABHUB_LOG_FOLDERS"]) == list(plan.log_folders)
    assert json.loads(plan.environment["MLABHUB_PLACES"]) == ["/mnt/user/alice", "/mnt/share/vision", "/mnt/data"]
    assert {mount.target: mount.read_only for mount in plan.mounts} == {
        "/mnt/user/alice": False,
        "/mnt/share/vision": True,
        "/mnt/data": True,
    }
    assert LaunchPlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_a_workbench_has_no_variables_of_a_tensorboard() -> None:
    plan = plan_of({}, WORKBENCH, BOARD)
    assert (plan.kind, plan.environment["MLABHUB_KIND"]) == ("workbench", "workbench")
    assert not {"MLABHUB_TOOLS", "MLABHUB_LOG_FOLDERS", "MLABHUB_UNUSED_SECONDS", "PYTHONSAFEPATH"} & set(
        plan.environment
    )
    assert not any(mount.read_only for mount in plan.mounts)


@pytest.mark.parametrize(
    ("minutes", "seconds"), [(None, 3600), (1, 60), (0.1, 6), (0.01, 1), (10_080, 604_800)], ids=str
)
def test_how_long_nobody_may_look(minutes: float | None, seconds: int) -> None:
    assert request_of({"profile": "board"}, {**BOARD, "unused_minutes": minutes}).unused_seconds == seconds
    assert request_of({}, WORKBENCH).unused_seconds is None


@pytest.mark.parametrize("more", [{"group_defaults": {}}, {"group_defaults": {"vision": {"profile": "cpu"}}}])
def test_no_form_opens_on_a_tensorboard(more: dict[str, Any]) -> None:
    sight = see(make_catalog(BOARD, WORKBENCH, **more), ["vision"])
    assert [profile.slug for profile in sight.present] == ["cpu"]
    assert getattr(sight.default, "profile", None) == sight.usable["cpu"]
    assert sight.tensorboard == sight.usable["board"]


def test_who_has_nothing_but_a_tensorboard_can_start_it() -> None:
    catalog = make_catalog(BOARD)
    assert resolve(catalog, "alice", [], {"profile": "board"}).kind == "tensorboard"
    with pytest.raises(NotPermitted, match="No profile is open to you"):
        resolve(catalog, "alice", [], {})


def test_another_groups_tensorboard() -> None:
    catalog = make_catalog(WORKBENCH, {**BOARD, "groups": ["nlp"]})
    assert see(catalog, ["vision"]).tensorboard is None
    with pytest.raises(NotPermitted, match="for other groups"):
        resolve(catalog, "alice", ["vision"], {"profile": "board"})
