"""Look into a started container: a GPU counts as allotted only when it can be seen there.

Guarantees: nothing in the container is followed or run; what is missing is named.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable
from pathlib import Path

from mlabhub.engine.cdi import Expected, cdi_name, expected_of
from mlabhub.errors import LaunchRefused
from mlabhub.messages import N_, Message

PATIENCE_S = 2.0
"""For how long a started container may still be becoming what it will be: engines name a process before it is that of
the image, and until then it has the runtime's variables and files."""
LOOK_AGAIN_S = 0.05


class GpuNotThere(LaunchRefused):
    """The engine started the server without a GPU that it should have."""

    code = "gpu_not_there"


def check_gpus(pid: int, uuids: Iterable[str], instance: str) -> None:
    """Raise `GpuNotThere` unless the process sees every GPU as its CDI specification describes it.

    Blocks its thread for `PATIENCE_S` before it says that one is missing.
    """
    names = {cdi_name(uuid, instance): uuid for uuid in uuids}
    expected = expected_of(names)
    until = time.monotonic() + PATIENCE_S
    for name, uuid in names.items():
        missing = missing_by(until, pid, expected[name]) if name in expected else [name]
        if missing:
            raise GpuNotThere(
                Message.of(
                    N_(
                        "The server started without its GPU {gpu} ({missing} is missing), so it was stopped. "
                        "Tell an administrator: `mlabhub doctor` says more."
                    ),
                    gpu=uuid,
                    missing=", ".join(missing[:3]),
                )
            )


def missing_by(until: float, pid: int, expected: Expected) -> list[str]:
    """Return what is still missing at a time of the monotonic clock."""
    while (missing := missing_in(pid, expected)) and time.monotonic() < until:
        time.sleep(LOOK_AGAIN_S)
    return missing


def missing_in(pid: int, expected: Expected) -> list[str]:
    """Return which device nodes and variables the process's container lacks."""
    try:
        environment = set(Path(f"/proc/{pid}/environ").read_bytes().decode("utf-8", "replace").split("\0"))
        root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY)
    except OSError:
        return ["its process"]
    try:
        missing = [path for path in expected.nodes if not _is_device(root, path)]
    finally:
        os.close(root)
    return missing + [entry for entry in expected.environment if entry not in environment]


def _is_device(root: int, path: str) -> bool:
    """Return whether there is a character device, without following a link that the image may have put there."""
    folder = root
    *parents, name = Path(path).parts[1:]
    opened = []
    try:
        for parent in parents:
            folder = os.open(parent, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            opened.append(folder)
        return stat.S_ISCHR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError:
        return False
    finally:
        for descriptor in opened:
            os.close(descriptor)
