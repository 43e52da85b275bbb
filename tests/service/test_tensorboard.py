"""A TensorBoard alone, over the API: what it may be asked, what it counts, and why it ended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mlabhub.core.storage import places_for
from mlabhub.errors import LaunchRefused
from mlabhub.messages import N_, Message
from mlabhub.service.launcher import Launcher
from mlabhub.service.own_images import ImageDesk
from tests.service.conftest import Running, make_settings, run_service

BOARD = "  board: {display_name: B, kind: tensorboard, images: [base], cpu: 1, memory_gib: 2, unused_minutes: 0.1}\n"
IMAGES = "images: {base: {display_name: Base, reference: localhost/base, tools: [lab, terminal, tensorboard]}}\n"
UNUSED = Message(N_("It ended by itself, for nobody looked at it any more. Start it again when you need it."))


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Running]:
    """A service with a profile of kind tensorboard."""
    settings = make_settings(tmp_path)
    (settings.config_dir / "images.yaml").write_text(IMAGES)
    with (settings.config_dir / "profiles.yaml").open("a") as file:
        file.write(BOARD)
    async with run_service(settings) as one:
        yield one


def launcher_of(lab: Running) -> Launcher:
    """Return what the pages ask."""
    launcher: Launcher = lab.service.application.settings["launcher"]
    return launcher


async def launch(lab: Running, server: str = "tensorboard", **options: Any) -> Any:
    body = {"server_name": server, "user_options": {"profile": "board", **options}}
    return (await lab.call("POST", "api/v1/launches", json=body)).json()


async def server_of(lab: Running, name: str = "tensorboard") -> dict[str, Any]:
    servers = (await lab.call("GET", "api/v1/servers")).json()["servers"]
    return next(one for one in servers if one["server_name"] == name)


async def test_it_holds_a_core_and_no_gpu_and_counts_as_a_server(lab: Running) -> None:
    launch_id = (await launch(lab, log_folders=["/mnt/user/alice/runs"]))["launch_id"]
    view = await server_of(lab)
    assert {key: view[key] for key in ("kind", "tools", "gpus", "cpu", "memory_gib", "open_url")} == {
        "kind": "tensorboard",
        "tools": ["tensorboard"],
        "gpus": 0,
        "cpu": 1,
        "memory_gib": 2,
        "open_url": "/user/alice/tensorboard/",
    }
    one = lab.projection.launch(launch_id)
    plan = (one and one.plan) or {}
    assert (plan["kind"], plan["log_folders"], plan["gpus"]) == ("tensorboard", ["/mnt/user/alice/runs"], [])
    assert plan["environment"]["MLABHUB_UNUSED_SECONDS"] == "6"
    assert plan["environment"]["PYTHONSAFEPATH"] == "1"
    used = (await lab.call("GET", "api/v1/quotas")).json()["users"][0]["used"]
    assert used == {"cpu": 1, "memory_gib": 2, "servers": 1}


async def test_the_tools_of_a_workbench(lab: Running) -> None:
    await lab.call("POST", "api/v1/launches", json={"server_name": "x", "user_options": {"profile": "cpu"}})
    view = await server_of(lab, "x")
    assert (view["kind"], view["tools"]) == ("workbench", ["lab", "terminal", "tensorboard"])
    assert view["open_url"] == "/user/alice/x/mlabhub/open/lab"


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"log_folders": ["/mnt/user/bob"]}, 403, "not_permitted"),
        ({"log_folders": ["/mnt/user/alice", "/mnt/share/nlp"]}, 403, "not_permitted"),
        ({"log_folders": "/mnt/user/alice"}, 422, "invalid_launch"),
        ({"log_folders": ["/mnt/user/alice"], "profile": "cpu"}, 403, "not_permitted"),
        ({"gpus": 1}, 422, "invalid_launch"),
        ({"image": "saved/mine"}, 422, "invalid_launch"),
        ({"mounts": [{"share": "user", "target": "/data/x"}]}, 403, "not_permitted"),
        ({"kind": "tensorboard"}, 422, "invalid_launch"),
        ({"tools": ["vscode"]}, 422, "invalid_launch"),
        ({"unused_minutes": 10_000}, 422, "invalid_launch"),
    ],
    ids=str,
)
async def test_what_it_cannot_be_asked(lab: Running, options: dict[str, Any], status: int, code: str) -> None:
    body = {"server_name": "tensorboard", "user_options": {"profile": "board", **options}}
    for address in ("launches", "launches/preview"):
        answer = await lab.call("POST", f"api/v1/{address}", json=body)
        if address == "launches":
            assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        else:
            assert answer.json()["reasons"][0]["code"] == code
    assert lab.of_server("alice", "tensorboard") is None


async def test_no_forecast_offers_it(lab: Running) -> None:
    answer = await lab.call("POST", "api/v1/launches/preview", json={"user_options": {}})
    assert {choice["profile"] for choice in answer.json()["choices"]} == {"cpu", "gpu", "vision-only"}


async def test_why_it_ended_is_told_until_it_runs_again(lab: Running) -> None:
    launch_id = (await launch(lab))["launch_id"]
    await lab.call("GET", f"api/v1/launches/{launch_id}")
    await lab.spawner.released("alice", "tensorboard", launch_id, reason=UNUSED)
    status = (await lab.call("GET", f"api/v1/launches/{launch_id}")).json()
    assert (status["state"], status["notes"]) == ("ended", [str(UNUSED)])
    latest = lab.world.ledger.latest("alice")
    assert [(one.kind, one.failure) for one in latest] == [("tensorboard", UNUSED)]
    assert await launcher_of(lab).past_launches("alice") == ()


async def test_it_cannot_be_saved(lab: Running) -> None:
    await launch(lab)
    with pytest.raises(LaunchRefused, match="nothing is installed"):
        await ImageDesk(lab.world).save("alice", "alice", "tensorboard", "x", "")


@pytest.mark.parametrize("backend", ["container", "process"])
async def test_where_a_server_sees_a_path(lab: Running, backend: str) -> None:
    object.__setattr__(lab.world.settings, "backend", backend)
    home = places_for(lab.world.catalog().storage, "alice", ())[0]
    seen = await launcher_of(lab).path_in_server("alice", f"{home.target}/runs")
    assert seen == f"{home.source if backend == 'process' else home.target}/runs"
