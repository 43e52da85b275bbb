"""The desktop as its image runs it: what is drawn, typed, copied and kept, seen at the end of its VNC socket.

Long: some hundred megabytes are fetched where the image is not there yet, and a desktop is started for most tests.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlabhub.images import build_images
from mlabhub.images.program import Program
from tests.full_home import full_home
from tests.rfb import Screen

pytestmark = [pytest.mark.long, pytest.mark.engine, pytest.mark.timeout(1800)]

UID = 12345
HOME = "/mnt/user/alice"
SESSION = "/opt/venv/lib/python3*/site-packages/mlabhub_proxies/desktop/session.py"
CAPABILITIES = ("CHOWN", "KILL", "SETGID", "SETPCAP", "SETUID")
KONSOLE = (71, 780)
"""Where its picture is in the bar of a desktop of 1280 x 800."""
GREEN, WHITE = 0x00FF00, 0xFFFFFF


@dataclass
class Desktop:
    """A container with a desktop, as the backend would run it."""

    program: Program
    name: str
    home: Path
    socket: Path
    screen: Screen

    def run(self, script: str) -> str:
        """Run a shell script in it as the user."""
        return (
            self.program.ask("exec", "--user", str(UID), "--env", f"HOME={HOME}", self.name, "sh", "-c", script) or ""
        )

    def terminal(self) -> Screen:
        """Open Konsole and wait until it takes keys."""
        before = self.screen.wait_still(20)
        self.screen.click(*KONSOLE)
        self.screen.wait_until(lambda screen: screen.share_changed(before) > 0.2, 20, "a window of Konsole")
        self.screen.wait_still(10)
        return self.screen

    def do(self, command: str) -> None:
        """Type a command into the terminal."""
        self.screen.type(f"{command}\n")

    def expect(self, file: str, text: str, seconds: float = 15) -> None:
        """Wait until a file of the home has this text."""
        path, deadline = self.home / file, time.monotonic() + seconds
        while (found := path.read_text() if path.exists() else "") != text and time.monotonic() < deadline:
            self.screen.look(0.3)
        assert found == text

    def tell(self, command: str) -> str:
        """Type a command into the terminal and return what it printed, all of it on screen or not."""
        self.do(f"({command}) > told; mv told said")
        deadline = time.monotonic() + 20
        while not (self.home / "said").exists():
            assert time.monotonic() < deadline, f"{command} did not end"
            self.screen.look(0.3)
        return (self.home / "said").read_text()

    def share(self, colour: int) -> float:
        """Return which part of the screen has a colour."""
        pixels = memoryview(self.screen.pixels).cast("I")
        return sum(pixel & 0xFFFFFF == colour for pixel in pixels) / len(pixels)


Starter = Callable[..., Desktop]


@pytest.fixture(scope="session")
def image(program: Program) -> str:
    """The image, built here if it is not up to date."""
    [*_, built] = build_images(["desktop"], no_cache=False, report=lambda _: None)
    return built.reference


@pytest.fixture
def start(program: Program, image: str, tmp_path: Path) -> Iterator[Starter]:
    """Return a function that starts a desktop and waits for its picture."""
    names: list[str] = []
    screens: list[Screen] = []

    def started(home: Path | None = None, *options: str, mode: str = "rw", **variables: str) -> Desktop:
        if home is None:
            home = tmp_path / "home"
            home.mkdir(exist_ok=True)
            os.chown(home, UID, UID)
        name = f"mlabhub-test-desktop-{uuid.uuid4().hex[:8]}"
        names.append(name)
        run = tmp_path / name
        run.mkdir()
        os.chown(run, UID, UID)
        person = {"USER": "alice", "UID": str(UID), "GID": str(UID), "HOME": HOME}
        argv = ["run", "--detach", "--init", "--network=none", "--cap-drop=all", f"--name={name}", "--shm-size=256m"]
        argv += [*(f"--cap-add={one}" for one in CAPABILITIES), "--security-opt=no-new-privileges", "--memory=2g"]
        argv += [f"--volume={home}:{HOME}:{mode}", f"--volume={run}:/sockets", *options]
        argv += [f"--env=MLABHUB_{key}={value}" for key, value in person.items()]
        argv += [f"--env={key}={value}" for key, value in variables.items()]
        program.run(*argv, image, "sh", "-c", f"exec python -I {SESSION} Xtigervnc /sockets/socket")
        screen = connect(run / "socket")
        screens.append(screen)
        screen.wait_until(lambda screen: screen.colours() > 100, 60, "a picture of Plasma")
        return Desktop(program, name, home, run / "socket", screen)

    yield started
    for screen in screens:
        screen.close()
    for name in names:
        program.ask("rm", "--force", "--time=1", name)


def connect(socket: Path, seconds: float = 20) -> Screen:
    """Connect as soon as there is somebody."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return Screen.connect(socket)
        except (FileNotFoundError, ConnectionError):
            assert time.monotonic() < deadline, f"nobody listens on {socket}"
            time.sleep(0.1)


def pinyin(screen: Screen, letters: str) -> None:
    """Type Chinese by its sound, take the first proposal, and go back to English."""
    screen.press("ctrl", " ")
    screen.look(1)
    before = screen.wait_still(5)
    screen.type(letters)
    screen.wait_until(lambda screen: screen.share_changed(before) > 0.001, 5, "a window with proposals")
    screen.type(" ")
    screen.look(0.5)
    screen.press("ctrl", " ")
    screen.look(0.5)


def test_what_is_typed_and_copied_in_english_and_chinese(start: Starter) -> None:
    desktop = start()
    assert desktop.socket.stat().st_mode & 0o777 == 0o600
    screen = desktop.terminal()
    desktop.do("echo one two > typed")
    desktop.expect("typed", "one two\n")
    desktop.do("cat > chinese")
    pinyin(screen, "nihao")
    screen.press("\n")
    screen.press("ctrl", "d")
    desktop.expect("chinese", "你好\n")

    (desktop.home / "text").write_text("中文 and English\n")
    os.chown(desktop.home / "text", UID, UID)
    dark = desktop.share(WHITE)
    desktop.do("kate text 2>/dev/null")
    screen.wait_until(lambda _: desktop.share(WHITE) > dark + 0.1, 20, "a white page of Kate")
    screen.wait_still(10)
    screen.press("ctrl", "a")
    screen.press("ctrl", "c")
    screen.wait_until(lambda screen: screen.clipboard == "中文 and English\n", 5, "what was copied")
    screen.offer("从浏览器来\nzwei ")
    screen.press("ctrl", "v")
    screen.look(1)
    pinyin(screen, "zhongguo")
    screen.press("ctrl", "s")
    desktop.expect("text", "从浏览器来\nzwei 中国\n")
    screen.look(3)
    assert screen.clipboard == "中文 and English\n", "nothing took the clipboard over"


def test_firefox_draws_a_page_and_takes_chinese(start: Starter) -> None:
    desktop = start(LANG="zh_CN.UTF-8")
    page = desktop.home / "page.html"
    page.write_text("<meta charset=utf-8><body bgcolor=#00ff00><textarea autofocus rows=5 cols=40></textarea>")
    desktop.terminal()
    desktop.do("firefox-esr page.html 2>/dev/null")
    desktop.screen.wait_until(lambda _: desktop.share(GREEN) > 0.5, 60, "a green page")
    desktop.screen.wait_still(10)
    pinyin(desktop.screen, "nihao")
    desktop.screen.press("ctrl", "a")
    desktop.screen.press("ctrl", "c")
    desktop.screen.wait_until(lambda screen: screen.clipboard == "你好", 5, "what was typed and copied")


def test_opengl_without_a_gpu(start: Starter) -> None:
    desktop = start()
    desktop.terminal()
    assert "llvmpipe" in desktop.tell("glxinfo -B | grep 'OpenGL renderer'")
    desktop.do("glxgears")

    def is_drawn(_: Screen) -> bool:
        pixels = {pixel & 0xFFFFFF for pixel in memoryview(desktop.screen.pixels).cast("I")}
        reds = sum(pixel >> 16 > 120 and pixel & 0xFFFF < 0x4000 for pixel in pixels)
        blues = sum(pixel & 0xFF > 180 and pixel >> 16 < 80 for pixel in pixels)
        return reds > 5 and blues > 5

    desktop.screen.wait_until(is_drawn, 20, "a red and a blue gear")


def test_language_and_time_zone_are_the_environments(start: Starter) -> None:
    desktop = start(LANG="zh_CN.UTF-8", TZ="Asia/Shanghai")
    desktop.terminal()
    told = desktop.tell("date +%Z; fc-match 'Noto Sans:charset=9aa8'; fc-match monospace:charset=9aa8")
    zone, sans, mono = told.splitlines()
    assert (zone, "CJK SC" in sans, "Mono CJK SC" in mono) == ("CST", True, True)
    assert {"桌面", "下载"} <= {folder.name for folder in desktop.home.iterdir()}


def test_logging_out_ends_it_and_leaves_nothing(start: Starter, program: Program) -> None:
    desktop = start()
    desktop.terminal()
    folder = desktop.socket.parent
    assert (folder / "Xauthority").stat().st_mode & 0o777 == 0o600
    desktop.do("qdbus org.kde.ksmserver /KSMServer logout 0 0 0")
    with pytest.raises(ConnectionError):
        desktop.screen.look(20)
    assert (program.ask("wait", desktop.name) or "").strip() == "0"
    assert list(folder.iterdir()) == []


def test_two_desktops_in_one_home(start: Starter) -> None:
    first, second = start(), start()
    assert first.home == second.home
    for number, desktop in enumerate((first, second)):
        desktop.terminal()
        desktop.do(f"echo {number} > typed{number}")
        desktop.expect(f"typed{number}", f"{number}\n")
    assert first.run("pgrep -c plasmashell") == second.run("pgrep -c plasmashell") == "1\n"


def test_a_home_that_can_only_be_read_keeps_nobody_from_working(start: Starter, tmp_path: Path) -> None:
    """The person's own settings are in force, and Firefox, which has a profile there, starts with another."""
    home = tmp_path / "home"
    profile = home / ".mozilla" / "firefox" / "mine"
    profile.mkdir(parents=True)
    (profile.parent / "profiles.ini").write_text("[Profile0]\nName=default\nIsRelative=1\nPath=mine\nDefault=1\n")
    (home / "page.html").write_text("<body bgcolor=#00ff00>")
    (home / ".config").mkdir()
    (home / ".config" / "kdeglobals").write_text("[General]\nBrowserApplication=mine\n")
    desktop = start(home, mode="ro")
    desktop.terminal()
    read = desktop.socket.with_name("read")
    desktop.do("kreadconfig5 --group General --key BrowserApplication > /sockets/read")
    desktop.expect(str(read), "mine\n")
    desktop.do("firefox-esr page.html 2>/dev/null")
    desktop.screen.wait_until(lambda _: desktop.share(GREEN) > 0.5, 60, "a green page")


def test_a_full_home_keeps_nobody_from_making_room(start: Starter, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    with full_home(tmp_path / "home", UID) as home:
        desktop = start(home)
        desktop.terminal()
        desktop.do("rm big && echo one two > typed")
        desktop.expect("typed", "one two\n")


LOCK = """
bus=$(tr '\\0' '\\n' </proc/$(pgrep -o plasmashell)/environ | sed -n s/^DBUS_SESSION_BUS_ADDRESS=//p)
DBUS_SESSION_BUS_ADDRESS=$bus qdbus org.freedesktop.ScreenSaver /ScreenSaver Lock
"""


def test_the_lock_is_opened_by_its_own_password_alone(start: Starter) -> None:
    desktop = start()
    screen = desktop.terminal()
    desktop.do("/opt/mlabhub/lock/screen-lock set")
    screen.look(3)
    screen.type("secret\tsecret\n")
    screen.look(2)
    kept = desktop.home / ".config" / "mlabhub" / "screen-lock"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert "secret" not in kept.read_text()
    desktop.run(LOCK)
    screen.look(4)
    screen.press("\n")
    screen.look(2)
    for answer in ("wrong", "secret"):
        screen.type(f"{answer}\n")
        screen.look(6)  # after a wrong one it takes its time
        desktop.do(f"touch typed-after-{answer}")
        screen.look(6)
        assert (desktop.home / f"typed-after-{answer}").exists() == (answer == "secret")


def test_nobody_else_gets_in(start: Starter) -> None:
    """Neither by X without the cookie, nor by the network: nothing listens there."""
    desktop = start()
    other = "XAUTHORITY=/dev/null DISPLAY=:0 xset q 2>&1; cat /proc/net/tcp /proc/net/tcp6"
    said = desktop.run(other + "; true")
    assert "Authorization required" in said or "unable to open display" in said
    assert " 0A " not in said, "somebody listens on TCP"
    assert desktop.socket.parent.stat().st_mode & 0o777 == 0o700
