"""VS Code by hand of a real Chromium: files, terminal, Python, previews; a full home; two servers of one person."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.chromium import at_home
from tests.full_home import full_home
from tests.installation import Installation, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.timeout(400)]
PROGRAM = "import numpy, sys\nopen('ran.txt', 'w').write(f'{numpy.arange(4).sum()} {sys.prefix}')\n"
CPU = {"profile": "cpu", "cpu": 1, "memory_gib": 2}


@pytest.fixture(scope="module")
def page(hub: Installation, people: dict[str, str], browser: Browser) -> Iterator[Page]:
    """Return a page of alice, who is logged in, and whose server runs."""
    start(hub)
    with at_home(browser, hub.url, "alice", people["alice"]) as page:
        yield page
    hub.stop_server("alice")


def start(hub: Installation, server_name: str = "") -> None:
    """Start a server of alice."""
    answer = hub.launch("alice", server_name, **CPU)
    assert answer.status_code == 201, answer.text
    hub.wait_ready("alice", server_name)


@pytest.fixture
def home(hub: Installation) -> Path:
    """Return alice's folder on the NAS."""
    return hub.state / "nas" / "user" / "alice"


def open_vscode(page: Page, hub: Installation, server: str = "alice") -> None:
    """Open VS Code as from a link, past the page that is there while it starts."""
    page.goto(f"{hub.url}user/{server}/vscode/")
    expect(page.locator(".monaco-workbench")).to_be_visible(timeout=60_000)
    expect(page.locator(".explorer-folders-view")).to_be_visible(timeout=60_000)
    press_until(page, "F1", page.locator(".quick-input-widget").is_visible, "all of VS Code")
    page.keyboard.press("Escape")


def open_file(page: Page, name: str) -> None:
    """Open a file of the folder from the explorer, and put the cursor into it."""
    page.get_by_role("treeitem", name=name).dblclick()
    expect(page.get_by_role("tab", name=name)).to_be_visible()
    page.locator(".monaco-editor .view-lines").first.click()
    expect(page.locator(".native-edit-context:focus")).to_have_count(1)


def press_until(page: Page, keys: str, seen: Callable[[], bool], what: str) -> None:
    """Press keys as often as it takes: VS Code is deaf to many of them until all of it has been loaded."""

    def pressed() -> bool:
        page.keyboard.press(keys)
        for _ in range(20):
            page.wait_for_timeout(200)
            if seen():
                return True
        return False

    wait_for(pressed, 60, what)


def type_in_editor(page: Page, plain: str, chinese: str) -> None:
    """Replace an editor's text: by keys, and by what an input method composes. A file just read may be read again."""
    editor = page.locator(".monaco-editor .view-lines").first
    browser = page.context.new_cdp_session(page)

    def typed() -> bool:
        page.keyboard.press("Control+A")
        page.keyboard.type(plain)
        browser.send("Input.imeSetComposition", {"text": chinese[:1], "selectionStart": 1, "selectionEnd": 1})
        browser.send("Input.insertText", {"text": chinese})
        page.wait_for_timeout(1000)
        return editor.inner_text().replace("\xa0", " ").strip() == plain + chinese

    wait_for(typed, 30, "the text in the editor")


def type_in_terminal(page: Page, command: str) -> None:
    """Open a new terminal and type a command."""
    terminals = page.locator(".terminal-wrapper .xterm-screen")
    before = terminals.count()
    press_until(page, "Control+Shift+Backquote", lambda: terminals.count() > before, "a new terminal")
    expect(page.locator(".xterm-helper-textarea:focus")).to_have_count(1, timeout=20_000)
    page.wait_for_timeout(1500)  # until its shell has started
    page.keyboard.type(f"{command}\n")


def test_a_file_is_edited_and_saved_on_the_nas(hub: Installation, page: Page, home: Path) -> None:
    owner = home.stat().st_uid
    (home / "note.txt").write_text("old\n")
    os.chown(home / "note.txt", owner, owner)
    open_vscode(page, hub)
    open_file(page, "note.txt")
    type_in_editor(page, "from VS Code: ", "你好，世界")
    saved = "from VS Code: 你好，世界"
    # VS Code also saves by itself, a half-typed text too.
    press_until(page, "Control+S", lambda: _text(home / "note.txt") == saved, "the text on the NAS")
    assert (home / "note.txt").stat().st_uid == owner != 0


def test_its_terminal_is_alices_and_has_the_servers_python(hub: Installation, page: Page, home: Path) -> None:
    open_vscode(page, hub)
    # VS Code marks each command in what a group prints, so that none is used here.
    asked = ("whoami", "pwd", "command -v python", "echo $LANG")
    type_in_terminal(page, "; ".join(f"{one} >>seen.txt" for one in asked))
    wait_for(lambda: _text(home / "seen.txt").count("\n") == len(asked), 30, "the commands' answers")
    assert _text(home / "seen.txt").split() == ["alice", "/mnt/user/alice", "/opt/venv/bin/python", "en_US.UTF-8"]
    assert (home / "seen.txt").stat().st_uid == home.stat().st_uid != 0


def test_a_python_file_is_run_by_its_button(hub: Installation, page: Page, home: Path) -> None:
    (home / "it's.py").write_text(PROGRAM)
    open_vscode(page, hub)
    open_file(page, "it's.py")
    page.get_by_role("button", name="Run Python File in Terminal").click(timeout=30_000)
    wait_for(lambda: _text(home / "ran.txt") == "6 /opt/venv", 40, "what the file writes")


def test_previews_and_search_work(hub: Installation, page: Page, home: Path) -> None:
    (home / "read me.md").write_text("# Herbarium\n\n| a | b |\n|---|---|\n| 1 | 二 |\n")
    open_vscode(page, hub)
    open_file(page, "read me.md")
    frames = page.locator("iframe.webview.ready")
    press_until(page, "Control+Shift+V", lambda: frames.count() > 0, "a preview")
    preview = page.frame_locator("iframe.webview.ready").frame_locator("#active-frame")
    expect(preview.locator("h1")).to_have_text("Herbarium", timeout=30_000)
    expect(preview.locator("td").nth(1)).to_have_text("二")
    page.keyboard.press("Control+Shift+F")
    page.get_by_role("textbox", name=re.compile("^Search")).fill("二")
    expect(page.locator(".search-view .filematch")).to_contain_text("read me.md", timeout=30_000)


def test_two_servers_of_one_person_work_at_once(hub: Installation, page: Page, home: Path) -> None:
    """Both have the same home, and so the same settings; the same folder is open in both."""
    start(hub, "second")
    other = page.context.new_page()
    try:
        open_vscode(page, hub)
        open_vscode(other, hub, "alice/second")
        for number, one in enumerate((page, other, page)):
            one.bring_to_front()
            type_in_terminal(one, f"hostname >from{number}")
            wait_for(lambda name=f"from{number}": _text(home / name), 30, f"answer {number}")
        first, second, again = (_text(home / f"from{number}") for number in range(3))
        assert first == again != second
        assert page.locator(".notifications-toasts .severity-error").count() == 0
        hub.stop_server("alice", "second")
        type_in_terminal(page, "echo still here >still")
        wait_for(lambda: _text(home / "still"), 30, "the first one, after the second was stopped")
    finally:
        other.close()


def test_with_a_full_home_it_starts_with_its_settings(hub: Installation, page: Page, home: Path) -> None:
    hub.stop_server("alice")
    owner = home.stat().st_uid
    with full_home(home, owner):
        os.truncate(home / "big", (home / "big").stat().st_size - 16 * 1024)
        settings = home / ".local/share/code-server/User"
        settings.mkdir(parents=True)
        (settings / "settings.json").write_text('{"workbench.colorTheme": "Default High Contrast"}')
        for path in home.rglob("*"):
            os.chown(path, owner, owner)
        start(hub)
        open_vscode(page, hub)
        expect(page.locator(".monaco-workbench.hc-black")).to_be_visible(timeout=20_000)
        type_in_terminal(page, "echo $((6 * 7)) >/tmp/seen")
        [container] = hub.containers()
        wait_for(lambda: hub.podman("exec", container, "cat", "/tmp/seen") == "42", 30, "the terminal's answer")
        hub.stop_server("alice")
    start(hub)


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else ""
