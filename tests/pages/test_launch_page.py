"""The launch form over HTTP: what it starts, what it refuses and where it says so."""

from __future__ import annotations

import re
from html import unescape

import pytest

from mlabhub.core.idle.file import Idle
from mlabhub.errors import Unavailable
from mlabhub.service.views import Person
from tests.pages.conftest import Login
from tests.pages.helpers import field, start
from tests.pages.launcher import HOSTILE, MemoryLauncher
from tests.pages.site import PREFIX

pytestmark = pytest.mark.asyncio(loop_scope="session")


class TestLaunch:
    async def test_opens_on_the_profile_without_gpu(self, login: Login) -> None:
        page = await (await login("alice")).get("launch")
        assert field(page, "profile") == "cpu"
        assert page.text.count('aria-current="true"') == 1
        assert "Starts now" in page.text
        assert "/mnt/user/alice</span>" in page.text
        assert "not protected against loss" in page.text
        assert "Full: nothing more can be saved." in page.text

    async def test_says_what_it_reaches(self, login: Login) -> None:
        page = (await (await login("alice")).get("launch")).text
        assert '<p id="network">No network can be reached from it: the lab has not opened anything.</p>' in page

    async def test_says_what_befalls_it_when_nobody_uses_it(self, login: Login, launcher: MemoryLauncher) -> None:
        client = await login("alice")
        page = await client.get("launch?profile=gpu")
        assert "warned after 1 h 15 min without GPU work, stopped 15 min later." in page.text
        launcher.idle = Idle.model_validate({"rules": [{"policy": "princeton", "profiles": ["cpu"]}]})
        sent = {"_xsrf": field(page, "_xsrf"), "profile": "cpu"}
        parts = (await client.post("launch/preview", data=sent)).json()["parts"]
        assert parts["idle"] == "Idle rule: servers of this kind are never stopped for idleness."
        parts = (await client.post("launch/preview", data={**sent, "cpu": "nope"})).json()["parts"]
        assert parts["idle"] == ""

    async def test_another_groups_profile_is_not_shown(self, login: Login) -> None:
        assert "Vision&#39;s own" in (await (await login("alice")).get("launch")).text
        assert "Vision&#39;s own" not in (await (await login("carol")).get("launch")).text

    async def test_start(self, login: Login, launcher: MemoryLauncher) -> None:
        client = await login("alice")
        form = await client.get("launch?profile=gpu")
        sent = {
            "_xsrf": field(form, "_xsrf"),
            "key": field(form, "key"),
            "profile": "gpu",
            "gpus": "2",
            "gpu_type": "t4",
            "cpu": "16",
            "memory_gib": "64",
            "option-shm_gib": "16",
            "name": "实验_1",
        }
        page = await client.post("launch", data=sent)
        assert page.status_code == 303
        assert page.headers["location"].startswith(f"{PREFIX}starting/01J")
        assert launcher.calls == [
            (
                "launch",
                "alice",
                "alice",
                "s-1",
                "实验_1",
                {
                    "profile": "gpu",
                    "gpus": 2,
                    "gpu_type": "t4",
                    "cpu": 16,
                    "memory_gib": 64,
                    "options": {"shm_gib": 16},
                },
            )
        ]

    async def test_start_twice_is_one_server(self, login: Login, launcher: MemoryLauncher) -> None:
        client = await login("alice")
        form = await client.get("launch")
        sent = {"_xsrf": field(form, "_xsrf"), "key": field(form, "key"), "profile": "cpu", "name": "exp"}
        first, second = await client.post("launch", data=sent), await client.post("launch", data=sent)
        assert first.status_code == second.status_code == 303
        assert first.headers["location"] == second.headers["location"]
        assert len(launcher.views) == 1

    @pytest.mark.parametrize(
        ("sent", "status", "field_id", "words"),
        [
            pytest.param({"cpu": "999"}, 422, "error-cpu", "cpu cannot be 999", id="out of range"),
            pytest.param({"cpu": "many"}, 422, "error-cpu", "cpu cannot be", id="not a number"),
            pytest.param({"name": "a b"}, 422, "error-name", "cannot be a server", id="a name with a space"),
            pytest.param({"name": "x" * 28}, 422, "error-name", "1 to 27", id="a long name"),
            pytest.param({"group": "nlp"}, 403, "error-group", "you are not in it", id="another group"),
            pytest.param({"profile": "nope"}, 422, "problem", "nope", id="no such profile"),
            pytest.param({"profile": "gpu", "gpus": "8"}, 409, "problem", "limit", id="more than the group may hold"),
        ],
    )
    async def test_a_refusal_stands_where_it_belongs(
        self,
        login: Login,
        launcher: MemoryLauncher,
        sent: dict[str, str],
        status: int,
        field_id: str,
        words: str,
    ) -> None:
        client = await login("alice")
        token = field(await client.get("launch"), "_xsrf")
        page = await client.post("launch", data={"_xsrf": token, "profile": "cpu", "memory_gib": "32", **sent})
        assert page.status_code == status
        found = re.search(rf'id="{field_id}"[^>]*>(.*?)</', page.text, re.DOTALL)
        assert found, f"nothing at {field_id}"
        assert words in unescape(found[1])
        assert launcher.views == {}

    async def test_a_refused_form_keeps_its_choices(self, login: Login) -> None:
        client = await login("bob")
        token = field(await client.get("launch"), "_xsrf")
        sent = {"_xsrf": token, "profile": "cpu", "memory_gib": "32", "cpu": "99", "group": "nlp", "name": "mine"}
        page = await client.post("launch", data=sent)
        assert 'value="99"' in page.text
        assert 'value="32"' in page.text
        assert 'value="mine"' in page.text
        assert '<option value="nlp" selected>' in page.text

    async def test_names_in_use(self, login: Login, launcher: MemoryLauncher) -> None:
        client = await login("alice")
        launcher.finish(await start(launcher, name=""))
        launcher.finish(await start(launcher, name="exp"))
        page = await client.get("launch")
        assert "this one needs a name" in page.text
        token = field(page, "_xsrf")
        for name, words in (("", "Give this one a name"), ("exp", "called exp already")):
            page = await client.post("launch", data={"_xsrf": token, "profile": "cpu", "name": name})
            assert page.status_code == 409
            assert words in page.text
        other = await client.post("launch", data={"_xsrf": token, "profile": "cpu", "name": "EXP"})
        assert other.status_code == 303
        assert launcher.calls[-1][3:5] == ("exp-2", "EXP")

    @pytest.mark.parametrize("sent", [{"server": "exp"}, {"name": "exp"}])
    async def test_a_stopped_server_is_started_again(
        self, login: Login, launcher: MemoryLauncher, sent: dict[str, str]
    ) -> None:
        launcher.finish(await start(launcher))
        await launcher.stop(Person("alice"), "alice", "exp")
        client = await login("alice")
        token = field(await client.get("launch"), "_xsrf")
        page = await client.post("launch", data={"_xsrf": token, "profile": "cpu", **sent})
        assert page.status_code == 303
        assert launcher.calls[-1][3:5] == ("exp", "exp")

    async def test_an_admin_starts_for_somebody(self, login: Login, launcher: MemoryLauncher) -> None:
        client = await login("root")
        form = await client.get("launch?user=alice")
        assert "You are starting this server for alice." in form.text
        assert "Vision&#39;s own" in form.text
        sent = {"_xsrf": field(form, "_xsrf"), "user": field(form, "user"), "profile": "cpu", "name": "hers"}
        page = await client.post("launch", data=sent)
        assert page.status_code == 303
        assert launcher.calls[-1][:4] == ("launch", "root", "alice", "hers")

    async def test_the_nearest_choice_that_starts_now(self, login: Login, launcher: MemoryLauncher) -> None:
        await start(launcher, "bob", "b", profile="gpu", gpus=4, gpu_type="a100", group="vision")
        page = await (await login("alice")).get("launch?profile=gpu&gpus=4&gpu_type=t4&name=mine")
        assert "Not free now" in page.text
        offer = re.search(r'name="take" value="([^"]*)"[^>]*>([^<]*)<', page.text)
        assert offer
        assert offer.groups() == ("gpus=2", "Start with 2 T4 (simulated) now")

    async def test_the_nearest_choice_starts_in_one_click(self, login: Login, launcher: MemoryLauncher) -> None:
        await start(launcher, "bob", "b", profile="gpu", gpus=4, gpu_type="a100", group="vision")
        client = await login("alice")
        token = field(await client.get("launch"), "_xsrf")
        sent = {
            "profile": "gpu",
            "gpus": "4",
            "gpu_type": "a100",
            "name": "mine",
            "take": "gpu_type=t4&gpus=2&user=bob",
        }
        page = await client.post("launch", data={"_xsrf": token, **sent})
        assert page.status_code == 303
        assert launcher.calls[-1][1:] == (
            "alice",
            "alice",
            "mine",
            "mine",
            {"profile": "gpu", "gpus": 2, "gpu_type": "t4"},
        )

    async def test_only_a_look_starts_nothing(self, login: Login, launcher: MemoryLauncher) -> None:
        client = await login("alice")
        token = field(await client.get("launch"), "_xsrf")
        page = await client.post("launch", data={"_xsrf": token, "profile": "gpu", "gpus": "4", "look": "1"})
        assert page.headers["location"] == f"{PREFIX}launch?profile=gpu&gpus=4"
        assert launcher.calls == []

    @pytest.mark.parametrize("mode", ["cors", "same-origin", "no-cors"])
    async def test_a_form_sent_by_a_script_is_refused(self, login: Login, launcher: MemoryLauncher, mode: str) -> None:
        client = await login("alice")
        token = field(await client.get("launch"), "_xsrf")
        page = await client.post(
            "launch", data={"_xsrf": token, "profile": "cpu"}, headers={"Sec-Fetch-Mode": mode, "X-Xsrftoken": token}
        )
        assert page.status_code == 403
        assert launcher.calls == []

    async def test_a_form_without_its_token_is_refused(self, login: Login, launcher: MemoryLauncher) -> None:
        client = await login("alice")
        for token in ({}, {"_xsrf": ""}, {"_xsrf": "x" * 40}):
            page = await client.post("launch", data={"profile": "gpu", "memory_gib": "64", **token})
            assert page.status_code == 303
            page = await client.get(page.headers["location"].removeprefix(PREFIX))
            assert "form was open for too long, so nothing was started" in page.text
            assert field(page, "profile") == "gpu"
            assert 'value="64"' in page.text
        assert launcher.calls == []


JUNK = [
    "gpu_ids=,,,&gpu_ids=x&gpus=-1",
    "gpu_ids=" + ",".join(f"GPU-{n}" for n in range(2000)),
    "mount-99-share=x&mount-100-share=y&mount-0-nope=z&mount-0-read_only=yes",
    "&".join(f"mount-{n}-target=%2Fdata%2F{n}" for n in range(60)),
    "image=%3Atyped",
    "image=%3Atyped&image_typed=" + "x" * 3000,
    "cpu=" + "9" * 3000 + "&memory_gib=1e308&gpus=NaN&gpu_type=%00",
    "option-=1&choice-=2&option-nope=3&choice-workers=x&option-precision=1",
    "server=..%2F..%2Fetc&name=%E2%80%AE%00%0A&group=%F0%9F%98%80",
    "take=gpus%3D1%26user%3Droot&look=1&expired=1&expired=2&cards=a%20b",
    "%E2%98%83=1&" + "&".join(f"x{n}=1" for n in range(300)),
    "profile=" + HOSTILE + "&image_typed=" + HOSTILE + "&gpu_ids=" + HOSTILE + "&mount-0-share=" + HOSTILE,
]


class TestJunk:
    """Whatever an address or a form says, there is a page, or a sentence; and nothing of it is markup."""

    @pytest.mark.parametrize("junk", JUNK)
    @pytest.mark.parametrize("profile", ["cpu", "all"])
    async def test_in_the_address(self, login: Login, launcher: MemoryLauncher, junk: str, profile: str) -> None:
        client = await login("bob")
        page = await client.get(f"launch?group=nlp&profile={profile}&{junk}")
        assert page.status_code == 200, page.text
        assert "<img src=x" not in page.text
        assert "<script>alert" not in page.text
        token = field(page, "_xsrf")
        sent = {"Content-Type": "application/x-www-form-urlencoded", "X-Xsrftoken": token}
        answer = await client.post("launch/preview", content=f"profile={profile}&cards=cpu&{junk}", headers=sent)
        assert answer.status_code == 200, answer.text
        assert "<img src=x" not in "".join(answer.json()["parts"].values())
        assert launcher.views == {}

    @pytest.mark.parametrize("address", ["launch?name=%ff%fe", "launch?gpu_ids=%ff", "launch?cpu=%c3%28"])
    async def test_what_is_not_text_at_all(self, login: Login, address: str) -> None:
        page = await (await login("alice")).get(address)
        assert page.status_code == 400
        assert "could not read this request" in page.text

    async def test_endless_fields_start_nothing(self, login: Login, launcher: MemoryLauncher) -> None:
        client = await login("bob")
        token = field(await client.get("launch"), "_xsrf")
        for name in ("name", "image", "group", "profile", "image_typed", "gpu_ids", "mount-0-target", "option-workers"):
            page = await client.post("launch", data={"_xsrf": token, "profile": "all", name: "x" * 10_000})
            assert page.status_code in (403, 422), name
        assert launcher.views == {}

    async def test_two_tabs_are_two_wishes(self, login: Login, launcher: MemoryLauncher) -> None:
        client = await login("alice")
        tabs = [await client.get("launch") for _ in range(2)]
        sent = [{"_xsrf": field(tab, "_xsrf"), "key": field(tab, "key"), "profile": "cpu"} for tab in tabs]
        first = await client.post("launch", data=sent[0])
        launcher.finish(launcher.views["alice", ""].launch_id or "")
        second = await client.post("launch", data=sent[1])
        assert (first.status_code, second.status_code) == (303, 409)
        assert "The server without a name is running already" in second.text
        assert len(launcher.views) == 1


class TestPreview:
    async def test_the_line_follows_the_choices(self, login: Login) -> None:
        client = await login("alice")
        token = field(await client.get("launch"), "_xsrf")
        for sent, kind in (({"cpu": "4"}, "now"), ({"cpu": "99"}, "wrong"), ({"profile": "gpu", "gpus": "8"}, "never")):
            answer = await client.post(
                "launch/preview",
                data={"profile": "cpu", **sent},
                headers={"X-Xsrftoken": token, "Sec-Fetch-Mode": "cors"},
            )
            assert answer.json()["kind"] == kind
            assert "mlab-forecast" in answer.json()["parts"]["forecast"]

    async def test_the_parts_of_a_refresh(self, login: Login, launcher: MemoryLauncher) -> None:
        await start(launcher, "bob", "b", profile="gpu", gpus=4, gpu_type="a100", group="vision")
        client = await login("alice")
        token = field(await client.get("launch"), "_xsrf")
        sent = {"profile": "gpu", "gpus": "1", "gpu_type": "any", "group": "vision", "cards": "cpu gpu nope"}
        parts = (await client.post("launch/preview", data=sent, headers={"X-Xsrftoken": token})).json()["parts"]
        words = {name: re.sub(r"<[^>]*>", "", text).strip() for name, text in parts.items() if name[:4] == "word"}
        assert words == {
            "word-gpus-1": "now",
            "word-gpus-2": "now",
            "word-gpus-4": "not now",
            "word-gpus-8": "never",
            "word-gpu_type-any": "now",
            "word-gpu_type-a100": "not now",
            "word-gpu_type-t4": "now",
        }
        assert {name for name in parts if name[:4] == "card"} == {"card-cpu", "card-gpu"}
        assert "vision holds 4 of 4 guaranteed GPU, and may borrow up to 2." in parts["head"]
        assert "vision pays, and borrows" in parts["forecast"]

    async def test_errors_are_json(self, login: Login, launcher: MemoryLauncher) -> None:
        client = await login("alice")
        token = field(await client.get("launch"), "_xsrf")
        launcher.down = Unavailable("Away.")
        answer = await client.post("launch/preview", data={"profile": "cpu"}, headers={"X-Xsrftoken": token})
        assert (answer.status_code, answer.json()) == (503, {"error": {"message": "Away."}})
