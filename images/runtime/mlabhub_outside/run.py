"""Become a program of the image, with the image's own environment: ``run PROGRAM ARGUMENT...``."""

from __future__ import annotations

import os
import sys

from mlabhub_outside.environment import restored


def main(command: list[str]) -> None:
    """Become the program."""
    os.execvpe(command[0], command, restored(os.environ))


if __name__ == "__main__":
    main(sys.argv[1:])
