"""What an image has, as one line of JSON; for ``mlabhub image check``. Runs as nobody, and starts only its Python."""

from __future__ import annotations

import glob
import json
import os
import platform
import re
import shutil
import subprocess

from mlabhub_outside.environment import restored
from mlabhub_outside.kernels import candidates, find_python


def text(path: str) -> str:
    """Return a file's text, empty if it cannot be read."""
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def program(name: str, *places: str) -> str:
    """Return where the image has a program."""
    folders = [*os.environ.get("PATH", "").split(":"), *places, "/usr/bin", "/bin", "/usr/sbin", "/sbin"]
    return (
        shutil.which(name, path=":".join(folder for folder in folders if not folder.startswith("/opt/mlabhub"))) or ""
    )


def version_of(path: str) -> str:
    """Return what a program of the image says to ``--version``."""
    if not path:
        return ""
    try:
        environment = restored(os.environ)
        done = subprocess.run(
            [path, "--version"], env=environment, capture_output=True, text=True, timeout=20, check=True
        )
        return done.stdout.strip().splitlines()[-1]
    except (OSError, subprocess.SubprocessError, IndexError):
        return ""


def find_libc() -> str:
    """Return which libc the image has: glibc with its version if the file's name has it, or musl."""
    if glob.glob("/lib/ld-musl-*"):
        return "musl"
    machine = platform.machine()
    for path in (f"/lib/{machine}-linux-gnu/libc.so.6", "/lib64/libc.so.6", "/usr/lib64/libc.so.6"):
        try:
            with open(path, "rb") as file:
                found = re.search(rb"GNU C Library[^\n]*? version ([0-9.]+[0-9])", file.read())
        except OSError:
            continue
        return "glibc " + found[1].decode() if found else "glibc"
    return ""


def find_kernel() -> str:
    """Return the Python that notebooks run in."""
    python = find_python(restored(os.environ))
    if python is None:
        return ""
    return f"Python {python.version} at {python.path}, with " + ("its own ipykernel" if python.own else "our ipykernel")


def main() -> None:
    """Print what there is."""
    locales = "".join(glob.glob("/usr/lib/locale/*")).lower() + text("/usr/lib/locale/locale-archive").lower()
    print(
        json.dumps(
            {
                "python": next(candidates(restored(os.environ)), ""),
                "setpriv": program("setpriv"),
                "bash": program("bash"),
                "singleuser": version_of(program("jupyterhub-singleuser")),
                "lab": version_of(program("jupyter-lab")),
                "kernel": find_kernel(),
                "libc": find_libc(),
                "sudo": program("sudo"),
                "sshd": program("sshd"),
                "locale": "yes" if re.search("en_us.utf-?8", locales) else "",
                "group": "yes" if re.search(r"^mlab:", text("/etc/group"), re.MULTILINE) else "",
            }
        )
    )


if __name__ == "__main__":
    main()
