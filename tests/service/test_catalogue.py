"""The catalogue changes while people work: images are retired, profiles go, files break."""

from __future__ import annotations

import asyncio

import pytest

from mlabhub.core.profiles import Catalog
from mlabhub.ledger import MemoryLedger, Reservation
from mlabhub.ledger.base import LedgerUnavailable
from mlabhub.service.kept import kept_images
from tests.service.conftest import Running
from tests.service.simulation import FixedCatalog

SMALL = {"cpu": 1, "memory_gib": 2}


def catalogue(**old: object) -> FixedCatalog:
    """Return a catalogue with an old and a new image."""
    images = [
        {"slug": "old", "display_name": "Old", "reference": "localhost/mlabhub/old:latest", **old},
        {"slug": "new", "display_name": "New", "reference": "localhost/mlabhub/new:latest"},
    ]
    profiles = [{"slug": "cpu", "display_name": "CPU", "images": ["old", "new"], **SMALL}]
    return FixedCatalog(Catalog.model_validate({"images": images, "profiles": profiles}))


async def start(running: Running, server: str, image: str) -> tuple[int, str]:
    body = {"server_name": server, "user_options": {"profile": "cpu", "image": image}}
    answer = await running.call("POST", "api/v1/launches", json=body)
    return answer.status_code, answer.json().get("error", {}).get("message", "")


async def stop(running: Running, server: str) -> None:
    assert (await running.call("POST", f"api/v1/servers/alice/{server}/stop")).status_code == 202


async def test_a_server_is_started_again_from_its_retired_image_and_no_other_one(running: Running) -> None:
    running.world.catalog = catalogue()
    assert await start(running, "mine", "old") == (201, "")
    await stop(running, "mine")

    running.world.catalog = catalogue(retired={"successor": "new"})
    assert await start(running, "other", "old") == (422, 'The image "old" is retired. Take "new" in its place.')
    assert await start(running, "mine", "old") == (201, "")
    await stop(running, "mine")

    preview = {"server_name": "mine", "user_options": {"image": "old"}}
    assert (await running.call("POST", "api/v1/launches/preview", json=preview)).json()["starts_now"]
    preview["server_name"] = "other"
    assert not (await running.call("POST", "api/v1/launches/preview", json=preview)).json()["starts_now"]

    assert await start(running, "mine", "new") == (201, "")
    await stop(running, "mine")
    assert (await start(running, "mine", "old"))[0] == 422


async def test_the_hubs_own_start_keeps_a_retired_image_too(running: Running) -> None:
    running.world.catalog = catalogue()
    assert await start(running, "mine", "old") == (201, "")
    await stop(running, "mine")
    running.world.catalog = catalogue(retired={})
    await running.hub.start("alice", "mine", display_name="", user_options={"image": "old"})
    one = running.of_server("alice", "mine")
    assert one is not None
    assert one.image == "old"


async def test_what_runs_goes_on_when_its_profile_and_image_are_gone(running: Running) -> None:
    running.world.catalog = catalogue()
    assert await start(running, "mine", "old") == (201, "")
    images = [{"slug": "new", "display_name": "New", "reference": "localhost/mlabhub/new:latest"}]
    profiles = [{"slug": "small", "display_name": "Small", "images": ["new"], **SMALL}]
    running.world.catalog = FixedCatalog(Catalog.model_validate({"images": images, "profiles": profiles}))
    servers = (await running.call("GET", "api/v1/servers")).json()["servers"]
    assert [(one["server_name"], one["state"], one["profile"], one["image"]) for one in servers] == [
        ("mine", "running", "cpu", "old")
    ]
    await stop(running, "mine")
    assert await start(running, "mine", "old") == (422, 'The profile "cpu" cannot be chosen; there is: small.')


async def test_administrators_see_why_the_folder_is_not_in_force(running: Running) -> None:
    """From the file to the API, through the watching loop itself."""
    assert (await running.call("GET", "api/v1/catalogue", "admin")).json() == {"in_force": True, "faults": []}
    (running.settings.config_dir / "quotas.yaml").write_text("users: {default: {gpu: -3}}\n")
    for _ in range(100):
        if running.world.catalog.fault is not None:
            break
        await asyncio.sleep(0.1)
    told = (await running.call("GET", "api/v1/catalogue", "admin")).json()
    assert not told["in_force"]
    assert told["faults"][0].endswith("quotas.yaml:1: users.default.gpu: must be 0 or more; it is -3")
    assert (await running.call("GET", "api/v1/catalogue")).status_code == 403
    health = (await running.call("GET", "health", None)).json()
    assert (health["status"], str(running.settings.config_dir) in str(health)) == ("degraded", False)


async def test_while_the_ledger_is_silent_no_retired_image_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever asks for one then reads what takes its place, and nothing fails."""

    class Silent(MemoryLedger):
        def latest(self, user: str) -> tuple[Reservation, ...]:
            raise LedgerUnavailable("The disk is full.")

    assert await kept_images(Silent(), catalogue(retired={})(), "alice") == {}
    assert "The disk is full." in caplog.text
    assert await kept_images(Silent(), catalogue()(), "alice") == {}  # with nothing retired, nobody asks
