"""The desktop's notification: what its bus is asked for, when, and when it counts as shown."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlabhub_agent.popup import WHERE, Popup
from mlabhub_agent.standing import Standing
from mlabhub_proxies.surroundings import SETTING
from tests.extensions.server import OURS, JupyterServer, Start
from tests.extensions.test_agent import Receiver, environ_of
from tests.extensions.test_person import connect
from tests.extensions.test_standing import receiver, standing_of, status, wait_for

__all__ = ["receiver"]

BUSCTL = """#!{python}
import json, sys
with open({calls!r}, "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
if "deaf" in sys.argv[1]:
    sys.exit(1)
print("u 7" if "Notify" in sys.argv else "")
"""
ADDRESS = "unix:path=/tmp/dbus-here"
TITLE = {"en": "Idle", "zh_CN": "空闲"}


class Desktop:
    """A desktop whose bus writes down what it is asked for."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.calls_file = folder / "calls"
        (folder / "busctl").write_text(BUSCTL.format(python=sys.executable, calls=str(self.calls_file)))
        (folder / "busctl").chmod(0o755)
        (folder / "bus").write_text(f"{ADDRESS}\n")
        self.running = SimpleNamespace(folder=folder, onlookers=0)
        self.standing, self.seen = Standing(), list[Any]()
        settings: dict[str, Any] = {SETTING: SimpleNamespace(running={"desktop": self.running})}
        self.popup = Popup(settings, self.standing, self.seen.append)

    def warn(self, at: float | None, body: str = "It ends at 5 < 6.") -> None:
        """Let the service say that a warning is in force."""
        warning = None if at is None else {"at": at, "title": TITLE, "body": {"en": body, "zh_CN": body}}
        self.standing.take({"now": 0.0, "verdict": "warned", "warning": warning})

    async def look(self) -> None:
        """Look, to the end."""
        self.popup.look()
        assert self.popup._task is not None
        await self.popup._task

    def calls(self) -> list[list[str]]:
        """Return what the bus was asked for."""
        lines = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        return [json.loads(line) for line in lines]


@pytest.fixture
def desktop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desktop:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("LANG", "C.UTF-8")
    return Desktop(tmp_path)


async def test_a_warning_stands_on_the_desktop_until_it_holds_no_more(desktop: Desktop) -> None:
    await desktop.look()
    assert desktop.calls() == []
    desktop.warn(10.0)
    await desktop.look()
    await desktop.look()
    [call] = desktop.calls()
    assert call[0] == f"--address={ADDRESS}"
    name, replaced, _, title, text = call[call.index("Notify") + 2 :][:5]
    assert (name, replaced, title) == ("mlabhub", "0", "Idle")
    assert text == f"It ends at 5 &lt; 6. {WHERE['en']}"
    desktop.warn(20.0)
    await desktop.look()
    again = desktop.calls()[-1]
    assert again[again.index("Notify") + 3] == "7", "it stands in the place of the first"
    desktop.warn(None)
    await desktop.look()
    await desktop.look()
    assert len(desktop.calls()) == 3
    assert desktop.calls()[-1][-3:] == ["CloseNotification", "u", "7"]


async def test_it_counts_as_shown_once_somebody_is_connected(desktop: Desktop) -> None:
    desktop.warn(10.0)
    await desktop.look()
    assert desktop.seen == []
    desktop.running.onlookers = 1
    await desktop.look()
    assert desktop.seen == [10.0]
    assert len(desktop.calls()) == 1


async def test_what_no_desktop_takes_is_not_shown(desktop: Desktop) -> None:
    desktop.running.onlookers = 1
    (desktop.folder / "bus").write_text("unix:path=/deaf\n")
    desktop.warn(10.0)
    await desktop.look()
    (desktop.folder / "bus").unlink()
    await desktop.look()
    assert (len(desktop.calls()), desktop.seen) == (1, [])
    (desktop.folder / "bus").write_text(f"{ADDRESS}\n")
    await desktop.look()
    assert desktop.seen == [10.0]
    (desktop.folder / "busctl").unlink()
    desktop.warn(20.0)
    await desktop.look()
    assert desktop.seen == [10.0]


async def test_in_chinese(desktop: Desktop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    desktop.warn(10.0)
    await desktop.look()
    [call] = desktop.calls()
    assert "空闲" in call
    assert f"It ends at 5 &lt; 6.{WHERE['zh_CN']}" in call, "no blank between two sentences"


def start_with_desktop(start: Start, receiver: Receiver, folder: Path) -> JupyterServer:
    """Start a server whose desktop is a program that echoes."""
    Desktop(folder)
    return start(
        environ={**environ_of(receiver), "PATH": f"{folder}:{os.environ['PATH']}"},
        extensions={**OURS, "mlabhub_agent": True, "tests.extensions.hurried_agent": True},
        offer={"desktop": {"does": ["serve"], "more": {"raw": True, "route": "desktop-vnc"}}},
    )


def test_a_browser_that_connects_makes_it_shown(start: Start, receiver: Receiver, tmp_path: Path) -> None:
    """The whole way, but for Plasma: the service warns, the desktop takes it, somebody connects, the service hears."""
    server = start_with_desktop(start, receiver, tmp_path)
    with server.client() as client:
        client.post("mlabhub/api/tools/desktop", json={"action": "start"}).raise_for_status()
    server.wait_for("desktop", "ready")
    [socket] = server.runtime.glob("**/desktop*/socket")
    socket.with_name("bus").write_text(ADDRESS)
    at = wait_for(lambda: standing_of(server, "warned"))["warning"]["at"]
    line = connect(server, "desktop-vnc/")
    wait_for(lambda: [body for _, body in receiver.calls if body.get("seen") == at])
    assert len((tmp_path / "calls").read_text().splitlines()) == 1
    line.close()


def test_nobody_who_left_looks_on(start: Start, receiver: Receiver, tmp_path: Path) -> None:
    receiver.answers[""] = (200, {"taken": 1, "dropped": 0, "status": status(warning=None)})
    server = start_with_desktop(start, receiver, tmp_path)
    for _ in range(2):
        line = connect(server, "desktop-vnc/")
        line.send("echo")
        assert line.recv() == "echo"
        line.close()
    [socket] = server.runtime.glob("**/desktop*/socket")
    socket.with_name("bus").write_text(ADDRESS)
    receiver.answers[""] = (200, {"taken": 1, "dropped": 0, "status": status()})
    wait_for(lambda: (tmp_path / "calls").exists())
    began = len(receiver.calls)
    wait_for(lambda: len(receiver.calls) > began + 3)
    assert not [body for _, body in receiver.calls if "seen" in body]
