"""The desktop's process with small programs in place of X and Plasma: what it starts, and what is left when it ends."""

from __future__ import annotations

import os
import resource
import signal
import struct
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from mlabhub_proxies.desktop import session
from mlabhub_proxies.desktop.tool import SESSION, TOOL, make_command
from mlabhub_proxies.tools import Launch

X_SERVER = """#!{python}
import os, socket, sys, time
arguments = sys.argv[1:]
if os.environ.get("TEST_X") == "dies":
    sys.exit("no screens found")
open("x.pid", "w").write(str(os.getpid()))
socket.socket(socket.AF_UNIX).bind(arguments[arguments.index("-rfbunixpath") + 1])
os.write(int(arguments[arguments.index("-displayfd") + 1]), b"7\\n")
time.sleep(0.3 if os.environ.get("TEST_X") == "ends" else 60)
"""
BUS = "unix:path=/tmp/dbus-here"
SESSION_BUS = f"""#!/bin/sh
shift
DBUS_SESSION_BUS_ADDRESS={BUS} exec "$@"
"""
PLASMA = """#!/bin/sh
echo $$ >session.pid
printf '%s\\n' "$DISPLAY" "$DBUS_SESSION_BUS_ADDRESS" >session.part
mv session.part session
exec sleep "${TEST_SESSION:-60}"
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with all that a desktop needs, and a home beside it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (tmp_path / "home").mkdir()
    x_server = X_SERVER.format(python=sys.executable)
    texts = {"Xtigervnc": x_server, "dbus-run-session": SESSION_BUS, "startplasma-x11": PLASMA}
    for name, text in texts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def start(programs: Path, **variables: str) -> subprocess.Popen[str]:
    """Start a desktop."""
    home = programs.parent / "home"
    environment = {"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(home), **variables}
    launch = Launch(str(programs / "Xtigervnc"), str(programs.parent / "s" / "socket"), "", "/", environment)
    return subprocess.Popen(
        make_command(launch), env=environment, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def is_alive(file: Path) -> bool:
    """Return whether the process still runs whose number is in a file."""
    try:
        os.kill(int(file.read_text()), 0)
    except ProcessLookupError:
        return False
    return True


def nothing_is_left(programs: Path) -> bool:
    """Return whether the processes, the socket and the cookie are gone."""
    home = programs.parent / "home"
    return not (is_alive(home / "x.pid") or is_alive(home / "session.pid") or list((programs.parent / "s").iterdir()))


@pytest.mark.parametrize("missing", [None, "Xtigervnc", "startplasma-x11", "dbus-run-session"])
def test_it_is_offered_where_all_of_it_is(programs: Path, missing: str | None) -> None:
    if missing:
        (programs / missing).unlink()
    found = TOOL.find({"PATH": str(programs)})
    assert found == (None if missing else str(programs / "Xtigervnc"))


def test_logging_out_ends_it_without_a_fault(programs: Path) -> None:
    desktop = start(programs, TEST_SESSION="0.3")
    said, _ = desktop.communicate(timeout=10)
    assert desktop.returncode == 0, said
    assert (programs.parent / "home" / "session").read_text() == f":7\n{BUS}\n"
    assert nothing_is_left(programs)


def test_it_ends_with_the_x_server_and_says_so(programs: Path) -> None:
    desktop = start(programs, TEST_X="ends")
    said, _ = desktop.communicate(timeout=10)
    assert (desktop.returncode, "The X server ended with status 0" in said) == (1, True)
    assert nothing_is_left(programs)


def test_an_x_server_that_dies_at_once_is_said(programs: Path) -> None:
    desktop = start(programs, TEST_X="dies")
    said, _ = desktop.communicate(timeout=10)
    assert desktop.returncode == 1
    assert said.splitlines() == ["no screens found", "mlabhub desktop: The X server ended with status 1; see above."]


def test_a_signal_ends_all_of_it(programs: Path) -> None:
    desktop = start(programs)
    while not (programs.parent / "home" / "session").exists():
        time.sleep(0.02)
    folder = programs.parent / "s"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert sorted(file.name for file in folder.iterdir()) == ["Xauthority", "bus", "socket"]
    assert (folder / "bus").read_text() == f"{BUS}\n"
    assert (folder / "bus").stat().st_mode & 0o777 == 0o600
    desktop.send_signal(signal.SIGTERM)
    desktop.communicate(timeout=10)
    assert desktop.returncode == 128 + signal.SIGTERM
    assert nothing_is_left(programs)


def test_nothing_of_the_home_is_imported(programs: Path) -> None:
    (programs.parent / "home" / "secrets.py").write_text("raise SystemExit('mine')")
    desktop = start(programs, TEST_SESSION="0", PYTHONPATH=str(programs.parent / "home"))
    assert "mine" not in desktop.communicate(timeout=10)[0]
    assert desktop.returncode == 0


def test_the_cookie_is_good_for_any_display_and_its_owner_alone(tmp_path: Path) -> None:
    file = session.make_cookie_file(tmp_path)
    first = file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o600
    family, address, number, kind = struct.unpack(">HHHH", first[:8])
    assert (family, address, number) == (0xFFFF, 0, 0)
    assert first[8 : 8 + kind] == b"MIT-MAGIC-COOKIE-1"
    assert len(first) == 8 + kind + 2 + 16
    assert session.make_cookie_file(tmp_path).read_bytes() != first


def test_nothing_listens_on_the_network() -> None:
    command = session.make_x_command("Xtigervnc", Path("/s/socket"), Path("/s/Xauthority"), 4, "alice")
    pairs = set(pairwise(command))
    for pair in (("-nolisten", "tcp"), ("-rfbport", "-1"), ("-rfbunixmode", "0600"), ("-auth", "/s/Xauthority")):
        assert pair in pairs


def test_a_home_that_takes_nothing_is_read_below_what_is_kept_elsewhere(tmp_path: Path) -> None:
    """Settings of the home stay in force; what is written goes elsewhere."""
    environ = {"HOME": "/home/alice", "XDG_DATA_DIRS": "/usr/share", "SESSION_MANAGER": "another desktop's"}
    made = session.make_environment(environ, ":3", tmp_path / "Xauthority", tmp_path / "spare")
    assert made["XDG_CONFIG_DIRS"] == f"/home/alice/.config:{session.SETTINGS}:/etc/xdg"
    assert made["XDG_DATA_DIRS"] == f"/home/alice/.local/share:{session.SETTINGS}/data:/usr/share"
    assert made["XDG_CONFIG_HOME"] == str(tmp_path / "spare" / "config")
    assert made["KDE_HOME_READONLY"] == "1"
    assert "SESSION_MANAGER" not in made
    usual = session.make_environment(environ, ":3", tmp_path / "Xauthority", None)
    assert usual["XDG_CONFIG_DIRS"] == f"{session.SETTINGS}:/etc/xdg"
    assert {"KDE_HOME_READONLY", "XDG_CONFIG_HOME"}.isdisjoint(usual)


def test_a_file_in_place_of_the_home_takes_nothing(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    assert session.find_spare(tmp_path, tmp_path) is None
    spare = session.find_spare(tmp_path / "home", tmp_path)
    assert spare is not None
    assert sorted(folder.name for folder in spare.iterdir()) == ["cache", "config", "data", "firefox", "state"]
    assert list(tmp_path.glob(".mlabhub*")) == []


def test_a_home_with_room_for_a_part_takes_nothing(tmp_path: Path) -> None:
    assert session.can_save(tmp_path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (session.ENOUGH_BYTES // 2, resource.RLIM_INFINITY))
    try:
        assert not session.can_save(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert list(tmp_path.iterdir()) == []


def test_settings_are_where_the_session_looks() -> None:
    names = {str(file.relative_to(session.SETTINGS)) for file in session.SETTINGS.rglob("*") if file.is_file()}
    assert {"klipperrc", "kwalletrc", "kscreenlockerrc", "fcitx5/profile", "autostart/mlabhub-fcitx5.desktop"} <= names
    assert SESSION.is_file()
