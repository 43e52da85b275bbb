"""Who sees what, browser rules, languages, faults, and names that attack, on every page."""

from __future__ import annotations

import re

import httpx
import pytest

from mlabhub.errors import Unavailable
from mlabhub.messages import Message
from tests.pages.conftest import Login
from tests.pages.helpers import ask, field, start
from tests.pages.launcher import HOSTILE, MemoryLauncher
from tests.pages.site import PREFIX, Site

pytestmark = pytest.mark.asyncio(loop_scope="session")
PAGES = [
    "",
    "launch",
    "launch?profile=gpu",
    "stop?server=exp",
    "reset?server=exp",
    "starting/{launch}",
    "cluster",
    "nope",
]


class TestWhoMaySee:
    async def test_a_stranger_is_led_to_the_login(self, site: Site) -> None:
        async with httpx.AsyncClient(base_url=site.url) as client:
            page = await client.get("launch")
        assert page.status_code == 302
        assert page.headers["location"].startswith("/hub/api/oauth2/authorize?")

    @pytest.mark.parametrize(
        ("path", "status"), [("launch", 303), ("launch/preview", 403), ("stop", 403), ("reset", 403)]
    )
    async def test_a_strangers_post_does_nothing(
        self, site: Site, launcher: MemoryLauncher, path: str, status: int
    ) -> None:
        async with httpx.AsyncClient(base_url=site.url) as client:
            page = await client.post(path, data={"profile": "cpu"})
            assert page.status_code == status
            if status == 303:  # to the form, where the login comes first
                page = await client.get(page.headers["location"].removeprefix(PREFIX))
                assert page.headers["location"].startswith("/hub/api/oauth2/authorize?")
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


class TestConfiguration:
    @pytest.mark.parametrize("path", ["", "launch", "nope"])
    async def test_administrators_see_its_faults_on_every_page(
        self, login: Login, launcher: MemoryLauncher, path: str
    ) -> None:
        launcher.faults = tuple(
            Message.of("{place}: {message}", place=f"quotas.yaml:{line}", message=HOSTILE) for line in range(1, 8)
        )
        page = (await (await login("root")).get(path)).text
        assert "so its latest changes are not in force" in page
        assert "quotas.yaml:5: &lt;img src" in page
        assert "quotas.yaml:6" not in page
        assert "And 2 more" in page
        assert "in force" not in (await (await login("alice")).get(path)).text

    async def test_administrators_see_what_is_to_be_noted_of_quotas(
        self, login: Login, launcher: MemoryLauncher
    ) -> None:
        admin = await login("root")
        assert "cannot be kept" not in (await admin.get("")).text
        launcher.notes = (Message.of("{message}", message=HOSTILE), Message("More than there is."))
        page = (await admin.get("")).text
        assert "Quotas cannot be kept as they are; notes: 2." in page
        assert "&lt;img src" in page
        assert "More than there is." in page
        assert "cannot be kept" not in (await (await login("alice")).get("")).text


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
        assert "&lt;img" in text or path in ("nope", "cluster")  # it holds no GPU

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
        answer = await client.post("launch/preview", data={**sent, "cards": f"cpu gpu {HOSTILE}"})
        for text in answer.json()["parts"].values():
            self.check(text)
        assert launcher.calls == []

    @staticmethod
    def check(text: str) -> None:
        assert "<img src=x" not in text
        assert "<script>alert" not in text
        assert "</script><script>" not in text


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
