"""Idle servers on the home page: warnings, keeping, GPUs given back and had again, safe mode."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from mlabhub.ledger import MemoryLedger
from mlabhub.service.idle.looks import IdleLooks
from mlabhub.service.views import ShelvedView
from tests.pages.conftest import Login
from tests.pages.helpers import ask, field, start
from tests.pages.launcher import MemoryLauncher
from tests.pages.site import PREFIX, Site
from tests.service.idle.lab import IdleLab

pytestmark = pytest.mark.asyncio(loop_scope="session")


def part(text: str, name: str) -> str:
    """Return a part of the home page, as text that people read."""
    found = re.search(rf'data-part="{name}">(.*?)\n</div>', text, re.DOTALL)
    assert found, name
    return " ".join(unescape(found[1]).split())


async def test_a_warning_that_reached_nobody_else_stands_on_the_page(login: Login, site: Site, tmp_path: Path) -> None:
    """What the ledger calls delivered by way of the home page is in its text, made of the ledger alone."""
    lab = await IdleLab(tmp_path, memory=MemoryLedger()).boot()
    try:
        launch_id = await lab.runs("alice", gpus=1)
        warning = await lab.until_told(launch_id)
        assert warning.way == "home"
        looks = IdleLooks(lab.world, lab.idle_desk, None)  # type: ignore[arg-type]
        site.app.settings.update(idle_looks=looks)
        told = part((await (await login("alice")).get("")).text, "warnings")
        assert f'data-warned="{launch_id}-' in told
        assert "stands idle and is stopped at <time" in told
        assert re.search(r'role="timer" data-left="[1-9]\d+">in 1\d min', told), told
        assert f'action="{PREFIX}servers/{launch_id}"' in told
        assert "Keep it for 2 h" in told
        assert "warned" not in part((await (await login("bob")).get("")).text, "warnings")
    finally:
        await lab.halt()


async def test_a_warned_server_is_kept_from_there(login: Login, launcher: MemoryLauncher, site: Site) -> None:
    launch_id = await start(launcher, profile="gpu")
    launcher.finish(launch_id)
    site.idle.shown, site.idle.warned = {"exp"}, {"exp"}
    client = await login("alice")
    page = (await client.get("")).text
    warned = part(page, "warnings")
    for said in ("exp stands idle and is stopped at", "GPU idle for 2 h.", "Open it", "Give its GPUs back"):
        assert said in warned, said
    assert part(page, "servers").count("Keep it for 2 h") == 1
    assert ' style="' not in page
    sent = {"_xsrf": field(await client.get("launch"), "_xsrf"), "from": "home"}
    kept = await client.post(f"servers/{launch_id}", data=sent)
    assert (kept.status_code, kept.headers["location"]) == (303, PREFIX + "?done=kept")
    assert site.idle.kept[0][:4] == ("alice", "alice", "exp", 7200.0)
    assert "It is kept." in (await client.get("?done=kept")).text
    assert "Keep it for" not in (await client.get("")).text
    parts = (await client.get("parts", headers={"X-Xsrftoken": sent["_xsrf"]})).json()
    assert "stands idle" in parts["parts"]["warnings"]
    assert parts["moves"] is True


async def test_a_name_that_attacks_is_text(login: Login, launcher: MemoryLauncher, site: Site) -> None:
    hostile = "<img src=x onerror=alert(1)>{when}"
    launch_id = await start(launcher, name=hostile)
    launcher.finish(launch_id)
    site.idle.shown = site.idle.warned = {hostile}
    assert "<img src=x" not in (await (await login("alice")).get("")).text


@pytest.mark.parametrize("waits", [False, True], ids=["free", "not free"])
async def test_gpus_that_were_given_back_are_had_again(
    login: Login, launcher: MemoryLauncher, site: Site, waits: bool
) -> None:
    launcher.finish(await start(launcher))
    view = launcher.views["alice", "exp"]
    shelved = ShelvedView("released", 1.0, 2.0, 2, "a100", rescue="mlabhub-rescue/x")
    launcher.views["alice", "exp"] = replace(view, shelved=replace(shelved, state="saving"))
    client = await login("alice")
    soon = part((await client.get("")).text, "servers")
    assert "It gives 2 A100 (simulated) back: what is open is being saved" in soon
    assert "my GPUs again" not in soon
    launcher.views["alice", "exp"] = replace(view, shelved=shelved)
    assert "Give me my GPUs again" in part((await client.get("")).text, "servers")
    site.idle.waits = waits
    page = await ask(client, "bring-back?server=exp")
    sent = {name: field(page, name) for name in ("_xsrf", "confirm", "server", "user")}
    answer = await client.post("bring-back", data=sent)
    if waits:
        assert launcher.calls[-1][0] != "bring-back"
        page = await ask(client, answer.headers["location"].removeprefix(PREFIX))
        assert "not free now. Wait for them?" in page.text
        assert re.search(r"Probably \S+ to \S+</span> <span class=\"mlab-quiet\">\(in \d+ to \d+ min\)", page.text)
        sent = {name: field(page, name) for name in ("_xsrf", "confirm", "server", "user")}
        answer = await client.post("bring-back-wait", data=sent)
    assert answer.headers["location"] == PREFIX + "starting/01BACK"
    assert launcher.calls[-1] == ("bring-back", "alice", "alice", "exp", waits)


async def test_safe_mode_is_offered_and_shown(login: Login, launcher: MemoryLauncher) -> None:
    launch_id = await start(launcher)
    launcher.finish(launch_id, failure="no")
    client = await login("alice")
    assert "safe mode" not in (await client.get("")).text
    view = launcher.views["alice", "exp"]
    launcher.views["alice", "exp"] = replace(view, safe_mode_offered=True)
    assert "Start in safe mode" in part((await client.get("")).text, "servers")
    sent = {"_xsrf": field(await client.get("launch"), "_xsrf"), "server": "exp"}
    assert (await client.post("safe-mode", data={"server": "exp"})).status_code == 403
    first, second = [await client.post("safe-mode", data=sent) for _ in range(2)]
    assert first.headers["location"] == second.headers["location"]
    assert launcher.calls[-1][-1] == {"profile": "cpu", "safe": True}
    assert "Safe mode" in part((await client.get("")).text, "servers")
    assert (await (await login("bob")).post("safe-mode", data={**sent, "user": "alice"})).status_code == 403
