"""The page that says why a server is kept or at risk."""

from __future__ import annotations

import pytest

from tests.pages.conftest import Login
from tests.pages.helpers import field, start
from tests.pages.idle import MemoryIdle
from tests.pages.launcher import HOSTILE, MemoryLauncher
from tests.pages.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def idle(site: Site) -> MemoryIdle:
    return site.idle


async def test_the_verdict_signals_and_rule_are_said(login: Login, launcher: MemoryLauncher, idle: MemoryIdle) -> None:
    launch_id = await start(launcher, profile="gpu")
    text = (await (await login("alice")).get(f"servers/{launch_id}")).text
    for part in (
        "GPU idle for 2 h.",
        "measured from outside",
        "own word",
        "warned after 1 h 15 min",
        "Keep it for 2 h",
    ):
        assert part in text, part
    assert "<img src=x" not in text
    assert " style=" not in text


async def test_somebody_elses_is_not_there(login: Login, launcher: MemoryLauncher, idle: MemoryIdle) -> None:
    launch_id = await start(launcher, "bob", profile="gpu")
    client = await login("alice")
    assert (await client.get(f"servers/{launch_id}")).status_code == 404
    token = field(await client.get("launch"), "_xsrf")
    assert (await client.post(f"servers/{launch_id}", data={"_xsrf": token})).status_code == 404
    assert idle.kept == []
    assert (await (await login("root")).get(f"servers/{launch_id}")).status_code == 200


async def test_it_is_kept_once_and_then_says_why_not(login: Login, launcher: MemoryLauncher, idle: MemoryIdle) -> None:
    launch_id = await start(launcher, profile="gpu")
    client = await login("alice")
    sent = {"_xsrf": field(await client.get("launch"), "_xsrf"), "reason": f"\u202e{HOSTILE}" + "x" * 10_000}
    assert (await client.post(f"servers/{launch_id}", data={"reason": "no token"})).status_code == 403
    foreign = await client.post(f"servers/{launch_id}", data=sent, headers={"Sec-Fetch-Site": "same-site"})
    assert (foreign.status_code, idle.kept) == (403, [])
    assert (await client.post(f"servers/{launch_id}", data=sent)).status_code == 303
    assert idle.kept[0][:4] == ("alice", "alice", "exp", 7200.0)
    page = (await client.get(f"servers/{launch_id}")).text
    assert "\u202e" not in page
    assert "<img src=x" not in page
    again = await client.post(f"servers/{launch_id}", data=sent)
    assert (again.status_code, "often enough" in again.text) == (409, True)


async def test_what_was_kept_before_the_day_of_the_picture_is_told_too(
    login: Login, launcher: MemoryLauncher, idle: MemoryIdle
) -> None:
    launch_id = await start(launcher, profile="gpu")
    idle.kept = [("alice", "first"), ("alice", f"last{HOSTILE}")]
    client = await login("alice")
    today = (await client.get(f"servers/{launch_id}")).text
    assert "Kept before that" not in today
    assert today.count("first") == 1
    idle.kept_ago = 3 * 86400.0
    before = (await client.get(f"servers/{launch_id}")).text
    assert before.index("Kept before that") < before.index("last&lt;img") < before.index("first")
    idle.kept = idle.kept * 50
    assert (await client.get(f"servers/{launch_id}")).text.count("Kept by") == 20
    idle.away, idle.kept_ago = True, 0.0
    away = (await client.get(f"servers/{launch_id}")).text
    assert ("cannot be looked up" in away, "Kept before that" in away, away.count("Kept by")) == (True, False, 20)


async def test_its_parts_say_the_same_for_the_script(login: Login, launcher: MemoryLauncher, idle: MemoryIdle) -> None:
    launch_id = await start(launcher, profile="gpu")
    client = await login("alice")
    sent = {"X-Xsrftoken": field(await client.get("launch"), "_xsrf"), "Sec-Fetch-Mode": "cors"}
    page = (await client.get(f"servers/{launch_id}")).text
    told = (await client.get(f"servers/{launch_id}/parts", headers=sent)).json()
    assert list(told["parts"]) == ["state", "reach", "verdict", "acts", "day", "signals", "earlier"]
    assert all(text in page for name, text in told["parts"].items() if name not in ("state", "verdict"))
    assert "<img src=x" not in str(told)
    idle.over = True
    over = (await client.get(f"servers/{launch_id}/parts", headers=sent)).json()["parts"]
    assert "This launch is over" in over["verdict"]
    assert (over["acts"].strip(), over["signals"].strip()) == ("", "")
    assert "mlab-day" in over["day"]
    other = await login("bob")
    sent["X-Xsrftoken"] = field(await other.get("launch"), "_xsrf")
    assert (await other.get(f"servers/{launch_id}/parts", headers=sent)).status_code == 404


async def test_gpus_are_given_back_after_a_question(login: Login, launcher: MemoryLauncher, idle: MemoryIdle) -> None:
    launch_id = await start(launcher, profile="gpu")
    launcher.finish(launch_id)
    client = await login("alice")
    assert f'href="/services/mlabhub/servers/{launch_id}"' in (await client.get("")).text
    page = await client.get("release-gpu?server=exp", follow_redirects=True)
    assert "keep the work?" in page.text
    sent = {name: field(page, name) for name in ("_xsrf", "confirm", "server", "user")}
    assert (await client.post("release-gpu", data=sent)).status_code == 303
    assert launcher.calls[-1] == ("release-gpu", "alice", "alice", "exp")
