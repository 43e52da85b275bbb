"""TensorBoard among the tools.

Guarantees: it is started with a share of the memory that this server may use, and without a port wherever others could
reach that.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mlabhub_proxies.tensorboard.board import KEY, LINKS, Board
from mlabhub_proxies.tensorboard.folders import FolderRefused
from mlabhub_proxies.tools import Environ, Launch, Program, Tool
from mlabhub_proxies.words import N_

if TYPE_CHECKING:
    from mlabhub_proxies.surroundings import Surroundings

OWN_NETWORK = "MLABHUB_OWN_NETWORK"
"""Set where the server's network is its own, as in a container: then nobody else can reach a port in it."""
PAGE = "mlabhub/log-folders"
MEMORY_FILES = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
SHARE = 0.25
SHARE_ALONE = 0.6
LEAST_MIB, MOST_MIB = 256, 4096


def find(environ: Environ) -> str | None:
    """Return the Python that TensorBoard can be imported in, which is this one."""
    return sys.executable if find_spec("tensorboard") else None


def is_alone(environ: Environ) -> bool:
    """Return whether this server is a TensorBoard and nothing else."""
    return environ.get("MLABHUB_KIND") == "tensorboard"


def make_command(launch: Launch) -> list[str]:
    """Return the command: TensorBoard, on a socket, for the folder of links that the list keeps."""
    links = Path(launch.folder).with_name(LINKS)
    alone = is_alone(launch.environ)
    return [
        *(launch.program, "-m", "mlabhub_proxies.tensorboard.serve"),
        *("--socket", launch.socket, "--folders", str(links)),
        *("--memory-mib", str(memory_share(memory_bytes(), SHARE_ALONE if alone else SHARE))),
        *(["--own-network"] if launch.environ.get(OWN_NETWORK) == "1" else []),
    ]


def make_environment(launch: Launch) -> Environ:
    """Keep what lies in the server's folder, such as a ``random.py``, from being taken for a module of Python's own."""
    return {"PYTHONSAFEPATH": "1"}


def memory_bytes() -> int:
    """Return how much memory this server may use: its own limit, or what the machine has."""
    limits = [1024 * int(Path("/proc/meminfo").read_text().split()[1])]
    for file in MEMORY_FILES:
        try:
            limits.append(int(file.read_text()))
        except (OSError, ValueError):
            continue  # No such file, or "max".
    return min(limits)


def memory_share(memory: int, share: float) -> int:
    """Return how many MiB each process of TensorBoard may take of so many bytes."""
    return max(LEAST_MIB, min(MOST_MIB, int(share * memory / 1024**2)))


async def lead_to_list(surroundings: Surroundings) -> str | None:
    """Lead a person to the list of folders while it is empty: TensorBoard would show nothing but its own help."""
    board = surroundings.kept[KEY]
    assert isinstance(board, Board)
    board.use.note()
    try:
        return None if (await board.folders()).folders else surroundings.url(PAGE)
    except FolderRefused:
        return surroundings.url(PAGE)


TOOL = Tool(
    slug="tensorboard",
    title=N_("TensorBoard"),
    sentence=N_("Curves, images and graphs of training runs, from the log folders you choose."),
    address="tensorboard/",
    find=find,
    program=Program(
        command=make_command,
        environment=make_environment,
        hint=N_("Its log says which folder it could not read. Choose other log folders, then try again."),
        remedy=(PAGE, N_("Log folders")),
        ready_path="/data/environment",
        typical_seconds=3,
        before=lead_to_list,
    ),
)
