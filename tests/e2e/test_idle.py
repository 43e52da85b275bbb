"""Idleness from a real server to its stop: who works goes on, who does not is warned, graced, and then stopped, once.

The service lives fifteen times as fast here (`tests.hurry.program`): ten minutes without use are 40 s, five minutes of
grace 20 s.
All servers are started at once, so that what each test waits for has mostly happened when its turn comes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.chromium import at_home, run_chromium
from tests.hurry.hub import GRACE_S, PERSON, HurriedHub, run_hurried
from tests.installation import wait_for

pytestmark = [pytest.mark.long, pytest.mark.browser, pytest.mark.timeout(400)]
GPU = {"profile": "gpu"}
SERVERS = {
    "train": GPU,
    "silent": {"profile": "cpu"},
    "lab": GPU,
    "key": GPU,
    "kept": GPU,
    "home": GPU,
    "first": {"profile": "first"},
    "second": {"profile": "second"},
}
WARNED_S = 120
LATE_S = 52
"""How much later than its time a stop may be: it comes with a minute's samples, which are four seconds here, and after
a restart of the service by a hole more, which is 22 s here."""
LOOK = "setInterval(() => document.dispatchEvent(new Event('visibilitychange')), 500)"
"""Have JupyterLab ask as often as a service that lives so fast warns, as it does when its tab comes to the front. It is
no use of the server."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HurriedHub]:
    """All servers, and when they were started."""
    with run_hurried(tmp_path_factory.mktemp("idle"), SERVERS) as one:
        one.begin("silent", "while True: sum(range(10**6))")
        yield one


@pytest.fixture(scope="module")
def page(hub: HurriedHub) -> Iterator[Page]:
    """The Home page of the person, whose forgotten tab of JupyterLab is open beside it."""
    with run_chromium() as browser, at_home(browser, hub.url, PERSON, hub.password) as page:
        for server in ("lab", "key"):
            open_lab(page.context.new_page(), hub, server)
        yield page


def open_lab(tab: Page, hub: HurriedHub, server: str) -> None:
    tab.goto(f"{hub.url}user/{PERSON}/{server}/lab?reset")
    tab.locator(".jp-LauncherCard").first.wait_for(timeout=90_000)


def wait_warned(hub: HurriedHub, server: str) -> float:
    """Wait until a server's warning was delivered; return when."""
    wait_for(lambda: hub.warned(server), WARNED_S, f"{server} is warned, and it reached its person")
    warned = hub.warned(server)
    assert warned is not None
    assert warned.told is not None
    assert warned.way in ("tool", "message", "home")
    return warned.told


def wait_stopped(hub: HurriedHub, server: str, told: float) -> None:
    """Wait until a server is stopped for idleness: not before its grace is over, and once."""
    wait_for(lambda: hub.is_over(server), GRACE_S + LATE_S, f"{server} is stopped")
    [stopped] = hub.acts(server, "stop")
    assert told + GRACE_S <= stopped <= told + GRACE_S + LATE_S


def test_asked_for_two_hours_it_is_kept(hub: HurriedHub, page: Page) -> None:
    wait_warned(hub, "kept")
    with hub.api(PERSON) as client:
        path = f"user/{PERSON}/kept/mlabhub/api/idle/keep"
        answer = client.post(path, json={"seconds": 7200, "reason": "a run of the night"})
    assert answer.is_success, answer.text
    assert hub.acts("kept", "keep")


def test_a_press_on_the_home_page_keeps_it(hub: HurriedHub, page: Page) -> None:
    wait_warned(hub, "home")
    page.bring_to_front()
    page.reload()
    warning = page.locator(f"[data-warned][data-notice='{hub.launch_of('home')}']")
    warning.get_by_role("button", name="Keep it for").click()
    expect(page.locator("[role=status]").first).to_contain_text("It is kept.")
    assert hub.acts("home", "keep")
    expect(warning).to_have_count(0)


def test_a_key_after_the_warning_keeps_it(hub: HurriedHub, page: Page) -> None:
    wait_warned(hub, "key")
    [tab] = [one for one in page.context.pages if "/key/" in one.url]
    tab.bring_to_front()

    def is_withdrawn() -> bool:
        tab.keyboard.press("Shift")
        tab.wait_for_timeout(500)
        return bool(hub.acts("key", "withdraw"))

    wait_for(is_withdrawn, GRACE_S, "the warning holds no more")
    assert hub.server(PERSON, "key")


def test_a_warning_that_jupyterlab_has_on_its_screen_is_told_by_a_tool(hub: HurriedHub, page: Page) -> None:
    browser = page.context.browser
    assert browser is not None
    with at_home(browser, hub.url, PERSON, hub.password) as window:
        assert hub.launch(PERSON, "shown", **GPU).status_code == 201
        hub.wait_ready(PERSON, "shown")
        open_lab(window, hub, "shown")
        window.evaluate(LOOK)
        told = wait_warned(hub, "shown")
        expect(window.locator(".jp-Notification-Toast-warning")).to_be_visible()
    warned = hub.warned("shown")
    assert warned is not None
    assert warned.way == "tool"
    wait_stopped(hub, "shown", told)


def test_a_forgotten_tab_is_warned_and_then_stopped(hub: HurriedHub, page: Page) -> None:
    wait_stopped(hub, "lab", wait_warned(hub, "lab"))


def test_what_works_lives_through_it(hub: HurriedHub, page: Page) -> None:
    """Neither has a page open; each has lived through two windows by now."""
    for server in ("train", "silent"):
        [(ready,)] = hub.rows("select ready from reservations where launch_id = ?", hub.launch_of(server))
        wait_for(lambda at=ready: time.time() >= at + 90, 90, "two windows")
        assert hub.server(PERSON, server)
        assert not hub.acts(server, "warn")
    for server in ("kept", "home"):
        assert hub.server(PERSON, server), "what was kept is there after its grace"
        assert not hub.acts(server, "stop")


@pytest.mark.parametrize(("server", "victim"), [("first", "supervisor.hub"), ("second", "program.py service")])
def test_killed_between_warning_and_stop(hub: HurriedHub, page: Page, server: str, victim: str) -> None:
    hub.set_rules(**({} if server == "second" else {"second": "patient"}))
    told = wait_warned(hub, server)
    hub.kill(victim)
    wait_stopped(hub, server, told)
