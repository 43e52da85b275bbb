"""A terminal's shell: the user's own if the image has it, with the image's own environment.

It is no login shell: those set a PATH of their own, and the image's Python would be gone. In safe mode bash reads none
of its user's files.
"""

from __future__ import annotations

import os

from mlabhub_outside.environment import restored

HINT = "Safe mode: your start-up files are not read. Mend what keeps the server from starting, then start it as usual."
FALLBACKS = ("/bin/bash", "/bin/sh", "/opt/mlabhub/bin/bash")


def choose_shell(wanted: str) -> str:
    """Return the first shell that there is."""
    return next(path for path in (wanted, *FALLBACKS) if path and os.access(path, os.X_OK))


def main() -> None:
    """Become the shell."""
    shell = choose_shell(os.environ.get("SHELL", ""))
    safe = os.environ.get("MLABHUB_SAFE") == "1"
    plain = ["--noprofile", "--norc"] if safe and shell.endswith("/bash") else []
    if safe:
        print(HINT, os.environ.get("MLABHUB_NOTES", ""), sep="\n", flush=True)
    os.execve(shell, [shell, *plain, "-i"], {**restored(os.environ), "SHELL": shell})


if __name__ == "__main__":
    main()
