"""The image `desktop` in a pod: KDE draws its picture, a terminal is opened and typed into, a stop leaves nothing."""

from __future__ import annotations

from tests.cluster.site import Site
from tests.desktop import KONSOLE_ABOVE, KONSOLE_LEFT
from tests.installation import wait_for
from tests.rfb import Screen, WebsocketLine

NAME = "dora"


def test_a_desktop_is_seen_and_typed_into(site: Site) -> None:
    site.add_user(NAME, "vision")
    site.start_server(NAME, profile="cpu", image="desktop", memory_gib=2)
    typed = site.nas / "user" / NAME / "typed"
    line = WebsocketLine(f"ws://127.0.0.1:{site.port}/user/{NAME}/desktop-vnc/", site.token(NAME))
    try:
        screen = Screen.greet(line)
        screen.wait_until(lambda screen: screen.colours() > 100, 90, "a picture of Plasma")
        before = screen.wait_still(20)
        screen.click(KONSOLE_LEFT, screen.height - KONSOLE_ABOVE)
        screen.wait_until(lambda screen: screen.share_changed(before) > 0.1, 30, "a window of Konsole")
        screen.wait_still(10)
        screen.type("id -un > typed\n")
        wait_for(lambda: typed.exists() and typed.read_text(), 20, "what was typed")
        assert typed.read_text() == f"{NAME}\n"
        assert typed.stat().st_uid == typed.parent.stat().st_uid != 0
    finally:
        line.close()
    site.stop_server(NAME)
    site.wait_clean()
