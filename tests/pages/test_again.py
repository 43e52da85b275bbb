"""The last launch in one click."""

from __future__ import annotations

import re
from html import unescape

import httpx
import pytest

from mlabhub.service.pages.choices import as_arguments, read_options
from mlabhub.service.views import PastLaunch, Person
from tests.pages.conftest import Login
from tests.pages.helpers import field, site_path, start
from tests.pages.launcher import MemoryLauncher

GPU = {"profile": "gpu", "image": "base", "gpus": 2, "gpu_type": "t4", "cpu": 16, "options": {"shm_gib": 4}}


def again(page: httpx.Response) -> str:
    """Return the part of the page that offers the last launch."""
    return page.text.split('data-part="again"', 1)[1].split("</section>", 1)[0]


def link(html: str, part: str = "launch?") -> str:
    """Return the first address in it that has that part."""
    return site_path(next(one for one in map(unescape, re.findall(r'href="([^"]*)"', html)) if part in one))


def hidden(html: str) -> dict[str, str]:
    """Return the fields of the form in it."""
    found = re.findall(r'type="hidden" name="([^"]*)" value="([^"]*)"', html)
    return {name: unescape(value) for name, value in found}


@pytest.mark.asyncio(loop_scope="session")
class TestAgain:
    async def test_nothing_was_launched_yet(self, login: Login) -> None:
        assert "hidden>" in again(await (await login("alice")).get("launch"))

    async def test_in_one_click(self, login: Login, launcher: MemoryLauncher) -> None:
        launcher.finish(await start(launcher, **GPU))
        await launcher.stop(Person("alice"), "alice", "exp")
        client = await login("alice")
        shown = again(await client.get("launch"))
        assert "16 CPU · 32 GiB · 2 T4 (simulated) · Base (Python 3.11)" in shown
        assert "exp, started" in shown
        page = await client.post("launch", data=hidden(shown))
        assert page.status_code == 303
        assert launcher.calls[-1] == ("launch", "alice", "alice", "exp", "exp", GPU)

    async def test_a_refresh_changes_nothing_under_the_pointer(self, login: Login, launcher: MemoryLauncher) -> None:
        launcher.past["alice"] = [PastLaunch("exp", "exp", 0.0, GPU)]
        client = await login("alice")
        page = await client.get("launch")
        sent = {"profile": "cpu", "cards": "cpu", "key": field(page, "key")}
        headers = {"X-Xsrftoken": field(page, "_xsrf")}
        parts = [(await client.post("launch/preview", data=sent, headers=headers)).json()["parts"] for _ in range(2)]
        assert parts[0] == parts[1]
        assert hidden(parts[0]["again"]) == hidden(again(page))

    async def test_while_it_runs_it_is_chosen_for_another(self, login: Login, launcher: MemoryLauncher) -> None:
        launcher.finish(await start(launcher, **GPU))
        client = await login("alice")
        shown = again(await client.get("launch"))
        assert "<form" not in shown
        page = await client.get(link(shown))
        assert (field(page, "profile"), 'value="4" min="1"' in page.text) == ("gpu", True)
        assert 'name="server"' not in page.text

    async def test_when_it_is_not_free(self, login: Login, launcher: MemoryLauncher) -> None:
        launcher.finish(await start(launcher, **GPU))
        await launcher.stop(Person("alice"), "alice", "exp")
        await start(launcher, "bob", "b", profile="gpu", gpus=4, gpu_type="t4")
        shown = again(await (await login("alice")).get("launch"))
        assert "Not free now" in shown
        assert "2 T4 wait: none is free." in shown
        assert "Queue for it again" in shown

    @pytest.mark.parametrize(
        ("options", "words", "left"),
        [
            pytest.param({**GPU, "image": "old"}, 'The image "old" cannot be chosen', "PyTorch 2.9", id="image"),
            pytest.param({**GPU, "gpus": 3}, "gpus cannot be 3", "1 T4", id="number of GPUs"),
            pytest.param({**GPU, "group": "nlp"}, "you are not in it", "2 T4", id="group"),
            pytest.param({**GPU, "options": {"shm_gib": 99}}, "shm_gib cannot be 99", "2 T4", id="further option"),
            pytest.param({**GPU, "image": "old", "cpu": 7}, "cpu cannot be 7", "8 CPU", id="two of them"),
        ],
    )
    async def test_what_has_changed_is_said(
        self, login: Login, launcher: MemoryLauncher, options: dict[str, object], words: str, left: str
    ) -> None:
        launcher.past["alice"] = [PastLaunch("exp", "exp", 0.0, options)]
        client = await login("alice")
        shown = unescape(again(await client.get("launch")))
        assert words in shown
        assert left in shown
        assert "<form" not in shown
        assert "Starts now" in (await client.get(link(shown))).text.split('id="forecast"', 1)[1]

    async def test_a_profile_that_is_gone_leaves_nothing(self, login: Login, launcher: MemoryLauncher) -> None:
        launcher.past["alice"] = [PastLaunch("exp", "exp", 0.0, {**GPU, "profile": "gone"})]
        shown = again(await (await login("alice")).get("launch"))
        assert "cannot be chosen" in shown
        assert "<a " not in shown

    async def test_a_server_is_restarted_with_its_own_choices(self, login: Login, launcher: MemoryLauncher) -> None:
        launcher.finish(await start(launcher, **GPU))
        await launcher.stop(Person("alice"), "alice", "exp")
        launcher.finish(await start(launcher, name="other"))
        client = await login("alice")
        home = await client.get("")
        page = await client.get(link(home.text, "server=exp"))
        assert (field(page, "profile"), field(page, "server")) == ("gpu", "exp")
        sent = hidden(page.text.split('id="launch-form"', 1)[1])
        sent |= {"gpus": "2", "gpu_type": "t4", "cpu": "16", "option-shm_gib": "4", "image": "base"}
        assert 'value="4" min="1"' in page.text
        await client.post("launch", data=sent)
        assert launcher.calls[-1] == ("launch", "alice", "alice", "exp", "exp", GPU)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"options": {"workers": 4, "precision": "bf16", "release": "2"}}, id="further options"),
        pytest.param(GPU, id="numbers and texts"),
        pytest.param(
            {"profile": "x", "image": "saved/mine", "gpu_ids": ["GPU-1", "GPU-2"], "gpus": 2}, id="saved image"
        ),
        pytest.param({"profile": "x", "image": "master0:5000/eflops/x:1"}, id="typed image"),
        pytest.param({"memory_gib": 0.0625, "cpu": 2.5, "group": "a b&c=d"}, id="fractions and odd names"),
        pytest.param(
            {
                "mounts": [
                    {"share": "imagenet", "subfolder": "train/small", "target": "/data/x", "read_only": True},
                    {"share": "user", "target": "/workspace/me"},
                ]
            },
            id="mounts",
        ),
    ],
)
def test_options_become_fields_and_options_again(options: dict[str, object]) -> None:
    assert read_options(as_arguments(options)) == options
