"""The pages over HTTP: who sees what, what forms do, and how refusals look."""

from __future__ import annotations

import re
from html import unescape

import httpx
import pytest

from mlabhub.errors import Unavailable
from mlabhub.service.views import Person
from tests.pages.conftest import Login
from tests.pages.launcher import HOSTILE, MemoryLauncher
from tests.pages.site import PREFIX, Site

pytestmark = pytest.mark.asyncio(loop_scope="session")
PAGES = ["", "launch", "launch?profile=gpu", "stop?server=exp", "reset?server=exp", "starting/{launch}", "nope"]


def field(page: httpx.Response, name: str) -> str:
    """Return a hidden field's value."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page.text)
    assert found, f"no field {name}"
    return unescape(found[1])


def site_path(address: str) -> str:
    """Return an address relative to the pages."""
    return address.removeprefix(PREFIX)


async def ask(client: httpx.AsyncClient, path: str) -> httpx.Response:
    """Return the page that asks, by way of its first step."""
    return await client.get(path, follow_redirects=True)


async def start(launcher: MemoryLauncher, user: str = "alice", name: str = "exp", **options: object) -> str:
    """Start a server behind the pages' back; return the launch's id."""
    answer = await launcher.launch(
        Person(user), user=user, server_name=name, display_name=name, user_options={"profile": "cpu", **options}
    )
    return answer.launch_id


class TestWhoMaySee:
    async def test_a_stranger_is_led_to_the_login(self, site: Site) -> None:
        async with httpx.AsyncClient(base_url=site.url) as client:
            page = await client.get("launch")
        assert page.status_code == 302
        assert page.headers["location"].startswith("/hub/api/oauth2/authorize?")

    @pytest.mark.parametrize("path", ["launch", "launch/preview", "stop", "reset"])
    async def test_a_strangers_post_does_nothing(self, site: Site, launcher: MemoryLauncher, path: str) -> None:
        async with httpx.AsyncClient(base_url=site.url) as client:
            page = await client.post(path, data={"profile": "cpu"})
        assert page.status_code == 403
        assert launcher.calls == []

    @pytest.mark.parametrize(
        ("path", "headers", "status"),
        [("", {"Authorization": "Bearer alice"}, 403), ("?token=alice", {}, 302)],
        ids=["header", "address"],
    )
    async def test_a_servers_own_token_opens_no_page(
        self, site: Site, path: str, headers: dict[str, str], status: int
    ) -> None:
        """A notebook can read its server's token; it must not press its owner's buttons."""
        async with httpx.AsyncClient(base_url=site.url) as client:
            page = await client.get(path, headers=headers)
        assert page.status_code == status
        assert "My servers</h1>" not in page.text

    async def test_a_script_of_another_page_cannot_read_ours(self, login: Login) -> None:
        """Without our token, whose cookie only our path gets, the login's cookie alone opens nothing."""
        client = await login("alice")
        page = await client.get("launch", headers={"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"})
        assert page.status_code == 302
        assert "_xsrf" not in page.text

    @pytest.mark.parametrize("path", ["?user=bob", "launch?user=bob", "stop?user=bob&server=exp"])
    async def test_others_servers_are_for_admins(self, login: Login, launcher: MemoryLauncher, path: str) -> None:
        await start(launcher, "bob")
        assert (await (await login("alice")).get(path)).status_code == 403
        page = await ask(await login("root"), path)
        assert page.status_code == 200
        assert "bob" in page.text

    async def test_others_launches_do_not_exist(self, login: Login, launcher: MemoryLauncher) -> None:
        launch_id = await start(launcher, "bob")
        for path in (f"starting/{launch_id}", f"starting/{launch_id}/progress"):
            client = await login("alice")
            page = await client.get(path)
            assert page.status_code == 404
            assert "bob" not in page.text
        assert (await (await login("root")).get(f"starting/{launch_id}")).status_code == 200


class TestEveryPage:
    @pytest.mark.parametrize("path", PAGES)
    async def test_browser_rules(self, login: Login, launcher: MemoryLauncher, path: str) -> None:
        launch_id = await start(launcher)
        page = await (await login("alice")).get(path.format(launch=launch_id), follow_redirects=True)
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert page.headers["cross-origin-opener-policy"] == "noopener-allow-popups"
        assert page.headers["x-frame-options"] == "DENY"
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["cache-control"] == "no-store"

    @pytest.mark.parametrize("path", PAGES)
    async def test_nothing_comes_from_elsewhere_and_nothing_is_inline(
        self, login: Login, launcher: MemoryLauncher, path: str
    ) -> None:
        launch_id = await start(launcher)
        text = (await (await login("alice")).get(path.format(launch=launch_id), follow_redirects=True)).text
        assert re.findall(r'(?:src|href)="(?:https?:)?//', text) == []
        assert re.findall(r"<script(?![^>]* src=)", text) == []
        assert re.findall(r'<style|\sstyle="|\son\w+="', text) == []

    @pytest.mark.parametrize("path", PAGES)
    async def test_in_chinese(self, login: Login, launcher: MemoryLauncher, path: str) -> None:
        launch_id = await start(launcher)
        client = await login("alice", **{"Accept-Language": "zh-CN,zh;q=0.9"})
        text = (await client.get(path.format(launch=launch_id), follow_redirects=True)).text
        assert '<html lang="zh-CN">' in text
        assert "我的服务器" in text
        assert "My servers" not in text

    async def test_a_language_that_was_chosen_stays(self, login: Login) -> None:
        client = await login("alice")
        await client.get("?lang=zh_CN")
        assert "我的服务器" in (await client.get("")).text
        await client.get("?lang=en")
        assert "My servers" in (await client.get("")).text

    @pytest.mark.parametrize("lang", ["", "%ff%fe", "../../etc/passwd", "x" * 2000])
    async def test_a_language_that_is_none(self, login: Login, lang: str) -> None:
        client = await login("alice")
        assert (await client.get(f"?lang={lang}")).status_code == 200
        assert "mlabhub-language" not in client.cookies

    async def test_a_page_that_is_not_there(self, login: Login) -> None:
        page = await (await login("alice")).get("no/such/page")
        assert page.status_code == 404
        assert "There is no page at this address." in page.text
        assert f'href="{PREFIX}"' in page.text

    async def test_a_part_that_is_away(self, login: Login, launcher: MemoryLauncher) -> None:
        client = await login("alice")
        launcher.down = Unavailable(f"The hub does not answer ({HOSTILE}).")
        for path in ("", "launch"):
            page = await client.get(path)
            assert page.status_code == 503
            assert "The hub does not answer" in page.text
            assert "<img" not in re.sub(r'<img src="/hub/logo"[^>]*>', "", page.text)

    async def test_a_fault_of_ours_shows_no_traceback(
        self, login: Login, launcher: MemoryLauncher, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        client = await login("alice")
        monkeypatch.setattr(launcher, "views", None)
        page = await client.get("")
        assert page.status_code == 500
        assert "because of a fault in the hub" in page.text
        assert "Traceback" not in page.text
        assert "NoneType" not in page.text
        assert "Traceback" in caplog.text


class TestNamesThatAttack:
    """Every name, reason and log line comes out as text."""

    @pytest.fixture
    def launcher(self) -> MemoryLauncher:
        return MemoryLauncher({"alice": (HOSTILE, "vision"), "root": ()})

    @pytest.mark.parametrize("path", [*PAGES, f"launch?name={HOSTILE}&profile={HOSTILE}&group={HOSTILE}&cpu={HOSTILE}"])
    async def test_in_names_of_servers_and_groups(self, login: Login, launcher: MemoryLauncher, path: str) -> None:
        launch_id = await start(launcher, group=HOSTILE)
        for views in (launcher.views, launcher.statuses):
            for key, one in views.items():
                object.__setattr__(one, "display_name", HOSTILE)
                assert views[key].display_name == HOSTILE
        text = (await (await login("alice")).get(path.format(launch=launch_id), follow_redirects=True)).text
        self.check(text)
        assert "&lt;img" in text or path == "nope"

    async def test_in_the_reason_of_a_failure(self, login: Login, launcher: MemoryLauncher) -> None:
        launch_id = await start(launcher)
        launcher.finish(launch_id, failure=HOSTILE)
        client = await login("alice")
        page = await client.get(f"starting/{launch_id}")
        assert "did not start" in page.text
        self.check(page.text)
        token = field(await client.get("launch"), "_xsrf")
        progress = (await client.get(f"starting/{launch_id}/progress", headers={"X-Xsrftoken": token})).json()
        self.check(progress["html"])

    async def test_in_what_was_typed(self, login: Login, launcher: MemoryLauncher) -> None:
        client = await login("alice")
        token = field(await client.get("launch"), "_xsrf")
        sent = {"_xsrf": token, "name": HOSTILE, "profile": HOSTILE, "image": HOSTILE, "cpu": HOSTILE, "group": HOSTILE}
        page = await client.post("launch", data=sent)
        assert page.status_code == 422
        self.check(page.text)
        self.check((await client.post("launch/preview", data=sent)).json()["html"])
        assert launcher.calls == []

    @staticmethod
    def check(text: str) -> None:
        assert "<img src=x" not in text
        assert "<script>alert" not in text
        assert "</script><script>" not in text


class TestLaunch:
    async def test_opens_on_the_profile_without_gpu(self, login: Login) -> None:
        page = await (await login("alice")).get("launch")
        assert field(page, "profile") == "cpu"
        assert page.text.count('aria-current="true"') == 1
        assert "Starts now" in page.text
        assert "/mnt/user/alice, /mnt/share/vision" in page.text

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
        offer = re.search(r'href="([^"]*)" data-choose>([^<]*)<', page.text)
        assert offer
        assert unescape(offer[1]) == f"{PREFIX}launch?profile=gpu&gpus=2&gpu_type=t4&name=mine"
        assert offer[2] == "Take 2 T4 (simulated), which starts now"

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
            page = await client.post("launch", data={"profile": "cpu", **token})
            assert page.status_code == 403
            assert "form was open for too long" in page.text
        assert launcher.calls == []


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
            assert "mlab-forecast" in answer.json()["html"]

    async def test_errors_are_json(self, login: Login, launcher: MemoryLauncher) -> None:
        client = await login("alice")
        token = field(await client.get("launch"), "_xsrf")
        launcher.down = Unavailable("Away.")
        answer = await client.post("launch/preview", data={"profile": "cpu"}, headers={"X-Xsrftoken": token})
        assert (answer.status_code, answer.json()) == (503, {"error": {"message": "Away."}})


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
        assert (page.status_code, page.headers["location"]) == (302, "/user/alice/exp")

    async def test_failed_says_why_and_keeps_the_choices(self, login: Login, launcher: MemoryLauncher) -> None:
        launch_id = await start(launcher)
        launcher.finish(launch_id, failure="The image base is not on this machine.")
        page = await (await login("alice")).get(f"starting/{launch_id}?profile=cpu&cpu=8&name=exp")
        assert "exp did not start" in page.text
        assert "The image base is not on this machine." in page.text
        assert f'href="{PREFIX}launch?server=exp&amp;profile=cpu&amp;cpu=8&amp;name=exp"' in page.text
        assert "http-equiv" not in page.text

    @pytest.mark.parametrize("launch_id", ["nope", "01J" + "0" * 23])
    async def test_no_such_launch(self, login: Login, launch_id: str) -> None:
        assert (await (await login("alice")).get(f"starting/{launch_id}")).status_code == 404


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
        assert 'href="/user/alice/exp"' in page.text

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


async def test_style_and_scripts_are_there_and_asked_for_again(site: Site, login: Login) -> None:
    client = await login("alice")
    text = (await client.get("launch")).text
    assets = re.findall(r'(?:src|href)="(/(?:hub/static|services/mlabhub/static)/[^"]+)"', text)
    assert len(assets) >= 6
    for asset in assets:
        answer = await client.get(site.origin + asset)
        assert answer.status_code == 200, asset
        if asset.startswith(PREFIX):
            assert answer.headers["cache-control"] == "no-cache"
