"""The queue as people see it: their own entries, everybody's, what is borrowed, and what is to be given back."""

from __future__ import annotations

import re
import time
from html import unescape

import httpx
import pytest

from mlabhub.core.quotas import Quotas
from mlabhub.messages import Message
from mlabhub.service.wait_views import ForecastAccuracy, NoticeView
from tests.pages.conftest import Login
from tests.pages.helpers import ask, field, site_path, start
from tests.pages.launcher import CATALOG, HOSTILE, MemoryLauncher
from tests.pages.queue import good_forecasts, in_minutes
from tests.pages.site import PREFIX

pytestmark = pytest.mark.asyncio(loop_scope="session")
NEAREST = {"gpus": 2}


def words_of(text: str) -> str:
    """Return what a page says, without its tags."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", text.split("<main", 1)[-1])))


async def press(client: httpx.AsyncClient, page: httpx.Response, path: str, **sent: str) -> httpx.Response:
    """Send a form of a page."""
    token = re.search(r'name="_xsrf" value="([^"]*)"', page.text)
    assert token
    return await client.post(path, data={"_xsrf": token[1], **sent})


class TestLaunching:
    async def test_what_does_not_start_now_waits(self, login: Login, launcher: MemoryLauncher) -> None:
        await start(launcher, "bob", "b", profile="gpu", gpus=4, gpu_type="a100", group="vision")
        client = await login("alice")
        form = await client.get("launch?profile=gpu&gpus=4&gpu_type=a100&name=exp")
        assert "Queue for 4 A100 (simulated)" in form.text
        sent = {"profile": "gpu", "gpus": "4", "gpu_type": "a100", "name": "exp", "key": field(form, "key")}
        page = await press(client, form, "launch", **sent)
        (entry,) = launcher.waits.entries
        assert page.status_code == 303
        assert page.headers["location"].startswith(f"{PREFIX}starting/{entry.launch_id}")
        words = words_of((await client.get(site_path(page.headers["location"]))).text)
        assert "exp waits" in words
        assert "Place 1 of 1 in the queue." in words

    async def test_a_button_that_says_now_never_waits(self, login: Login, launcher: MemoryLauncher) -> None:
        await start(launcher, "bob", "b", profile="gpu", gpus=4, gpu_type="a100", group="vision")
        client = await login("alice")
        form = await client.get("launch?profile=gpu&gpus=4&gpu_type=a100")
        sent = {"profile": "gpu", "gpus": "4", "gpu_type": "a100", "name": "exp", "take": "gpus=1"}
        page = await press(client, form, "launch", **sent)
        assert page.status_code == 409
        assert launcher.waits.entries == []
        assert "Queue for 1 A100" in page.text

    async def test_borrowing_is_told_before_the_click(
        self, login: Login, launcher: MemoryLauncher, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        groups = {"vision": {"guaranteed": {"gpu": 4}, "limit": {"gpu": 6}}, "nlp": {"guaranteed": {"gpu": 2}}}
        quotas = Quotas.model_validate({"groups": groups, "notice_seconds": 300})
        monkeypatch.setattr("tests.pages.launcher.CATALOG", CATALOG.model_copy(update={"quotas": quotas}))
        client = await login("alice")
        address, told = "launch?profile=gpu&gpus=1&gpu_type=", "it may be taken back, with 5 min of notice"
        assert told not in words_of((await client.get(address + "t4")).text)
        await start(launcher, "bob", "b", profile="gpu", gpus=4, gpu_type="a100", group="vision")
        for gpu_type in ("t4", "a100"):
            words = words_of((await client.get(address + gpu_type)).text)
            assert "vision pays, and borrows: its guarantee is in use already." in words
            assert f"Beyond vision's guarantee of 4 GPU: {told}" in words

    async def test_changing_what_waits(self, login: Login, launcher: MemoryLauncher) -> None:
        launch_id = launcher.waits.add("alice")
        client = await login("alice")
        page = await client.get(f"starting/{launch_id}")
        address = re.search(r'id="change-[^"]*" href="([^"]*)"', page.text)
        assert address
        form = await client.get(site_path(unescape(address[1])))
        assert "exp waits in place 1." in words_of(form.text)
        assert "Again" not in words_of(form.text)
        sent = {"profile": "gpu", "gpus": "2", "gpu_type": "a100", "entry": field(form, "entry")}
        page = await press(client, form, "launch", **sent)
        assert page.headers["location"].startswith(f"{PREFIX}starting/{launch_id}")
        assert launcher.calls == [("change", "alice", launch_id, {"profile": "gpu", "gpus": 2, "gpu_type": "a100"})]

    async def test_others_entries_cannot_be_changed(self, login: Login, launcher: MemoryLauncher) -> None:
        launch_id = launcher.waits.add("bob")
        client = await login("alice")
        form = await client.get(f"launch?profile=gpu&entry={launch_id}")
        assert 'name="entry"' not in form.text
        page = await press(client, form, "launch", profile="gpu", entry=launch_id)
        assert page.status_code == 404
        assert launcher.calls == []


class TestWaiting:
    async def test_place_range_reason_and_who_is_ahead(self, login: Login, launcher: MemoryLauncher) -> None:
        launcher.waits.add("carol", gpus=1, group=None)
        launcher.waits.add("bob", gpus=2, wait=in_minutes(5, 9))
        own = launcher.waits.add("alice", wait=in_minutes(25, 65), nearest=NEAREST)
        launcher.waits.add("bob", "later")
        words = words_of((await (await login("alice")).get(f"starting/{own}")).text)
        assert re.search(r"Place 3 of 4 in the queue\. Probably [\w ]*\d\d:\d\d to [\w ]*\d\d:\d\d\.", words)
        assert "4 A100 wait: 2 are free." in words
        assert "bob (vision) : 8 CPU · 32 GiB · 2 A100 (simulated)" in words
        assert "carol" not in words
        assert "somebody else : 8 CPU · 32 GiB · 1 A100" in words
        assert "Take 2 A100 (simulated) now" in words
        assert words.count("later") == 0

    async def test_the_live_part_says_the_same(self, login: Login, launcher: MemoryLauncher) -> None:
        own = launcher.waits.add("alice", wait=in_minutes(25, 65))
        client = await login("alice")
        token = field(await client.get("launch"), "_xsrf")
        address, headers = f"starting/{own}/progress", {"X-Xsrftoken": token}
        told = (await client.get(address, headers=headers)).json()
        assert (told["state"], told["final"], told["url"]) == ("queued", False, None)
        assert told["tab"] == "(1) exp waits"
        assert told["said"].startswith("Place 1 of 1 in the queue. Probably")
        await launcher.waits.turn(own)
        told = (await client.get(address, headers=headers)).json()
        assert (told["state"], told["said"], told["title"]) == ("starting", "", "Starting exp")
        launcher.finish(own)
        assert (await client.get(address, headers=headers)).json()["url"] == "/user/alice/exp/mlabhub/open/lab"

    @pytest.mark.parametrize(
        ("state", "title"),
        [
            ("left", "exp waits no longer"),
            ("given_back", "exp was given back"),
            ("refused", "exp cannot start any more"),
        ],
    )
    async def test_how_it_ended(self, login: Login, launcher: MemoryLauncher, state: str, title: str) -> None:
        own = launcher.waits.add("alice")
        launcher.waits.end(own, state, reason=f"Because {HOSTILE}.")
        page = await (await login("alice")).get(f"starting/{own}")
        assert title in words_of(page.text)
        assert "Because &lt;img" in page.text
        assert "Back to the choices" in page.text

    async def test_what_starts_now_instead_is_one_press(self, login: Login, launcher: MemoryLauncher) -> None:
        own = launcher.waits.add("alice", nearest=NEAREST)
        client = await login("alice")
        page = await press(client, await client.get(f"starting/{own}"), "queue/nearest", launch=own)
        launch_id = launcher.views["alice", "exp"].launch_id
        assert page.headers["location"] == f"{PREFIX}starting/{launch_id}"
        assert launcher.calls[-1][-1]["gpus"] == 2
        assert launcher.waits.entries == []

    async def test_somebody_was_faster(self, login: Login, launcher: MemoryLauncher) -> None:
        own = launcher.waits.add("alice", nearest=NEAREST)
        await start(launcher, "bob", "b", profile="gpu", gpus=4, gpu_type="a100", group="vision")
        client = await login("alice")
        page = await press(client, await client.get(f"starting/{own}"), "queue/nearest", launch=own)
        words = words_of((await client.get(site_path(page.headers["location"]))).text)
        assert "Somebody was faster" in words
        assert len(launcher.waits.entries) == 1

    async def test_a_script_cannot_press_it(self, login: Login, launcher: MemoryLauncher) -> None:
        own = launcher.waits.add("alice", nearest=NEAREST)
        client = await login("alice")
        sent = {"_xsrf": field(await client.get("launch"), "_xsrf"), "launch": own}
        page = await client.post("queue/nearest", data=sent, headers={"Sec-Fetch-Mode": "cors"})
        assert page.status_code == 403
        assert launcher.calls == []

    @pytest.mark.parametrize(
        "path", ["starting/{id}", "starting/{id}/progress", "leave?launch={id}", "front?launch={id}"]
    )
    async def test_others_entries_do_not_exist(self, login: Login, launcher: MemoryLauncher, path: str) -> None:
        other = launcher.waits.add("bob")
        page = await ask(await login("alice"), path.format(id=other))
        assert page.status_code == 404


class TestActs:
    async def answer(self, client: httpx.AsyncClient, path: str, **typed: str) -> httpx.Response:
        """Answer a question with its own button."""
        question = await ask(client, path)
        assert question.status_code == 200
        sent = {name: field(question, name) for name in ("confirm", "launch", "user")}
        return await press(client, question, path.partition("?")[0], **sent, **typed)

    async def test_leaving_asks_first(self, login: Login, launcher: MemoryLauncher) -> None:
        own = launcher.waits.add("alice")
        client = await login("alice")
        assert "Its place is lost" in words_of((await ask(client, f"leave?launch={own}")).text)
        page = await press(client, await client.get("launch"), "leave", launch=own)
        assert "stale=1" in page.headers["location"]
        assert launcher.calls == []
        page = await self.answer(client, f"leave?launch={own}")
        assert launcher.calls == [("leave", "alice", own)]
        assert "It was taken out of the queue." in words_of(
            (await client.get(site_path(page.headers["location"]))).text
        )

    async def test_administrators_remove_and_move(self, login: Login, launcher: MemoryLauncher) -> None:
        first, second, other = (
            launcher.waits.add("bob", "one"),
            launcher.waits.add("bob", "two"),
            launcher.waits.add("alice"),
        )
        client = await login("root")
        text = (await client.get("queue")).text
        assert f'id="front-{second}"' in text
        assert f'id="front-{first}"' not in text, "it is the first of its person's already"
        missing = await self.answer(client, f"front?launch={second}&user=bob")
        assert (missing.status_code, "Give a reason" in missing.text) == (422, True)
        page = await self.answer(client, f"front?launch={second}&user=bob", reason="a deadline")
        assert page.headers["location"] == f"{PREFIX}queue?done=front"
        assert [one.launch_id for one in launcher.waits.entries] == [second, first, other]
        assert "the audit says that it was you" in words_of((await ask(client, f"leave?launch={first}&user=bob")).text)
        page = await self.answer(client, f"leave?launch={first}&user=bob", reason=f" {HOSTILE}\n")
        assert page.headers["location"] == f"{PREFIX}queue?done=left"
        assert launcher.calls[-1] == ("leave", "root", first, HOSTILE)

    async def test_giving_back_asks_first(self, login: Login, launcher: MemoryLauncher) -> None:
        launch_id = await start(launcher, profile="gpu", gpus=2)
        launcher.finish(launch_id)
        client = await login("alice")
        assert (await client.get(f"release/{launch_id}")).headers["location"] == f"{PREFIX}release?launch={launch_id}"
        page = await self.answer(client, f"release?launch={launch_id}")
        assert launcher.calls[-1] == ("stop", "alice", "alice", "exp")
        assert "exp was stopped." in words_of((await client.get(site_path(page.headers["location"]))).text)
        assert (await ask(client, f"release?launch={launch_id}")).status_code == 404


class TestHome:
    async def test_what_waits_has_a_card(self, login: Login, launcher: MemoryLauncher) -> None:
        launcher.waits.add("bob")
        own = launcher.waits.add("alice", wait=in_minutes(25, 65), nearest=NEAREST, reclaims=1)
        words = words_of((await (await login("alice")).get("")).text)
        assert "Place 2 of 2" in words
        assert re.search(r"Probably [\w ]*\d\d:\d\d to [\w ]*\d\d:\d\d \(in \d\d to \d\d min\)", words)
        assert "Take 2 A100 (simulated) now" in words
        assert "keeps the place of its first request" in words
        assert "You have no server yet." not in words
        page = await (await login("alice")).get("parts")
        assert f'id="leave-{own}"' in page.json()["parts"]["waiting"]
        assert page.json()["moves"] is True
        assert "Place" not in words_of((await (await login("carol")).get("")).text)

    async def test_a_notice_counts_down(self, login: Login, launcher: MemoryLauncher) -> None:
        launch_id = await start(launcher, profile="gpu", gpus=2, gpu_type="a100")
        launcher.finish(launch_id)
        for_whom = Message.of("{who} needs what is guaranteed to them.", who="somebody of nlp")
        now = time.time()
        launcher.waits.told["alice"] = [NoticeView(launch_id, "exp", now, now + 552, for_whom)]
        page = await (await login("alice")).get("")
        words = words_of(page.text)
        assert "somebody of nlp needs what is guaranteed to them." in words
        assert re.search(
            r"exp \(2 A100 \(simulated\)\) ends at [\w ]*\d\d:\d\d \( in 9 min 1[12] s \)\. Save your work now\.",
            words,
        )
        assert re.search(r'role="timer" data-left="55[12]"', page.text)
        assert f'href="{PREFIX}release/{launch_id}"' in page.text

    async def test_one_whose_deadline_is_past_runs_until_then_at_least(
        self, login: Login, launcher: MemoryLauncher
    ) -> None:
        launch_id = await start(launcher, profile="gpu", gpus=2, gpu_type="a100")
        launcher.finish(launch_id)
        now = time.time()
        launcher.waits.told["alice"] = [NoticeView(launch_id, "exp", now - 660, now - 60, Message("It is needed."))]
        object.__setattr__(launcher.views["alice", "exp"], "claim_by", now - 1)
        text = (await (await login("alice")).get("")).text
        words = words_of(text)
        assert re.search(r"ends at [\w ]*\d\d:\d\d \( until then at least \)\. Save your work now\.", words)
        assert re.search(r"unused, it is given back at [\w ]*\d\d:\d\d \( until then at least \)", words)
        assert text.count('data-left="0"') == 2

    async def test_what_is_borrowed_claimed_or_wanted_says_so(self, login: Login, launcher: MemoryLauncher) -> None:
        launch_id = await start(launcher, profile="gpu", gpus=2, gpu_type="a100")
        launcher.finish(launch_id)
        client = await login("alice")
        words = words_of((await client.get("")).text)
        assert "Borrowed" not in words
        assert "given back" not in words
        view = launcher.views["alice", "exp"]
        for name, value in {"borrowed": True, "notice_s": 600, "claim_by": time.time() + 900, "wanted": 1.0}.items():
            object.__setattr__(view, name, value)
        words = words_of((await client.get("")).text)
        assert "it goes beyond vision's guarantee, and may be taken back, with 10 min of notice." in words
        assert re.search(r"unused, it is given back at [\w ]*\d\d:\d\d \( in 1[45] min \d+ s \)", words)
        assert "Somebody is waiting for 2 A100 (simulated)." in words

    async def test_names_in_the_parts_are_text(self, login: Login, launcher: MemoryLauncher) -> None:
        launcher.waits.add("alice", HOSTILE, group=HOSTILE, nearest=NEAREST)
        client = await login("alice")
        for text in (await client.get("parts")).json()["parts"].values():
            assert "<img src=x" not in text
        assert "<img src=x" not in (await client.get("queue")).text


class TestTable:
    async def test_everybodys_entries_as_far_as_one_may_know(self, login: Login, launcher: MemoryLauncher) -> None:
        launcher.waits.add("carol", gpus=1, group=None)
        launcher.waits.add("bob", gpus=2, minutes=90)
        launcher.waits.add("alice", wait=in_minutes(25, 65))
        words = words_of((await (await login("alice")).get("queue")).text)
        assert "carol" not in words
        assert "bob" in words
        assert "you" in words
        assert "2 hours ago" in words
        assert "When it starts is not known." in words
        assert "Remove" not in words
        assert "carol" in words_of((await (await login("root")).get("queue")).text)

    async def test_nobody_waits(self, login: Login) -> None:
        client = await login("alice")
        assert "Nobody waits." in words_of((await client.get("queue")).text)
        assert (await client.get("queue/parts")).json()["parts"].keys() == {"queue"}


class TestHowGoodForecastsWere:
    @pytest.mark.parametrize(
        ("good", "said"),
        [
            pytest.param(
                good_forecasts(214, within=0.8131),
                "Of the last 8 weeks' 214 starts from the queue that had been told a range, 81 % fell into it (goal "
                "80 %): 3 came earlier, 37 later. Half of the ranges were no wider than 35 min.",
                id="known",
            ),
            pytest.param(good_forecasts(500, within=0.799), "79 % fell into it (goal 80 %)", id="just below the goal"),
            pytest.param(good_forecasts(20, unknown=4), "Starts of which nobody could tell when: 4.", id="not told"),
            pytest.param(
                good_forecasts(19),
                "Unknown yet: 19 starts from the queue had been told a range in the last 8 weeks; it is said from 20 "
                "on.",
                id="too little",
            ),
            pytest.param(good_forecasts(0, unknown=3), "Unknown yet: 0 starts", id="nothing"),
            pytest.param(None, "Unknown at the moment", id="away"),
        ],
    )
    async def test_administrators_read_it(
        self, login: Login, launcher: MemoryLauncher, good: ForecastAccuracy | None, said: str
    ) -> None:
        launcher.waits.good = good
        words = words_of((await (await login("root")).get("queue")).text)
        assert said in words
        assert ("%" in words) == (good is not None and good.starts - good.unknown >= 20)

    async def test_nobody_else_does(self, login: Login) -> None:
        assert "forecasts" not in words_of((await (await login("alice")).get("queue")).text)
