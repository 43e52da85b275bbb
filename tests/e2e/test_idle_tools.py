"""Idle servers in containers whose tools are open: a forgotten tab is warned and stopped, a moved pointer keeps it.

The service lives fifteen times as fast here (`tests.hurry.program`), and so do the agents.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from mlabhub.images import build_images
from tests.chromium import at_home, run_chromium
from tests.desktop import COLOURS, PICTURE
from tests.e2e.test_idle import wait_stopped, wait_warned
from tests.hurry.hub import GRACE_S, PERSON, HurriedHub, run_hurried
from tests.installation import wait_for

pytestmark = [pytest.mark.long, pytest.mark.browser, pytest.mark.timeout(1800)]
SERVERS = {
    "code": {"profile": "gpu", "image": "base"},
    "desk": {"profile": "gpu", "image": "desktop"},
    "mouse": {"profile": "gpu", "image": "desktop"},
}
HURRY_VSCODE = r"s/^\(const EVERY_[A-Z]*_*MS\) = .*/\1 = 1000;/"
VSCODE = "/opt/code-server/lib/vscode/extensions/mlabhub-activity/idle.js"
"""Its extension asks each second how the server stands."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HurriedHub]:
    """Servers in containers, with a GPU each that nothing computes on."""
    build_images(["desktop"], no_cache=False, report=lambda _: None)
    folder = tmp_path_factory.mktemp("tools")
    with run_hurried(folder, SERVERS, backend="container", images=("base", "desktop"), memory_gib=2) as one:
        [code] = [name for name in one.containers() if name.endswith("code")]
        one.podman("exec", "--user=0", code, "sed", "-i", HURRY_VSCODE, VSCODE)
        yield one


@pytest.fixture(scope="module")
def tabs(hub: HurriedHub) -> Iterator[dict[str, Page]]:
    """A tab of each server's tool. The last one opened is in front: VS Code's."""
    with run_chromium() as browser, at_home(browser, hub.url, PERSON, hub.password) as page:
        opened = {}
        for server in ("mouse", "desk"):
            tab = opened[server] = page.context.new_page()
            tab.goto(f"{hub.url}user/{PERSON}/{server}/desktop/")
            tab.wait_for_selector(PICTURE, timeout=90_000)
            wait_for(lambda tab=tab: tab.evaluate(COLOURS) > 100, 90, "a picture of Plasma in the browser")
        tab = opened["code"] = page.context.new_page()
        tab.goto(f"{hub.url}user/{PERSON}/code/vscode/")
        expect(tab.locator(".monaco-workbench")).to_be_visible(timeout=90_000)
        yield opened


def test_moving_the_mouse_on_the_desktop_after_the_warning_keeps_it(hub: HurriedHub, tabs: dict[str, Page]) -> None:
    wait_warned(hub, "mouse")
    tab = tabs["mouse"]
    tab.bring_to_front()
    box = tab.locator(PICTURE).bounding_box()
    assert box

    def is_withdrawn() -> bool:
        for step in range(10):
            tab.mouse.move(box["x"] + 100 + 10 * step, box["y"] + 100)
            tab.wait_for_timeout(50)
        return bool(hub.acts("mouse", "withdraw"))

    wait_for(is_withdrawn, GRACE_S, "the warning holds no more")
    tabs["code"].bring_to_front()
    assert hub.server(PERSON, "mouse")


@pytest.mark.parametrize("server", ["code", "desk"])
def test_a_forgotten_tab_is_told_by_its_tool_and_then_stopped(
    hub: HurriedHub, tabs: dict[str, Page], server: str
) -> None:
    told = wait_warned(hub, server)
    warned = hub.warned(server)
    assert warned is not None
    assert warned.way == "tool", "its own page, or the desktop, has shown it"
    wait_stopped(hub, server, told)
