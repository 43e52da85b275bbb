"""Starting, home, and the questions before a stop or a reset."""

from __future__ import annotations

import httpx
import pytest

from mlabhub.messages import Message
from mlabhub.service.views import Person
from tests.pages.conftest import Login
from tests.pages.helpers import ask, field, site_path, start
from tests.pages.launcher import MemoryLauncher
from tests.pages.site import PREFIX, Site

AWAY = Message("its file server does not answer.")

pytestmark = pytest.mark.asyncio(loop_scope="session")


class TestStarting:
    async def test_steps_and_times(self, login: Login, launcher: MemoryLauncher) -> None:
        launch_id = await start(launcher)
        page = await (await login("alice")).get(f"starting/{launch_id}?profile=cpu&cpu=8")
        assert "Starting exp" in page.text
        assert "Admitted on n1" in page.text
        assert "1.4 s" in page.text
        assert '<noscript><meta http-equiv="refresh" content="2"></noscript>' in page.text

    async def test_ready_leads_to_the_server(self, login: Login, launcher: MemoryLauncher) -> None:
        launch_id = await start(launcher)
        launcher.finish(launch_id)
        page = await (await login("alice")).get(f"starting/{launch_id}")
        assert (page.status_code, page.headers["location"]) == (302, "/user/alice/exp/mlabhub/open/lab")

    async def test_failed_says_why_and_keeps_the_choices(self, login: Login, launcher: MemoryLauncher) -> None:
        launch_id = await start(launcher)
        launcher.finish(launch_id, failure="The image base is not on this machine.")
        page = await (await login("alice")).get(f"starting/{launch_id}?profile=cpu&cpu=8&name=exp")
        assert "exp did not start" in page.text
        assert "The image base is not on this machine." in page.text
        assert f'href="{PREFIX}launch?server=exp&amp;profile=cpu&amp;cpu=8&amp;name=exp"' in page.text
        assert "http-equiv" not in page.text

    async def test_what_it_goes_without_is_said_in_the_readers_language(
        self, login: Login, launcher: MemoryLauncher
    ) -> None:
        launch_id = await start(launcher)
        launcher.note(launch_id, Message.of("Without {target}: {reason}", target="/x", reason=AWAY))
        client = await login("alice")
        for address in (f"starting/{launch_id}", ""):
            assert "没有挂载 /x：其文件服务器没有响应。" in (await client.get(f"{address}?lang=zh_CN")).text
            assert "Without /x: its file server does not answer." in (await client.get(f"{address}?lang=en")).text
        assert "Without /x" in (await client.get(f"starting/{launch_id}/progress")).json()["html"]

    @pytest.mark.parametrize("launch_id", ["nope", "01J" + "0" * 23])
    async def test_no_such_launch(self, login: Login, launch_id: str) -> None:
        assert (await (await login("alice")).get(f"starting/{launch_id}")).status_code == 404


async def test_home_says_how_much_room_there_is_and_what_is_not_protected(login: Login) -> None:
    page = await (await login("alice")).get("")
    assert "1 MiB of 1 TiB free" in page.text
    assert "Full: nothing more can be saved." in page.text
    assert "read-only; not protected against loss)" in page.text
    assert "free space unknown" in page.text


class TestStopAndReset:
    async def test_stop_asks_and_then_stops(self, login: Login, launcher: MemoryLauncher) -> None:
        launcher.finish(await start(launcher))
        client = await login("alice")
        question = await ask(client, "stop?server=exp")
        assert "Stop exp?" in question.text
        assert launcher.calls[-1][0] == "launch"
        sent = {name: field(question, name) for name in ("_xsrf", "confirm", "server", "user")}
        page = await client.post("stop", data=sent)
        assert page.status_code == 303
        assert launcher.calls[-1] == ("stop", "alice", "alice", "exp")
        home = await client.get(site_path(page.headers["location"]))
        assert "exp was stopped." in home.text
        assert "Stopped" in home.text

    async def test_reset_asks_and_then_resets(self, login: Login, launcher: MemoryLauncher) -> None:
        launcher.finish(await start(launcher))
        await launcher.stop(Person("alice"), "alice", "exp")
        client = await login("alice")
        assert f'href="{PREFIX}reset?server=exp"' in (await client.get("")).text
        question = await ask(client, "reset?server=exp")
        assert "cannot be undone" in question.text
        sent = {name: field(question, name) for name in ("_xsrf", "confirm", "server", "user")}
        assert (await client.post("reset", data=sent)).status_code == 303
        assert launcher.calls[-1] == ("reset", "alice", "alice", "exp")

    @pytest.mark.parametrize("act", ["stop", "reset"])
    async def test_nothing_happens_without_the_question(self, login: Login, launcher: MemoryLauncher, act: str) -> None:
        launcher.finish(await start(launcher))
        launcher.finish(await start(launcher, name="other"))
        client = await login("alice")
        question = await ask(client, "stop?server=other")
        token, confirm = field(question, "_xsrf"), field(question, "confirm")
        for sent in ({}, {"confirm": "x"}, {"confirm": confirm}):
            page = await client.post(act, data={"_xsrf": token, "server": "exp", **sent})
            assert (page.status_code, page.headers["location"]) == (303, f"{PREFIX}{act}?server=exp&stale=1")
            assert "confirm" not in page.text
        assert "Look at it again" in (await ask(client, f"{act}?server=exp&stale=1")).text
        assert {call[0] for call in launcher.calls} == {"launch"}

    async def test_the_question_takes_two_steps(self, login: Login, launcher: MemoryLauncher) -> None:
        """Steps of different policies cut the tie to whatever window opened or holds this one."""
        await start(launcher)
        client = await login("alice")
        first = await client.get("stop?server=exp")
        assert (first.status_code, first.headers["cross-origin-opener-policy"]) == (302, "same-origin")
        second = await client.get(site_path(first.headers["location"]))
        assert (second.status_code, second.headers["cross-origin-opener-policy"]) == (200, "noopener-allow-popups")
        again = await client.get(site_path(first.headers["location"]))
        assert (again.status_code, "confirm" in again.text) == (302, False)

    @pytest.mark.parametrize("sent", [{"Sec-Fetch-Mode": "cors"}, {"Sec-Fetch-Dest": "iframe"}])
    async def test_the_question_is_for_people(
        self, login: Login, launcher: MemoryLauncher, sent: dict[str, str]
    ) -> None:
        """Not even a script that got hold of the form's token may read it."""
        await start(launcher)
        client = await login("alice")
        token = field(await client.get("launch"), "_xsrf")
        page = await client.get("stop?server=exp", headers={"X-Xsrftoken": token, **sent})
        assert page.status_code == 403

    async def test_an_answer_is_good_once(self, login: Login, launcher: MemoryLauncher) -> None:
        launcher.finish(await start(launcher))
        client = await login("alice")
        question = await ask(client, "stop?server=exp")
        sent = {name: field(question, name) for name in ("_xsrf", "confirm", "server", "user")}
        assert "done=stop" in (await client.post("stop", data=sent)).headers["location"]
        assert "stale=1" in (await client.post("stop", data=sent)).headers["location"]
        assert [call[0] for call in launcher.calls] == ["launch", "stop"]

    async def test_a_script_cannot_answer(self, login: Login, launcher: MemoryLauncher) -> None:
        launcher.finish(await start(launcher))
        client = await login("alice")
        question = await ask(client, "stop?server=exp")
        sent = {name: field(question, name) for name in ("_xsrf", "confirm", "server", "user")}
        page = await client.post("stop", data=sent, headers={"Sec-Fetch-Mode": "cors"})
        assert page.status_code == 403
        assert launcher.calls[-1][0] == "launch"

    async def test_no_such_server(self, login: Login) -> None:
        assert (await (await login("alice")).get("stop?server=nope")).status_code == 404


class TestHome:
    async def test_nothing_yet(self, login: Login) -> None:
        page = await (await login("carol")).get("")
        assert "You have no server yet." in page.text
        assert f'href="{PREFIX}launch"' in page.text

    async def test_what_a_card_says(self, login: Login, launcher: MemoryLauncher) -> None:
        launcher.finish(await start(launcher, profile="gpu", gpus=2, gpu_type="t4"))
        page = await (await login("alice")).get("")
        for words in (
            "exp",
            "Running",
            "8 CPU · 32 GiB · 2 T4 (simulated)",
            "PyTorch 2.9",
            "vision",
            "Open JupyterLab",
        ):
            assert words in page.text
        assert 'href="/user/alice/exp/mlabhub/open/lab"' in page.text

    async def test_what_cannot_be_done_is_not_offered(self, login: Login, launcher: MemoryLauncher) -> None:
        await start(launcher)
        text = (await (await login("alice")).get("")).text
        assert "Watch it start" in text
        assert "Open JupyterLab" not in text
        assert "Reset environment" not in text

    async def test_a_newer_image_is_offered_not_forced(self, login: Login, launcher: MemoryLauncher) -> None:
        launcher.finish(await start(launcher))
        await launcher.stop(Person("alice"), "alice", "exp")
        object.__setattr__(launcher.views["alice", "exp"], "newer_image", True)
        assert "A newer version of its image is available." in (await (await login("alice")).get("")).text

    async def test_a_forged_notice_is_not_believed(self, login: Login, launcher: MemoryLauncher) -> None:
        launcher.finish(await start(launcher))
        assert "was stopped" not in (await (await login("alice")).get("?done=stop&server=exp")).text

    @pytest.mark.parametrize(
        ("settings", "words"),
        [({"backend": "process"}, "nothing is isolated"), ({"simulate_gpus": "1xT4"}, "are simulated")],
    )
    async def test_what_is_not_real_is_said(
        self, launcher: MemoryLauncher, tmp_path: object, settings: dict[str, str], words: str
    ) -> None:
        plain = {"backend": "container", "simulate_gpus": ""}
        for given, said in (({**plain, **settings}, True), (plain, False)):
            site = Site(launcher, tmp_path, **given)  # type: ignore[arg-type]
            async with httpx.AsyncClient(base_url=site.url, follow_redirects=True) as client:
                page = await client.get(f"{site.origin}/login-as/alice")
            await site.close()
            assert (words in page.text) == said
