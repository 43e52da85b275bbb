"""From the driver to the refusal: the service over the real process backend; NVIDIA's library is a stand-in."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tornado.httpserver import HTTPServer

from mlabhub.inventory.process import ProcessBackend
from mlabhub.service.app import login_options, make_service, open_world
from mlabhub.service.world import World
from tests.doubles import KnownTokens, ScriptedHub
from tests.inventory.standin import GIB, Standin, slice_of, whole
from tests.service.conftest import PROFILES, SECRET, make_settings

CHOOSE = """
  chosen:
    display_name: C
    images: [base]
    cpu: 1
    memory_gib: 1
    gpus: {min: 1, max: 4, default: 1}
    gpu_types: [any]
    choose_gpu: true
"""


class Lab:
    """A service in this process; each question asks the driver anew."""

    def __init__(self, world: World, http: httpx.AsyncClient, config: Path):
        self.world, self.http, self.config = world, http, config

    def look_again(self) -> None:
        """Forget what was read within the last seconds."""
        self.world.capacity._source._at = float("-inf")  # type: ignore[attr-defined]
        self.world.capacity._source._known = None  # type: ignore[attr-defined]

    async def gpus(self, who: str = "admin") -> dict[str, dict[str, Any]]:
        """Return the GPUs by UUID."""
        self.look_again()
        answer = await self.http.get("api/v1/gpus", headers={"Authorization": f"token t-{who}"})
        return {gpu["uuid"]: gpu for node in answer.json()["nodes"] for gpu in node["gpus"]}

    async def launch(self, name: str, **options: Any) -> tuple[int, str]:
        """Launch as alice; return the status, and what was said."""
        self.look_again()
        body = {"server_name": name, "user_options": {"cpu": 1, "memory_gib": 1, **options}, "queue": False}
        answer = await self.http.post("api/v1/launches", headers={"Authorization": "token t-alice"}, json=body)
        return answer.status_code, answer.json().get("error", {}).get("message", "")


@pytest.fixture
async def lab(tmp_path: Path, machine: Standin) -> AsyncIterator[Lab]:
    """The service on the machine. Its hub starts nothing, so what is launched stays pending, and held."""
    settings = make_settings(tmp_path)
    (settings.config_dir / "profiles.yaml").write_text(PROFILES + CHOOSE)
    hub = ScriptedHub()
    hub.add_user("alice", "vision")
    async with open_world(settings, hub=hub, backend=ProcessBackend(settings)) as world:
        tokens = KnownTokens(**login_options(settings, "t" * 32))
        tokens.models = {}
        tokens.vouch("t-alice", "alice", "vision")
        tokens.vouch("t-admin", "admin", admin=True, scopes=("start:servers", "delete:servers"))
        server = HTTPServer(make_service(world, hub_auth=tokens, spawner_secret=SECRET).application)
        server.listen(settings.service_port, "127.0.0.1")
        async with httpx.AsyncClient(base_url=settings.service_url, trust_env=False, timeout=30) as http:
            yield Lab(world, http, settings.config_dir)
        server.stop()
        await server.close_all_connections()


@pytest.fixture
def outsider() -> Iterator[int]:
    """A process of somebody who is logged in on the machine."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process.pid
        process.kill()


async def test_a_gpu_that_somebody_else_uses_is_not_handed_out(lab: Lab, machine: Standin, outsider: int) -> None:
    machine.write(whole(0, compute=f"{outsider}:{GIB}"), whole(1))
    assert (await lab.launch("a", profile="gpu"))[0] == 201
    status, said = await lab.launch("b", profile="gpu")
    assert status == 409
    assert "These GPUs are used by something outside of this hub: GPU-00000000" in said
    assert "sleep" not in said
    shown = await lab.gpus()
    assert shown["GPU-00000000"]["processes"] == [
        {"pid": outsider, "name": "sleep", "memory_gib": 1.0, "blocks": True, "launch_id": ""}
    ]
    assert shown["GPU-00000001"]["user"] == "alice"
    machine.write(whole(0), whole(1))
    assert (await lab.launch("b", profile="gpu"))[0] == 201


async def test_a_gpu_chosen_by_id(lab: Lab, machine: Standin) -> None:
    machine.write(
        whole(0, compute=f"{os.getpid()}:{GIB}"),
        whole(1, ecc_volatile=1),
        whole(2, mig="1 1"),
        slice_of(2, 0),
        whole(3, **{"compute.error": 999}),
        whole(4),
    )
    expected = {
        "GPU-00000000": "is used by something outside of this hub",
        "GPU-00000001": "is not healthy",
        "GPU-00000002": "is divided into slices (MIG)",
        "GPU-00000003": "cannot be told now",
        "GPU-99999999": "There is no GPU",
    }
    for uuid, sentence in expected.items():
        status, said = await lab.launch("a", profile="chosen", gpu_ids=[uuid])
        assert (status, sentence in said) == (409, True), said
    assert (await lab.launch("a", profile="chosen", gpu_ids=["GPU-00000004"]))[0] == 201
    assert (await lab.launch("b", profile="chosen", gpu_ids=["MIG-2-0"]))[0] == 201
    status, said = await lab.launch("c", profile="chosen", gpu_ids=["MIG-2-0"])
    assert (status, "is held by" in said) == (409, True), said


async def test_what_is_held_stays_counted_whatever_the_driver_does(lab: Lab, machine: Standin) -> None:
    machine.write(whole(0, mig="1 1"), slice_of(0, 0), whole(1))
    assert (await lab.launch("a", profile="chosen", gpu_ids=["MIG-0-0"]))[0] == 201
    machine.write(whole(0), whole(1))
    shown = await lab.gpus()
    assert shown["GPU-00000000"]["divided"] is False
    machine.write(whole(0), whole(1), {"init.error": 18})
    status, said = await lab.launch("b", profile="gpu")
    assert (status, "Restart the machine" in said) == (409, True), said
    assert (await lab.launch("b", profile="cpu"))[0] == 201
    held = [one for one in lab.world.writer.projection if one.server == "a"]
    assert [one.gpus for one in held] == [("MIG-0-0",)]
    machine.write(whole(0, mig="1 1"), slice_of(0, 0), whole(1))
    assert (await lab.gpus())["MIG-0-0"]["held"]


async def test_types_follow_the_catalogue_without_a_restart(
    lab: Lab, machine: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlabhub.service.catalogue.SETTLED_AFTER_S", 0.0)
    machine.write(whole(0), whole(1, "Tesla T4", 15))
    assert [gpu["type_name"] for gpu in (await lab.gpus()).values()] == ["A100", "T4"]
    types = "gpu_types: {big: {display_name: A100 80 GB, products: ['nvidia a100-sxm4-80gb']}}\n"
    (lab.config / "profiles.yaml").write_text(types + PROFILES + CHOOSE)
    for _ in range(2):  # an edit counts when it has stayed the same for a look
        lab.world.catalog.look()  # type: ignore[attr-defined]
    assert [gpu["type_name"] for gpu in (await lab.gpus()).values()] == ["A100 80 GB", "T4"]
    assert (await lab.launch("a", profile="gpu", gpu_type="big"))[0] == 201
