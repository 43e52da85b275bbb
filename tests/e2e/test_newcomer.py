"""What a newcomer does in the browser, for two people of two groups at once, by hand of a real Chromium."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.chromium import at_home
from tests.installation import Installation, wait_for
from tests.jupyterlab import run_in_new_notebook

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]


def _launch(page: Page, profile: str, name: str) -> None:
    page.goto(page.url.split("services/")[0] + "services/mlabhub/launch")
    page.locator(f"[data-profile={profile}]").click()
    expect(page.locator(f"[data-profile={profile}][aria-current=true]")).to_be_visible()
    page.fill("input[name=name]", name)
    page.click("#start")
    page.wait_for_url(re.compile("/starting/|/user/"))


def test_two_people_of_two_groups_at_once(hub: Installation, people: dict[str, str], browser: Browser) -> None:
    with (
        at_home(browser, hub.url, "alice", people["alice"]) as alice,
        at_home(browser, hub.url, "bob", people["bob"]) as bob,
    ):
        _launch(alice, "cpu", "train_one")
        _launch(bob, "gpu", "")
        for page in (alice, bob):
            page.wait_for_url(re.compile("/lab"), timeout=120_000)
        lab = alice.frame_locator("#frames iframe").first
        run_in_new_notebook(alice, lab, "open('/mnt/user/alice/hello.txt', 'w').write('from a cell')")
        written = hub.state / "nas" / "user" / "alice" / "hello.txt"
        wait_for(written.exists, 60, "the cell's file on the NAS")
        assert written.read_text() == "from a cell"
        assert written.stat().st_uid == (hub.state / "nas" / "user" / "alice").stat().st_uid != 0
        _sees_nothing_of_alice(bob, hub)
        _stop(alice, hub, "alice")
        _stop(bob, hub, "bob")
    assert hub.containers(running=False) == {}
    assert written.exists()


def _sees_nothing_of_alice(bob: Page, hub: Installation) -> None:
    """Neither bob's pages nor alice's server show bob anything of alice."""
    bob.goto(f"{hub.url}services/mlabhub/")
    assert "alice" not in bob.content()
    assert "train_one" not in bob.content()
    answer = bob.goto(f"{hub.url}user/alice/train-one/lab")
    assert answer is not None
    assert answer.status in (403, 404)


def _stop(page: Page, hub: Installation, name: str) -> None:
    """Press Stop on the home page and confirm."""
    page.goto(f"{hub.url}services/mlabhub/")
    page.get_by_role("link", name=re.compile("^Stop")).click()
    page.locator("form button.btn-danger").click()
    page.wait_for_url(re.compile("services/mlabhub/([?].*)?$"))
    with hub.api(name) as client:
        wait_for(lambda: not client.get(f"hub/api/users/{name}").json()["servers"], 60, f"{name}'s server to stop")
    page.reload()
    expect(page.get_by_role("link", name=re.compile("^Stop"))).to_have_count(0)
