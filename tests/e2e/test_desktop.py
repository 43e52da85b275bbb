"""A desktop through the hub: seen and typed into in a real Chromium, ended and started anew, and gone when stopped."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from mlabhub.images import build_images
from tests.chromium import run_chromium, sign_in
from tests.desktop import COLOURS, KONSOLE_ABOVE, KONSOLE_LEFT, PICTURE
from tests.installation import Installation, wait_for
from tests.rfb import Screen, WebsocketLine

pytestmark = [pytest.mark.long, pytest.mark.browser, pytest.mark.timeout(1800)]

NAME = "dora"
PROGRAMS = "plasma|Xtigervnc|kwin|fcitx5|konsole|dbus-daemon"


@pytest.fixture(scope="module")
def password(hub: Installation) -> Iterator[str]:
    """Run a server with the image for a person of her own; return her password."""
    build_images(["desktop"], no_cache=False, report=lambda _: None)
    known = hub.add_user(NAME, "vision")
    answer = hub.launch(NAME, profile="cpu", image="desktop", memory_gib=2)
    assert answer.status_code == 201, answer.text
    hub.wait_ready(NAME)
    yield known
    hub.stop_server(NAME)


def ask(hub: Installation, action: str = "") -> dict[str, Any]:
    """Return what the server says of the desktop, after an action if one is given."""
    with hub.api(NAME) as client:
        path = f"user/{NAME}/mlabhub/api/tools/desktop"
        answer = client.post(path, json={"action": action}) if action else client.get(path)
    assert answer.is_success, answer.text
    told: dict[str, Any] = answer.json()
    return told


@contextmanager
def connected(hub: Installation) -> Iterator[Screen]:
    """See the desktop through the hub's websocket, without a browser."""
    line = WebsocketLine(f"ws://127.0.0.1:{hub.port}/user/{NAME}/desktop-vnc/", hub.token(NAME))
    try:
        screen = Screen.greet(line)
        screen.wait_until(lambda screen: screen.colours() > 100, 60, "a picture of Plasma")
        screen.wait_still(20)
        yield screen
    finally:
        line.close()


def open_konsole(screen: Screen) -> None:
    """Open a terminal by the bar."""
    before = screen.look()
    screen.click(KONSOLE_LEFT, screen.height - KONSOLE_ABOVE)
    screen.wait_until(lambda screen: screen.share_changed(before) > 0.1, 20, "a window of Konsole")
    screen.wait_still(10)


def programs(hub: Installation) -> set[str]:
    """Return the programs of the desktop that run in the server."""
    [container] = [name for name in hub.containers() if NAME in name]
    return set(re.findall(PROGRAMS, hub.podman("exec", container, "ps", "-eo", "args")))


def test_it_is_seen_and_typed_into_in_a_browser(hub: Installation, password: str, tmp_path: Path) -> None:
    typed = hub.state / "nas" / "user" / NAME / "typed"
    with run_chromium() as chromium:
        page = chromium.new_page(viewport={"width": 1280, "height": 800})
        sign_in(page, f"{hub.url}hub/login?next=/user/{NAME}/desktop/", NAME, password)
        page.wait_for_selector(PICTURE, timeout=90_000)
        told = page.locator("#first")
        wait_for(lambda: told.is_visible() or page.evaluate(COLOURS) > 1, 10, "a picture, or a word about it")
        wait_for(lambda: page.evaluate(COLOURS) > 100, 90, "a picture of Plasma in the browser")
        told.wait_for(state="hidden", timeout=5_000)
        time.sleep(3)
        _click(page, KONSOLE_LEFT, -KONSOLE_ABOVE)
        time.sleep(4)
        page.keyboard.type("echo from a browser > typed\n", delay=20)
        wait_for(lambda: typed.exists() and typed.read_text(), 20, f"what was typed; see {tmp_path}")
        assert typed.read_text() == "from a browser\n"
        page.close()
    assert "konsole" in programs(hub), "closing the tab ends nothing"


def _click(page: Page, x: int, y: int) -> None:
    """Click into the picture; below zero from its lower edge."""
    box = page.locator(PICTURE).bounding_box()
    assert box
    page.mouse.click(box["x"] + x, box["y"] + (y if y >= 0 else box["height"] + y))


def test_it_is_there_again_after_logging_out(hub: Installation, password: str) -> None:
    with connected(hub) as screen:
        screen.type("qdbus org.kde.ksmserver /KSMServer logout 0 0 0\n")
        wait_for(lambda: ask(hub)["state"] == "stopped", 20, "the desktop to have ended")
    assert programs(hub) == set()
    ask(hub, "start")
    wait_for(lambda: ask(hub)["state"] == "ready", 20, "the desktop to be ready")
    with connected(hub) as screen:
        open_konsole(screen)


def test_two_browsers_see_the_same(hub: Installation, password: str) -> None:
    with connected(hub) as first, connected(hub) as second:
        before = second.look()
        first.type("clear; seq 100\n")
        seen = first.wait_still(10)
        second.wait_still(10)
        assert second.share_changed(before) > 0.005
        assert second.share_changed(seen) < 0.002, "they differ by more than the pointer"


def test_nothing_is_left_when_it_is_stopped(hub: Installation, password: str) -> None:
    assert {"plasma", "Xtigervnc", "kwin", "fcitx5", "konsole"} <= programs(hub)
    ask(hub, "stop")
    wait_for(lambda: programs(hub) == set(), 15, "nothing left")
