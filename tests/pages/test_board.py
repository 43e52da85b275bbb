"""TensorBoard on the home page, and the tools of servers."""

from __future__ import annotations

import re
from html import unescape
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from mlabhub.messages import Message
from mlabhub.service.views import Person
from tests.pages.conftest import Login
from tests.pages.helpers import ask, site_path, start
from tests.pages.launcher import HOSTILE, MemoryLauncher
from tests.pages.site import PREFIX

pytestmark = pytest.mark.asyncio(loop_scope="session")
SERVER = "/user/alice/tensorboard-server/"
HOME = "/mnt/user/alice"


async def show(client: httpx.AsyncClient, folder: str, **more: str) -> httpx.Response:
    """Send the form as browsers do."""
    page = await client.get("")
    token = re.search(r'name="_xsrf" value="([^"]+)"', page.text)
    assert token is not None
    return await client.post("tensorboard", data={"_xsrf": token[1], "folder": folder, **more})


async def start_board(launcher: MemoryLauncher, name: str = "tensorboard-server", **options: Any) -> str:
    answer = await launcher.launch(
        Person("alice"),
        user="alice",
        server_name=name,
        display_name="TensorBoard",
        user_options={"profile": "board", **options},
    )
    return answer.launch_id


def section(page: httpx.Response) -> str:
    """Return the section's text."""
    found = re.search(r'<section class="card mlab-board".*?</section>', page.text, re.DOTALL)
    return unescape(found[0]) if found else ""


class TestShow:
    async def test_it_starts_one_and_follows_it(self, login: Login, launcher: MemoryLauncher) -> None:
        client = await login("alice")
        page = await show(client, f" {HOME}//runs/ ")
        assert launcher.calls == [
            (
                "launch",
                "alice",
                "alice",
                "tensorboard-server",  # not "tensorboard": that is the default server's own TensorBoard
                "TensorBoard",
                {"profile": "board", "log_folders": [f"{HOME}/runs"]},
            )
        ]
        [view] = launcher.views.values()
        assert (page.status_code, page.headers["location"]) == (303, f"{PREFIX}starting/{view.launch_id}")
        following = await client.get(site_path(page.headers["location"]))
        assert "Starting TensorBoard" in following.text
        launcher.finish(view.launch_id or "")
        there = await client.get(site_path(page.headers["location"]))
        assert (there.status_code, there.headers["location"]) == (302, SERVER)

    async def test_nothing_typed_shows_what_was_shown_before(self, login: Login, launcher: MemoryLauncher) -> None:
        await show(await login("alice"), "")
        assert launcher.calls[0][-1] == {"profile": "board"}

    async def test_the_second_press_starts_no_second_one(self, login: Login, launcher: MemoryLauncher) -> None:
        client = await login("alice")
        first, second = await show(client, f"{HOME}/runs"), await show(client, f"{HOME}/runs")
        assert first.headers["location"] == second.headers["location"]
        assert len(launcher.views) == 1

    async def test_one_that_runs_is_taken_the_folder(self, login: Login, launcher: MemoryLauncher) -> None:
        launcher.finish(await start_board(launcher))
        client = await login("alice")
        page = await show(client, f"{HOME}/lauf 1/a&b=c#d?e%2f实验")
        path = "lauf%201/a%26b%3Dc%23d%3Fe%252f%E5%AE%9E%E9%AA%8C"
        assert page.headers["location"] == f"{SERVER}mlabhub/log-folders?add={HOME}/{path}"
        assert (await show(client, "")).headers["location"] == SERVER
        assert [call[0] for call in launcher.calls] == ["launch"]

    async def test_one_that_stopped_starts_again_under_its_name(self, login: Login, launcher: MemoryLauncher) -> None:
        launcher.finish(await start_board(launcher, "tensorboard-7"))
        await launcher.stop(Person("alice"), "alice", "tensorboard-7")
        await show(await login("alice"), "")
        assert launcher.calls[-1][3] == "tensorboard-7"

    async def test_a_workbench_of_that_name_is_left_alone(self, login: Login, launcher: MemoryLauncher) -> None:
        launcher.finish(await start(launcher, name="tensorboard-server"))
        await launcher.stop(Person("alice"), "alice", "tensorboard-server")
        await show(await login("alice"), "")
        assert launcher.calls[-1][3] not in ("", "tensorboard-server")

    @pytest.mark.parametrize(
        ("folder", "status", "words"),
        [
            pytest.param(
                "/mnt/user/bob/runs", 403, "is not in one of your folders; yours: /mnt/user/alice", id="bob's"
            ),
            pytest.param("/mnt/share/nlp", 403, "is not in one of your folders", id="another group's"),
            pytest.param("../bob", 422, "write its whole path, such as /mnt/user/alice/runs", id="relative"),
            pytest.param(f"{HOME}/../bob", 422, "has .. in it", id="out"),
            pytest.param("/etc/" + "x" * 2000, 422, "is not a log folder", id="long"),
            pytest.param(HOSTILE, 422, "is not a log folder", id="hostile"),
        ],
    )
    @pytest.mark.parametrize("runs", [False, True], ids=["nothing runs", "it runs"])
    async def test_what_is_not_ones_own_is_refused_in_words(
        self, login: Login, launcher: MemoryLauncher, folder: str, status: int, words: str, runs: bool
    ) -> None:
        if runs:
            launcher.finish(await start_board(launcher))
        calls = list(launcher.calls)
        page = await show(await login("alice"), folder)
        assert page.status_code == status
        assert words in section(page)
        assert f'value="{folder}"' in section(page)
        assert '<p class="mlab-board-problem" id="folder-problem" role="alert">' in page.text
        assert HOSTILE not in page.text
        assert launcher.calls == calls

    async def test_the_quota_says_no_in_words(self, login: Login, launcher: MemoryLauncher) -> None:
        for number in range(5):
            await start(launcher, name=f"s{number}")
        page = await show(await login("alice"), HOME)
        assert page.status_code == 409
        assert "5 servers" in section(page)
        assert len(launcher.views) == 5

    async def test_nobody_shows_for_somebody_else_but_administrators(
        self, login: Login, launcher: MemoryLauncher
    ) -> None:
        assert (await show(await login("bob"), HOME, user="alice")).status_code == 403
        assert launcher.calls == []
        launcher.groups["root"] = ("vision",)
        page = await show(await login("root"), HOME, user="alice")
        assert page.headers["location"].endswith("?" + urlencode({"user": "alice"}))
        assert launcher.calls[0][:3] == ("launch", "root", "alice")

    @pytest.mark.parametrize(
        "sent", [{"Sec-Fetch-Mode": "cors"}, {"Sec-Fetch-Dest": "iframe"}, {"Sec-Fetch-Site": "cross-site"}]
    )
    async def test_a_script_or_another_site_shows_nothing(
        self, login: Login, launcher: MemoryLauncher, sent: dict[str, str]
    ) -> None:
        client = await login("alice")
        token = re.search(r'name="_xsrf" value="([^"]+)"', (await client.get("")).text)
        assert token is not None
        page = await client.post("tensorboard", data={"_xsrf": token[1], "folder": HOME}, headers=sent)
        assert page.status_code in (302, 403)
        assert (await client.post("tensorboard", data={"folder": HOME})).status_code == 403
        assert launcher.calls == []

    async def test_its_address_leads_home(self, login: Login) -> None:
        page = await (await login("alice")).get("tensorboard")
        assert (page.status_code, page.headers["location"]) == (302, PREFIX)


class TestSection:
    async def test_what_it_offers_at_first(self, login: Login) -> None:
        text = section(await (await login("bob")).get(""))
        for words in (
            '<option value="/mnt/user/bob">',
            '<option value="/mnt/share/nlp">',
            "Show",
            "/mnt/user/bob/runs",
        ):
            assert words in text
        assert "Stop…" not in text

    async def test_it_is_one_section_and_no_card(self, login: Login, launcher: MemoryLauncher) -> None:
        launcher.finish(await start_board(launcher))
        client = await login("alice")
        page = await client.get("")
        assert f'href="{SERVER}"' in section(page)
        assert f'href="{PREFIX}stop?server=tensorboard-server"' in section(page)
        assert "1 CPU · 2 GiB" in section(page)
        assert 'class="card mlab-server"' not in page.text
        await launcher.stop(Person("alice"), "alice", "tensorboard-server")
        page = await client.get("")
        assert 'class="card mlab-server"' not in page.text
        assert "Reset environment" not in page.text

    async def test_further_ones_that_run_are_cards(self, login: Login, launcher: MemoryLauncher) -> None:
        for name in ("one", "two"):
            launcher.finish(await start_board(launcher, name))
        text = (await (await login("alice")).get("")).text
        assert text.count('class="card mlab-server"') == 1
        assert "Save as an image" not in text

    async def test_stopping_it_says_what_that_costs(self, login: Login, launcher: MemoryLauncher) -> None:
        launcher.finish(await start_board(launcher))
        question = await ask(await login("alice"), "stop?server=tensorboard-server")
        assert "its list of folders is kept" in question.text
        assert "pip" not in question.text

    async def test_it_says_why_it_ended(self, login: Login, launcher: MemoryLauncher) -> None:
        launch_id = await start_board(launcher)
        launcher.finish(launch_id)
        launcher.end(launch_id, Message("Nobody looked."))
        assert "Nobody looked." in section(await (await login("alice")).get(""))

    async def test_a_start_that_failed_leads_home(self, login: Login, launcher: MemoryLauncher) -> None:
        launch_id = await start_board(launcher)
        launcher.finish(launch_id, failure="No.")
        text = (await (await login("alice")).get(f"starting/{launch_id}")).text
        assert "TensorBoard did not start" in text
        assert "Back to the choices" not in text

    async def test_without_a_profile_there_is_none(self, login: Login, launcher: MemoryLauncher) -> None:
        client = await login("carol")
        assert section(await client.get("")) == ""
        page = await client.get("launch")
        token = re.search(r'name="_xsrf" value="([^"]+)"', page.text)
        assert token is not None
        sent = await client.post("tensorboard", data={"_xsrf": token[1], "folder": ""})
        assert sent.status_code == 403

    async def test_a_bookmark_of_one_that_ended_leads_to_the_section(
        self, login: Login, launcher: MemoryLauncher
    ) -> None:
        """The hub leads from there to the launch page, where it would become another kind of server."""
        launch_id = await start_board(launcher)
        launcher.finish(launch_id)
        launcher.end(launch_id, Message("Nobody looked."))
        page = await (await login("alice")).get("launch?server=tensorboard-server")
        assert (page.status_code, page.headers["location"]) == (302, f"{PREFIX}#tensorboard")

    async def test_the_launch_page_knows_nothing_of_it(self, login: Login, launcher: MemoryLauncher) -> None:
        launcher.finish(await start_board(launcher))
        text = (await (await login("alice")).get("launch?profile=board")).text
        assert "TensorBoard</" not in text
        assert 'name="profile" value="cpu"' in text


class TestTools:
    async def test_the_tools_of_a_server_that_runs(self, login: Login, launcher: MemoryLauncher) -> None:
        launch_id = await start(launcher, image="pytorch")
        client = await login("alice")
        assert "mlab-tool" not in (await client.get("")).text
        launcher.finish(launch_id)
        text = (await client.get("")).text
        links = re.findall(
            r'class="mlab-tool" href="([^"]+)"><i aria-hidden="true" class="fa (fa-[a-z-]+)"></i> ([^<]+)', text
        )
        assert links == [
            ("/user/alice/exp/mlabhub/open/lab", "fa-book", "JupyterLab"),
            ("/user/alice/exp/mlabhub/open/vscode", "fa-code", "VS Code"),
        ]
        assert '<ul class="mlab-tools" aria-label="Tools of exp">' in text

    async def test_why_a_workbench_ended(self, login: Login, launcher: MemoryLauncher) -> None:
        launch_id = await start(launcher)
        launcher.finish(launch_id)
        launcher.end(launch_id, Message("It used more memory than it has."))
        assert "It used more memory than it has." in (await (await login("alice")).get("")).text
