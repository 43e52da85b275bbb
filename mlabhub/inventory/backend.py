"""Servers as the backend has them, whatever hub and ledger believe.

Guarantees: `Backend.servers` sees all of this installation's servers or raises `BackendUnreachable`; `Backend.remove`
keeps what was installed in a server and may be called twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from mlabhub.core.capacity import Capacity
from mlabhub.core.kubernetes import KubernetesSpec
from mlabhub.errors import Unavailable
from mlabhub.inventory.images import Images
from mlabhub.messages import N_, Message
from mlabhub.settings import Settings

NO_LOG = N_("There is no log of this server: none of it is here now, and a log ends with its server.")


class BackendUnreachable(Unavailable):
    """The backend cannot be asked; nothing is known about what runs."""

    code = "backend_unreachable"


@dataclass(frozen=True)
class BackendServer:
    """One server. ``started`` is in seconds since the epoch; ``handle`` a container's id, or a process's, or a pod's.

    ``lost`` says why nobody can tell whether it still runs: its node does not answer. ``node``, ``cpu`` and
    ``memory_gib`` are where it is and what it holds there, as far as the backend knows: empty, and 0, if not.
    Where to look for what it uses: ``container`` is its id, ``pid`` its first process on this machine, ``pod`` and
    ``namespace`` are names.
    """

    launch_id: str
    user: str
    server_name: str
    state: Literal["running", "starting", "exited"]
    started: float | None
    gpus: tuple[str, ...]
    handle: str
    node: str = ""
    lost: Message | None = None
    cpu: float = 0.0
    memory_gib: float = 0.0
    container: str = ""
    pid: int | None = None
    pod: str = ""
    namespace: str = ""


@dataclass(frozen=True)
class SavedLayer:
    """What was installed in a server on top of a catalogue image; ``newer_image``: that image is another one now."""

    user: str
    server_name: str
    image: str
    newer_image: bool


@runtime_checkable
class Watching(Protocol):
    """A backend that is told what changes, and may not have been for a while."""

    def ages(self) -> Mapping[str, float]:
        """Return how many seconds ago it was last heard of, by what is watched; infinite before the first time."""


class Backend(Protocol):
    """What the service asks of a backend. ``images`` is None where servers have none."""

    @property
    def images(self) -> Images | None: ...

    async def capacity(self) -> Capacity:
        """Return what there is. Raises an `MLabError` if it cannot be known."""

    async def servers(self) -> tuple[BackendServer, ...]:
        """Return every server of this installation, running or not. Raises `BackendUnreachable`."""

    async def lost(self, launch_id: str) -> Message | None:
        """Return why nobody can tell whether a server still runs; None if one can. Raises `BackendUnreachable`."""

    async def remove(self, server: BackendServer) -> None:
        """Stop a server, keep what was installed in it, and leave nothing else of it. Raises `BackendUnreachable`."""

    async def saved(self, user: str) -> tuple[SavedLayer, ...]:
        """Return what is kept of a user's servers. Raises `BackendUnreachable`."""

    async def reset(self, user: str, server_name: str) -> None:
        """Forget what was installed in a stopped server. Raises `BackendUnreachable`."""

    def log(self, user: str, server_name: str, *, follow: bool = False) -> AsyncIterator[bytes]:
        """Yield what a server has written, in pieces; with ``follow``, also what it writes until it ends.

        A backend may keep the log of one that has ended. Raises `NotFound` where there is none, or
        `BackendUnreachable`.
        """

    async def close(self) -> None:
        """Let go of connections; nothing is asked any more."""


def make_backend(settings: Settings, get_spec: Callable[[], KubernetesSpec] = KubernetesSpec) -> Backend:
    """Return the backend of an installation; ``get_spec`` returns ``kubernetes.yaml`` as it is in force."""
    if settings.backend == "kube":
        from mlabhub.inventory.kube.backend import KubeBackend

        return KubeBackend(settings, get_spec)
    if settings.backend == "process":
        from mlabhub.inventory.process import ProcessBackend

        return ProcessBackend(settings)
    from mlabhub.inventory.container import ContainerBackend

    return ContainerBackend(settings)
