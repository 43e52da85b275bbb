"""What a start does on the NAS, in threads and with patience: a NAS that hangs hangs for ever.

Guarantees: a file server that hangs costs one thread, not one for each start; a start waits for it so many seconds and
is refused then, or goes on without it where it only holds an extra share that nobody asked for; what is still to be
mounted when the start was given up is unmounted at once.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mlabhub.core.identity import Identity
from mlabhub.core.storage import Mount
from mlabhub.engine.idmapped import IdMap
from mlabhub.engine.places import Opened, mounted
from mlabhub.errors import MLabError, Unavailable
from mlabhub.messages import N_, Message
from mlabhub.spawners.folders import ensure_folders, open_mount

PATIENCE_SECONDS = 15.0
_threads = ThreadPoolExecutor(16, thread_name_prefix="nas")
"""Threads of their own: a NAS that hangs keeps them, and must not keep those that everything else needs."""
_hanging: dict[str, Future[Any]] = {}
"""What has not come back in time, by the root that it was about."""
_T = TypeVar("_T")


@dataclass(frozen=True)
class Ready:
    """The mounts that can be made, and what is to be said about the others."""

    mounts: tuple[Mount, ...]
    notes: tuple[Message, ...]


async def ensure_folders_soon(mounts: Iterable[Mount], own_root: Path, identity: Identity | None = None) -> Ready:
    """Make the folders that are missing, as `ensure_folders` does; leave out extra shares that are not there.

    Raises `FolderConflict`, or `Unavailable` if the NAS hangs.
    """
    mounts = tuple(mounts)
    required = [mount for mount in mounts if not mount.optional]
    roots = {mount.source if mount.create is None else str(Path(mount.source).parent) for mount in required}
    left_out: dict[Mount, Message] = {}

    async def look_for(mount: Mount) -> None:
        try:
            await _in_time([mount.source], lambda: ensure_folders([mount], own_root, identity))
        except Unavailable:
            left_out[mount] = Message(N_("its file server does not answer."))
        except MLabError as error:
            left_out[mount] = error.message

    await asyncio.gather(
        _in_time(roots, lambda: ensure_folders(required, own_root, identity)),
        *(look_for(mount) for mount in mounts if mount.optional),
    )
    notes = (
        Message.of(N_("Without {target}: {reason}"), target=mount.target, reason=left_out[mount])
        for mount in mounts
        if mount in left_out
    )
    return Ready(tuple(mount for mount in mounts if mount not in left_out), tuple(notes))


@asynccontextmanager
async def mounted_soon(
    mounts: Iterable[Mount], places: Mapping[str, str], own_root: Path, identity: Identity, id_map: IdMap | None
) -> AsyncIterator[None]:
    """Mount what is behind each mount at its place, by target, until the block ends."""
    mounting = _Mounting(tuple(mounts), places, own_root, identity, id_map)
    roots = {mount.source for mount in mounting.mounts}
    try:
        await _in_time(roots, mounting.enter)
        yield
    finally:
        await asyncio.shield(asyncio.to_thread(mounting.leave))


class _Mounting:
    """Mounts that are made in one thread and may be given up by another."""

    def __init__(
        self,
        mounts: tuple[Mount, ...],
        places: Mapping[str, str],
        own_root: Path,
        identity: Identity,
        id_map: IdMap | None,
    ):
        self.mounts = mounts
        self._places = places
        self._own_root = own_root
        self._identity = identity
        self._id_map = id_map
        self._lock = threading.Lock()
        self._over = False
        self._stack = ExitStack()

    def enter(self) -> None:
        with ExitStack() as opened, ExitStack() as stack:
            folders = []
            for mount in self.mounts:
                descriptor = open_mount(mount, self._own_root, self._identity)
                opened.callback(os.close, descriptor)
                folders.append(Opened(descriptor, self._places[mount.target], mount.source, mount.read_only))
            stack.enter_context(mounted(folders, self._id_map))
            with self._lock:
                if not self._over:
                    self._stack = stack.pop_all()

    def leave(self) -> None:
        with self._lock:
            self._over = True
        self._stack.close()


async def _in_time(roots: Iterable[str], act: Callable[[], _T]) -> _T:
    """Return what ``act`` returns, in a thread. Raises `Unavailable` if it takes too long, or did the last time."""
    roots = sorted(roots)
    if any(not _hanging[root].done() for root in roots if root in _hanging):
        raise _hangs()
    doing = _threads.submit(act)
    try:
        return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(doing)), PATIENCE_SECONDS)
    except asyncio.TimeoutError:
        _hanging.update(dict.fromkeys(roots, doing))
        raise _hangs() from None


def _hangs() -> Unavailable:
    template = N_("The NAS did not answer within {seconds} seconds, so nothing was started. Tell an administrator.")
    return Unavailable(Message.of(template, seconds=int(PATIENCE_SECONDS)), code="nas_hangs")
