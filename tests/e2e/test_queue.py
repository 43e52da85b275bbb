"""Two people and one GPU, by hand of a real Chromium at a real hub: who waits sees it, and gets it without a touch."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.chromium import at_home, run_chromium
from tests.e2e.one_gpu import run_one_gpu
from tests.installation import Installation, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

NOTICE_S = 20
QUOTAS = {
    "groups": {"vision": {"guaranteed": {"gpu": 1}, "limit": {"gpu": 1}}, "nlp": {"limit": {"gpu": 1}}},
    "notice_seconds": NOTICE_S,
    "owner_wait_hours": 0,
}
GPU = "launch?profile=gpu&gpus=1"


@pytest.fixture(scope="module")
def one_gpu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A hub of plain processes with one GPU, which is guaranteed to vision and lent to nlp meanwhile."""
    with run_one_gpu(tmp_path_factory.mktemp("queue"), QUOTAS) as hub:
        yield hub


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium."""
    with run_chromium() as browser:
        yield browser


def ask_for_it(page: Page, hub: Installation) -> None:
    """Choose the one GPU, which somebody has, and queue for it."""
    page.goto(f"{hub.url}services/mlabhub/{GPU}")
    expect(page.locator("#start")).to_have_text(re.compile("^Queue for 1 GPU|^Queue for 1 T4"))
    page.click("#start")
    page.wait_for_url("**/starting/**")


def tell_often(hub: Installation, name: str) -> None:
    """Have somebody's servers tell the hub every second when they were used last, instead of every three minutes."""
    assert hub.launch(name, profile="cpu").status_code == 201
    hub.wait_ready(name)  # now there is a home
    hub.stop_server(name)
    folder = hub.state / "nas" / "user" / name / ".jupyter"
    folder.mkdir(exist_ok=True)
    (folder / "jupyter_server_config.py").write_text("c.JupyterHubSingleUser.hub_activity_interval = 1\n")


def is_claimed(hub: Installation, name: str) -> bool:
    """Whether somebody's turn in the queue was used, as far as the service knows."""
    with hub.api(hub.first_admin()[0]) as client:
        rows = client.get("services/mlabhub/api/v1/audit", params={"user": name}).json()["entries"]
    return any(row["act"] == "claim" for row in rows)


def test_the_second_gets_it_without_touching_anything(one_gpu: Installation, browser: Browser) -> None:
    hub = one_gpu
    hub.add_user("ann", "nlp")
    password = hub.add_user("ben", "nlp")
    tell_often(hub, "ben")
    begun = time.monotonic()
    assert hub.launch("ann", profile="gpu", gpus=1).status_code == 201
    hub.wait_ready("ann")
    plain = time.monotonic() - begun
    with at_home(browser, hub.url, "ben", password) as page:
        ask_for_it(page, hub)
        said = page.locator("#starting-said")
        expect(said).to_contain_text("Place 1 of 1 in the queue.")
        expect(page.locator("#starting-live")).to_contain_text("ann")

        page.get_by_role("link", name=re.compile("^Leave the queue")).click()
        page.locator("form button.btn-danger").click()
        expect(page.locator("[role=status]").first).to_contain_text("It was taken out of the queue.")

        ask_for_it(page, hub)
        home = page.context.new_page()
        home.goto(f"{hub.url}services/mlabhub/")
        expect(home.locator("[data-part=waiting]")).to_contain_text("Place 1 of 1")
        home.close()
        page.bring_to_front()

        hub.stop_server("ann")
        stopped = time.monotonic()
        page.wait_for_url(re.compile("/user/ben/"), timeout=20_000)
        took = time.monotonic() - stopped
        assert took < max(10, 3 * plain), f"it took {took:.1f} s, where a start without a queue took {plain:.1f} s"
        wait_for(lambda: is_claimed(hub, "ben"), 60, "the hub and the queue know that the page was opened")
    [held] = hub.reservations()
    assert (held["user"], held["gpus"]) == ("ben", 1)
    hub.stop_server("ben")


def test_the_owner_comes_back_and_the_borrower_is_told(one_gpu: Installation, browser: Browser) -> None:
    hub = one_gpu
    lender, borrower = hub.add_user("vera", "vision"), hub.add_user("bo", "nlp")
    assert hub.launch("bo", profile="gpu", gpus=1).status_code == 201
    hub.wait_ready("bo")
    with at_home(browser, hub.url, "bo", borrower) as told, at_home(browser, hub.url, "vera", lender) as page:
        expect(told.locator("[data-part=servers]")).to_contain_text("Borrowed")
        asked = time.monotonic()
        ask_for_it(page, hub)
        notice = told.locator("[data-notice]")
        expect(notice).to_contain_text("Save your work now.", timeout=35_000)
        timer = notice.locator("[role=timer]")
        expect(timer).to_have_text(re.compile(r"^in \d+ s$"))
        first = timer.inner_text()
        wait_for(lambda: not timer.is_visible() or timer.inner_text() != first, 5, "the countdown to go on")
        page.wait_for_url(re.compile("/user/vera/"), timeout=60_000)
        assert time.monotonic() - asked >= NOTICE_S, "the notice was not given in full"
        expect(told.locator("[data-part=waiting]")).to_contain_text("It ran before and was taken back", timeout=20_000)
    [held] = hub.reservations()
    assert held["user"] == "vera"
