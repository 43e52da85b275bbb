"""What is pure in JupyterLab's extension, by Node's own test runner; and that what was built is of these sources."""

from __future__ import annotations

import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
NODE = CHECKOUT / ".node"


def test_pure_parts() -> None:
    done = subprocess.run(
        [NODE / "bin/node", "--test", "lib/tests/"], cwd=NODE / "lab", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_built_is_of_these_sources() -> None:
    done = subprocess.run(
        ["sha256sum", "--check", "--quiet", "labextension/sources.sha256"],
        cwd=CHECKOUT / "extensions/lab", capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
