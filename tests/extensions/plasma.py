"""A real desktop in a container, its socket within reach of this machine, a terminal over all of its screen."""

from __future__ import annotations

import time
from pathlib import Path

import mlabhub_proxies
from mlabhub.images.program import Program

IMAGE = "localhost/mlabhub/desktop:latest"
PYTHON = "/opt/venv/bin/python"
NAME = "mlabhub-test-plasma"
IN_SESSION = """\
session=/proc/$(pgrep -o plasmashell)/environ
for line in $(tr '\\0' '\\n' <$session | grep -E '^(DISPLAY|XAUTHORITY|DBUS_SESSION_BUS_ADDRESS)=')
do export "$line"; done
exec "$@"
"""
TERMINAL = ("konsole", "--fullscreen", "--hide-menubar", "--workdir", "/shared", "-e", "bash", "--rcfile", "/shared/rc")
RC = """stty lnext undef; bind -r '\\C-v'"""
"""Ctrl+V quotes the next key in a terminal, else."""
KLIPPER = ("dbus-send", "--print-reply=literal", "--dest=org.kde.klipper", "/klipper")


class Plasma:
    """The session as the product starts it, by the very program that starts it."""

    def __init__(self, program: Program, folder: Path) -> None:
        """Start it and wait until its terminal takes commands. ``folder`` is ``/shared`` in it."""
        self.program = program
        self.folder = folder
        self.socket = folder / "vnc" / "socket"
        package = Path(mlabhub_proxies.__file__).parent
        (folder / "rc").write_text(RC)
        program.ask("rm", "--force", NAME)
        program.run(
            *("run", "--detach", "--init", "--network=none", f"--name={NAME}", "--entrypoint", PYTHON),
            *(f"--volume={folder}:/shared", f"--volume={package}:/package:ro"),
            *("--env=HOME=/root", "--env=LANG=zh_CN.UTF-8", "--env=TZ=Asia/Shanghai", IMAGE),
            *("-I", "/package/desktop/session.py", "/usr/bin/Xtigervnc", "/shared/vnc/socket"),
        )
        self._wait_for("plasmashell")
        self.program.run("exec", "--detach", NAME, "sh", "-c", IN_SESSION, "sh", *TERMINAL)
        self._wait_for("bash")

    def ask(self, *command: str) -> str:
        """Run a command in the session and return what it printed."""
        return self.program.ask("exec", NAME, "sh", "-c", IN_SESSION, "sh", *command) or ""

    def size(self) -> tuple[int, int]:
        """Return the size of the screen."""
        width, _, height = self.ask("xrandr").split("current ")[1].split(",")[0].split()
        return int(width), int(height)

    def clipboard(self) -> str:
        """Return what Klipper holds."""
        return self.ask(*KLIPPER, "org.kde.klipper.klipper.getClipboardContents").removesuffix("\n").lstrip(" ")

    def copy(self, text: str) -> None:
        """Copy a text, as a program of the desktop does."""
        self.ask(*KLIPPER, "org.kde.klipper.klipper.setClipboardContents", f"string:{text}")

    def written(self, name: str, seconds: float = 5) -> str:
        """Wait for a file in the folder and return its text."""
        file = self.folder / name
        deadline = time.monotonic() + seconds
        while not file.exists() or not file.read_text():
            assert time.monotonic() < deadline, f"{name} was not written"
            time.sleep(0.05)
        return file.read_text()

    def close(self) -> None:
        """Remove it."""
        self.program.ask("rm", "--force", "--time=0", NAME)

    def _terminal(self) -> tuple[str, ...]:
        return (
            "konsole",
            "--fullscreen",
            "--hide-menubar",
            "--workdir",
            "/shared",
            "-e",
            "bash",
            "--norc",
            "--noprofile",
        )

    def _wait_for(self, process: str) -> None:
        deadline = time.monotonic() + 60
        while not self.program.ask("exec", NAME, "pgrep", "-x", process):
            assert time.monotonic() < deadline, self.program.ask("logs", NAME)
            time.sleep(0.2)
