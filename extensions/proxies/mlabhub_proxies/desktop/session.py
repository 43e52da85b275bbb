"""The desktop's process: an X server that speaks VNC on a unix socket, and a Plasma session on it, until either ends.

Run as ``python -I session.py X-SERVER SOCKET``, by the server's user, in a container or not.

Guarantees:

- Nobody but the account reaches it: no TCP, a socket of mode 0600 in a folder of mode 0700, and X asks for a cookie
  that only this folder holds. VNC itself asks for no password for that reason alone.
- *Log out* ends it with status 0. A signal, the end of the X server and the end of the session all end the rest.
- The settings beside this module are defaults below the user's own, which they may change as on any desktop.
- A home that is full or can only be read keeps no desktop from starting: it is read, and what must be written is kept
  elsewhere until the desktop ends.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

SETTINGS = Path(__file__).resolve().parent / "settings"
SIZE = "1280x800"
"""Until the first browser says how large its window is."""
MOST_CUT_TEXT = 4 * 2**20
ENOUGH_BYTES = 64 * 1024
GRACE_SECONDS = 3
INSTEAD_OF_HOME = "instead-of-home"
"""A folder beside the socket, made if the home takes nothing."""
BUS = "bus"
"""A file beside the socket, for the account alone: where the session's D-Bus is, for notifications (extensions/agent).
"""
SESSION = """umask 077; printf '%s\\n' "$DBUS_SESSION_BUS_ADDRESS" >"$0"; exec startplasma-x11"""
FOREIGN = ("DBUS_SESSION_BUS_ADDRESS", "DESKTOP_SESSION", "SESSION_MANAGER", "WAYLAND_DISPLAY", "XDG_SESSION_ID")
"""What a process that was started in somebody's own desktop says of that one."""


class SessionError(Exception):
    """The desktop cannot be started; the text says why."""


def make_cookie_file(folder: Path) -> Path:
    """Write a new cookie that is good for any display's number: the number is not known yet."""
    kind, cookie = b"MIT-MAGIC-COOKIE-1", secrets.token_bytes(16)
    wild, address, number = struct.pack(">H", 0xFFFF), b"", b""
    fields = (address, number, kind, cookie)
    file = folder / "Xauthority"
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(wild + b"".join(struct.pack(">H", len(field)) + field for field in fields))
    return file


def make_x_command(program: str, socket: Path, cookie_file: Path, display_fd: int, title: str) -> list[str]:
    """Return the X server's arguments: a free display, VNC on the socket, nothing on the network."""
    return [
        program, "-displayfd", str(display_fd), "-auth", str(cookie_file), "-nolisten", "tcp", "-noreset",
        "-rfbunixpath", str(socket), "-rfbunixmode", "0600", "-rfbport", "-1", "-localhost",
        "-SecurityTypes", "None", "-AlwaysShared", "-AcceptSetDesktopSize", "-desktop", title,
        "-geometry", SIZE, "-depth", "24", "-dpi", "96", "-s", "0", "-MaxCutText", str(MOST_CUT_TEXT),
        # What is marked with the mouse stays inside; what is copied goes both ways.
        "-SendPrimary=0", "-SetPrimary=0",
    ]  # fmt: skip


def make_environment(environ: Mapping[str, str], display: str, cookie_file: Path, spare: Path | None) -> dict[str, str]:
    """Return the session's environment. ``spare`` takes what the home cannot."""
    environment = {name: value for name, value in environ.items() if name not in FOREIGN}
    home = environ.get("HOME", "/")
    config = [str(SETTINGS), environ.get("XDG_CONFIG_DIRS") or "/etc/xdg"]
    data = [str(SETTINGS / "data"), environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"]
    if spare is not None:
        config.insert(0, environ.get("XDG_CONFIG_HOME") or f"{home}/.config")
        data.insert(0, environ.get("XDG_DATA_HOME") or f"{home}/.local/share")
        for name in ("CACHE", "CONFIG", "DATA", "STATE"):
            environment[f"XDG_{name}_HOME"] = str(spare / name.lower())
        environment["KDE_HOME_READONLY"] = "1"  # else Plasma says that it cannot write there, and does not start
        environment["XRE_PROFILE_PATH"] = str(spare / "firefox")
    environment.update(
        DISPLAY=display,
        XAUTHORITY=str(cookie_file),
        XDG_CONFIG_DIRS=":".join(config),
        XDG_DATA_DIRS=":".join(data),
        XDG_SESSION_TYPE="x11",
        XDG_SESSION_DESKTOP="KDE",
        QT_LOGGING_RULES="kf.solid.backends.udisks2=false",  # a line for each program: there are no disks to mount
    )
    if shutil.which("fcitx5", path=environ.get("PATH")):
        environment.update(GTK_IM_MODULE="fcitx", QT_IM_MODULE="fcitx", XMODIFIERS="@im=fcitx")
    return environment


def can_save(folder: Path) -> bool:
    """Try to save a little in a folder; nothing of it stays, even if this is killed on the way."""
    file = folder / f".mlabhub-trial-{os.getpid()}"
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            file.unlink()
            written = os.write(descriptor, bytes(ENOUGH_BYTES))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        return False
    return written == ENOUGH_BYTES


def find_spare(home: Path, folder: Path) -> Path | None:
    """Return where to keep what must be written if the home takes nothing, else None."""
    if can_save(home):
        return None
    spare = folder / INSTEAD_OF_HOME
    for name in ("cache", "config", "data", "firefox", "state"):
        (spare / name).mkdir(parents=True, exist_ok=True, mode=0o700)
    print(f"Nothing can be saved in {home}: the desktop's settings are kept until it ends.", flush=True)
    return spare


def name_folders(environment: Mapping[str, str]) -> None:
    """Make the home's usual folders, named in the desktop's language, if there are none yet."""
    program = shutil.which("xdg-user-dirs-update", path=environment.get("PATH"))
    if program:
        subprocess.run([program], env=dict(environment), check=False, stdin=subprocess.DEVNULL)


def start_x(program: str, socket: Path) -> tuple[subprocess.Popen[bytes], str, Path]:
    """Start the X server; return it, its display, and the file with the cookie. Raises `SessionError`."""
    socket.unlink(missing_ok=True)
    cookie_file = make_cookie_file(socket.parent)
    reading, writing = os.pipe()
    title = os.environ.get("JUPYTERHUB_SERVER_NAME") or os.environ.get("JUPYTERHUB_USER") or "mlabhub"
    command = make_x_command(program, socket, cookie_file, writing, title)
    server = subprocess.Popen(command, pass_fds=[writing], stdin=subprocess.DEVNULL)
    os.close(writing)
    with os.fdopen(reading) as answer:
        number = answer.readline().strip()
    if not number:
        raise SessionError(f"The X server ended with status {server.wait()}; see above.")
    return server, f":{number}", cookie_file


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process, by force if it takes its time."""
    process.terminate()
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run(x_server: str, socket: Path) -> int:
    """Run a desktop to its end and return its exit status. Raises `SessionError`."""
    socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    socket.parent.chmod(0o700)
    server, display, cookie_file = start_x(x_server, socket)
    try:
        home = Path(os.environ.get("HOME", "/"))
        environment = make_environment(os.environ, display, cookie_file, find_spare(home, socket.parent))
        name_folders(environment)
        command = ["dbus-run-session", "--", "sh", "-c", SESSION, str(socket.with_name(BUS))]
        session = subprocess.Popen(command, env=environment, cwd=home, stdin=subprocess.DEVNULL)
        try:
            status = wait_for_either(server, session)
        finally:
            end(session)
    finally:
        end(server)
        socket.unlink(missing_ok=True)
        cookie_file.unlink(missing_ok=True)
        socket.with_name(BUS).unlink(missing_ok=True)
    return status


def wait_for_either(server: subprocess.Popen[bytes], session: subprocess.Popen[bytes]) -> int:
    """Return the session's exit status when it has ended. Raises `SessionError` if the X server ends before it."""
    while True:
        ended, status = os.wait()
        if ended == session.pid:
            session.returncode = os.waitstatus_to_exitcode(status)
            return session.returncode
        if ended == server.pid:
            server.returncode = os.waitstatus_to_exitcode(status)
            raise SessionError(f"The X server ended with status {server.returncode}; see above.")


def leave(signal_number: int, _: FrameType | None) -> None:
    """End everything when told to."""
    sys.exit(128 + signal_number)


def main(arguments: list[str]) -> int:
    """Run a desktop with the X server and on the socket that are named."""
    if len(arguments) != 2:
        print("usage: session.py X-SERVER SOCKET", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGHUP, leave)
    try:
        return run(arguments[0], Path(arguments[1]))
    except (SessionError, OSError) as error:
        print(f"mlabhub desktop: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
