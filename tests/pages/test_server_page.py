"""The page of one server: how it stands, what it writes, what became of it before."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from functools import partial

import pytest
from playwright.async_api import Browser, Route, expect

from mlabhub.ledger import Reservation
from mlabhub.messages import Message
from mlabhub.service.report_tokens import ReportTokens, Subject
from mlabhub_proxies.doctor.key import TOKEN_VARIABLE, is_key
from tests.pages.conftest import Login
from tests.pages.helpers import field, start
from tests.pages.launcher import HOSTILE, MemoryLauncher
from tests.pages.site import PREFIX, Site
from tests.pages.test_browser import HURRY, WIDE, open_page

pytestmark = pytest.mark.asyncio(loop_scope="session")
SCRIPT = b"<script>alert(1)</script>"


def before(launch_id: str, **values: object) -> Reservation:
    """Return a launch of exp that ran for two hours, yesterday."""
    at = time.time() - 86400
    one = Reservation(launch_id, "alice", "exp", "released", at, at, at, gpus=("a", "b"), held=at, ready=at + 1)
    return replace(one, released=at + 7200, cpu=8, memory_gib=32, gpu_type="a100", **values)  # type: ignore[arg-type]


async def test_it_says_how_it_stands_and_what_can_be_done(login: Login, launcher: MemoryLauncher, site: Site) -> None:
    launch_id = await start(launcher, profile="gpu")
    launcher.finish(launch_id)
    text = (await (await login("alice")).get(f"servers/{launch_id}")).text
    for part in ("Running", "PyTorch 2.9", "Open JupyterLab", "mlabhub/doctor", "Is it idle?", "What it writes"):
        assert part in text, part
    assert "Its launches before" not in text
    assert " style=" not in text


async def test_the_doctor_is_asked_of_a_server_that_runs_alone(
    login: Login, launcher: MemoryLauncher, site: Site
) -> None:
    launch_id = await start(launcher, profile="gpu")
    page = f"servers/{launch_id}"
    client = await login("alice")
    assert 'id="reach"' not in (await client.get(page)).text
    launcher.finish(launch_id)
    text = (await client.get(page)).text
    (key,) = re.findall(r'data-key="([0-9a-f]{64})"', text)
    token = ReportTokens("service-token").make(Subject("alice", "exp", launch_id))
    assert is_key(key, {TOKEN_VARIABLE: token})
    assert not is_key(key, {TOKEN_VARIABLE: token.swapcase()})
    assert not is_key(key, {})
    assert token not in text
    launcher.end(launch_id, Message("It ended."))
    assert 'id="reach"' not in (await client.get(page)).text


@pytest.mark.browser
async def test_a_browser_says_why_the_doctor_did_not_answer(
    browser: Browser, site: Site, launcher: MemoryLauncher
) -> None:
    launch_id = await start(launcher, profile="gpu")
    launcher.finish(launch_id)
    context = await browser.new_context(viewport=WIDE, locale="en-US")  # type: ignore[arg-type]
    page = await open_page(context, site, f"servers/{launch_id}")  # where a server is, there is a page without a doctor
    said = page.locator("#reach-said")
    await expect(said).to_contain_text("has no check of this kind")
    await expect(page.locator("#reach-when")).to_have_text("Checked just now.")
    for status, words in ((403, "did not let this page look"), (503, "did not answer")):
        await page.route("**/mlabhub/api/doctor/**", partial(answer_with, status))
        await page.click("#reach-again")
        await expect(said).to_contain_text(words)
    await context.close()


async def answer_with(status: int, route: Route) -> None:
    await route.fulfill(status=status)


async def test_an_old_address_leads_on(login: Login, launcher: MemoryLauncher) -> None:
    launch_id = await start(launcher, profile="gpu")
    client = await login("alice")
    answer = await client.get(f"idle/{launch_id}")
    assert (answer.status_code, answer.headers["Location"]) == (301, f"{PREFIX}servers/{launch_id}")
    token = field(await client.get("launch"), "_xsrf")
    posted = await client.post(f"idle/{launch_id}", data={"_xsrf": token})
    assert (posted.status_code, posted.headers["Location"]) == (307, f"{PREFIX}servers/{launch_id}")
    assert (await client.post(f"idle/{launch_id}")).status_code == 403


async def test_while_it_starts_its_steps_are_told_and_its_log_is_open(
    login: Login, launcher: MemoryLauncher, site: Site
) -> None:
    launch_id = await start(launcher, profile="gpu")
    client = await login("alice")
    text = (await client.get(f"servers/{launch_id}")).text
    assert 'aria-current="step"' in text
    assert "There is no log of this server" in text
    site.backend.logs["alice", "exp"] = [b"reading the configuration\n", SCRIPT + b"\n"]
    text = (await client.get(f"servers/{launch_id}")).text
    assert "reading the configuration\n&lt;script&gt;alert(1)" in text
    assert 'http-equiv="refresh"' in text


async def test_a_log_is_shown_without_scripts_where_it_is_asked_for(
    login: Login, launcher: MemoryLauncher, site: Site
) -> None:
    launch_id = await start(launcher, profile="gpu")
    launcher.finish(launch_id)
    site.backend.logs["alice", "exp"] = [b"%d\n" % number for number in range(300)]
    client = await login("alice")
    assert "299" not in (await client.get(f"servers/{launch_id}")).text
    text = (await client.get(f"servers/{launch_id}?log=1")).text
    assert "\n298\n299</pre>" in text
    assert 'id="log-skipped">Earlier' in text
    site.backend.down = True
    assert "The engine does not answer." in (await client.get(f"servers/{launch_id}?log=1")).text


async def test_a_failure_is_told_and_what_became_of_it_before(login: Login, launcher: MemoryLauncher) -> None:
    launch_id = await start(launcher, profile="gpu")
    launcher.before = (
        before("01B", failure=Message(HOSTILE), ready=None),
        *(before(f"01C{number}") for number in range(20)),  # of which nine are shown
    )
    client = await login("alice")
    text = (await client.get(f"servers/{launch_id}")).text
    assert "The last time it did not start: &lt;img" in text
    assert text.count("ran for 2 h, 4 GPU-hours") == 9
    assert f'href="{PREFIX}servers/01C0"' in text
    assert "<img src=x" not in text
    launcher.before = (before(launch_id, ready=None), *launcher.before)
    launcher.finish(launch_id, "The image is not there. Choose another one.")
    text = (await client.get(f"servers/{launch_id}")).text
    assert 'role="alert" id="failure">The image is not there. Choose another one.' in text


async def test_one_that_waits_has_its_page_in_the_queue(login: Login, launcher: MemoryLauncher) -> None:
    launcher.waits.wait("alice", "later", {"profile": "gpu"}, "vision")
    (entry,) = launcher.waits.entries
    answer = await (await login("alice")).get(f"servers/{entry.launch_id}")
    assert (answer.status_code, answer.headers["Location"]) == (302, f"{PREFIX}starting/{entry.launch_id}")


async def test_somebody_elses_is_not_there(login: Login, launcher: MemoryLauncher, site: Site) -> None:
    launch_id = await start(launcher, "bob", profile="gpu")
    launcher.finish(launch_id)
    site.backend.logs["bob", "exp"] = [b"secret\n"]
    client = await login("alice")
    for path in (f"servers/{launch_id}", f"servers/{launch_id}?log=1", "servers/01NONE"):
        answer = await client.get(path)
        assert (answer.status_code, "secret" in answer.text) == (404, False), path
    sent = {"X-Xsrftoken": field(await client.get("launch"), "_xsrf"), "Sec-Fetch-Mode": "cors"}
    for path in (f"servers/{launch_id}/parts", "api/v1/servers/bob/exp/logs", "api/v1/servers/bob/exp/logs/events"):
        assert (await client.get(path, headers=sent)).status_code == 404, path
    root = await (await login("root")).get(f"servers/{launch_id}?log=1")
    assert ("secret" in root.text, "belongs to bob" in root.text) == (True, True)


@pytest.mark.browser
async def test_a_browser_follows_the_log_pauses_and_goes_on(
    browser: Browser, site: Site, launcher: MemoryLauncher
) -> None:
    launch_id = await start(launcher, profile="gpu")
    launcher.finish(launch_id)
    written = site.backend.logs.setdefault(("alice", "exp"), [b"first\n" + SCRIPT + b"\n"])
    context = await browser.new_context(viewport=WIDE, locale="en-US")  # type: ignore[arg-type]
    page = await open_page(context, site, f"servers/{launch_id}")
    await page.click("#log-summary")
    log = page.locator("#log-text")
    await expect(log).to_have_text("first\n<script>alert(1)</script>")
    written.append(b"second\n")
    await expect(log).to_contain_text("second")
    await page.click("#log-pause")
    await expect(page.locator("#log-said")).to_contain_text("Paused")
    written.append(b"third\n")
    await expect(page.locator("#log-pause")).to_have_attribute("aria-pressed", "true")
    await page.click("#log-pause")
    await expect(log).to_contain_text("third")
    site.backend.ended = True
    await expect(page.locator("#log-said")).to_contain_text("It has ended")
    assert page.complaints == []  # type: ignore[attr-defined]
    await context.close()


@pytest.mark.browser
async def test_the_log_comes_back_by_itself_when_the_service_was_away(
    browser: Browser, site: Site, launcher: MemoryLauncher
) -> None:
    launch_id = await start(launcher, profile="gpu")
    launcher.finish(launch_id)
    site.backend.logs["alice", "exp"] = [b"first\n"]
    site.backend.down = True
    context = await browser.new_context(viewport=WIDE, locale="en-US")  # type: ignore[arg-type]
    await context.add_init_script(HURRY)
    page = await open_page(context, site, f"servers/{launch_id}?log=1")
    await expect(page.locator("#log-said")).to_contain_text("cannot be followed")
    site.backend.down = False
    await expect(page.locator("#log-text")).to_have_text("first")
    await context.close()
