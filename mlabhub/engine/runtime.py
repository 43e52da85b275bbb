"""What images from elsewhere lack, in a folder that is mounted read-only into their servers.

It is the folder ``/opt/runtime`` of our image `REFERENCE`, taken out once per version.

Guarantees: a folder is there whole or not at all; one that a server still runs with is never removed; nothing of an
image runs or is loaded while its server's first process is root.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import platform
import posixpath
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mlabhub.engine import labels
from mlabhub.engine.api import EngineApi
from mlabhub.engine.errors import EngineError
from mlabhub.engine.info import ImageInfo
from mlabhub.engine.spec import Bind
from mlabhub.errors import LaunchRefused
from mlabhub.messages import N_, Message

REFERENCE = "localhost/mlabhub/runtime:latest"
INSIDE = "/opt/runtime"
"""Where it is in its image."""
PLACE = "/opt/mlabhub"
"""Where it is in a server."""
ENTRY = f"{PLACE}/entry"
ENTRYPOINT = (f"{PLACE}/bin/python3", "-I", "-m", "mlabhub_outside.start")
KEPT_ASIDE = "MLABHUB_IMAGE_ENVIRONMENT"
MOST_KEPT_ASIDE = 100_000
"""The kernel takes no variable of more than 128 KiB."""
_MOUNTED = ("/dev", "/etc/ld.so.preload", "/proc", "/run", "/sys", "/tmp", "/var/lib/mlabhub", PLACE)
DISTURBING = re.compile(
    r"(LD|PYTHON|JUPYTER|GCONV|GLIBC|MALLOC|OPENSSL)_.*|PYTHON\w*|LC_ALL|LOCPATH|NLSPATH|SSL_CERT_(FILE|DIR)"
)
"""Variables of an image that would disturb our interpreter."""
_LOCALE = {"LC_ALL": "C"}
"""Any other locale is a file of the image, and may name a library of the image to be loaded for its characters."""
_PARTIAL = "new-"
MOST_SECONDS = 3600.0
"""How long taking one out may take, before it counts as given up."""
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def brings_all(config: Mapping[str, Any]) -> bool:
    """Whether an image starts by our own entry, so that nothing is added to it."""
    return list(config.get("Entrypoint") or ()) == [ENTRY]


def architecture_of(machine: str | None = None) -> str:
    """Return the engines' word for this machine's processors, or for those that the kernel calls ``machine``."""
    machine = machine or platform.machine()
    return _MACHINES.get(machine, machine)


def check_architecture(image: ImageInfo, name: str, machine: str | None = None) -> None:
    """Raise `LaunchRefused` if an image is for other processors than this machine's."""
    here = architecture_of(machine)
    if image.architecture not in {"", here}:
        raise LaunchRefused(
            Message.of(
                N_("The image {image} is for {architecture} processors; this machine's are {here}. Choose another."),
                image=name,
                architecture=image.architecture,
                here=here,
            ),
            code="image_architecture",
        )


def make_environment(image_environment: Iterable[str]) -> dict[str, str]:
    """Return variables that keep the image's own from disturbing our interpreter; kernels get them back."""
    of_image = dict(entry.split("=", 1) for entry in image_environment if "=" in entry)
    aside = {name: value for name, value in of_image.items() if DISTURBING.fullmatch(name)}
    kept = json.dumps(aside)
    if len(kept.encode()) > MOST_KEPT_ASIDE:
        raise LaunchRefused(N_("The image's variables are too large for a server. Choose another image."))
    return {**dict.fromkeys(aside, ""), **_LOCALE, "OPENSSL_CONF": f"{PLACE}/etc/empty", KEPT_ASIDE: kept}


def make_binds(folder: str) -> tuple[Bind, ...]:
    """Return the mounts: what is added, and an empty list of libraries for the loader to load into every program."""
    return (
        Bind(folder, PLACE, read_only=True),
        Bind(f"{folder}/etc/empty", "/etc/ld.so.preload", read_only=True),
    )


def places_to_check(targets: Iterable[str]) -> frozenset[str]:
    """Return where an image may have no link: where its servers have something mounted, and on the way there.

    Engines follow an image's links when they mount. One at ``/opt`` or ``/run`` could lead to a folder of the NAS,
    whose owner would choose there what the first process, which is root, runs.
    """
    found: set[str] = set()
    for path in (*_MOUNTED, *targets):
        while path != "/":
            found.add(path)
            path = posixpath.dirname(path)
    return frozenset(found)


class Runtime:
    """The folders of one installation, one for each version."""

    def __init__(self, api: EngineApi, folder: Path):
        self._api = api
        self._folder = folder

    async def find(self) -> Path | None:
        """Return the newest version's folder, if it was taken out."""
        image = await self._api.image(REFERENCE)
        folder = None if image is None else self._folder / image.id[:16]
        return folder if folder is not None and folder.is_dir() else None

    async def ensure(self) -> Path | None:
        """Return the newest version's folder, taken out now if need be; None if its image was not built yet."""
        image = await self._api.image(REFERENCE)
        if image is None:
            return None
        folder = self._folder / image.id[:16]
        if not folder.is_dir():
            await self._take_out(image, folder)
            await self._remove_others(folder)
        return folder

    async def _take_out(self, image: ImageInfo, folder: Path) -> None:
        partial: Path | None = None
        try:
            partial = await asyncio.to_thread(_make_partial, self._folder)
            await self._api.copy_out(f"sha256:{image.id}", INSIDE, partial)
            await asyncio.to_thread(_move, partial, folder)
        except OSError as error:
            raise EngineError(
                Message.of(
                    N_("What outside images lack could not be written to {folder}: {reason}. Make room there."),
                    folder=str(self._folder),
                    reason=error.strerror or str(error),
                )
            ) from error
        finally:
            if partial is not None:
                await asyncio.to_thread(shutil.rmtree, partial, ignore_errors=True)

    async def _remove_others(self, newest: Path) -> None:
        used = {found.labels[labels.OUTSIDE] for found in await self._api.containers({labels.OUTSIDE: ""})}
        await asyncio.to_thread(_remove_but, self._folder, {newest.name, *used})


def _make_partial(parent: Path) -> Path:
    parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    return Path(tempfile.mkdtemp(dir=parent, prefix=_PARTIAL))


def _move(partial: Path, folder: Path) -> None:
    """Give a folder that is whole its name; fine if somebody else was quicker."""
    partial.chmod(0o755)
    try:
        partial.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def _remove_but(parent: Path, kept: set[str]) -> None:
    for folder in parent.iterdir():
        if folder.name in kept or (folder.name.startswith(_PARTIAL) and _is_young(folder)):
            continue
        shutil.rmtree(folder, ignore_errors=True)


def _is_young(partial: Path) -> bool:
    """Whether somebody may still be writing into it; what a killed process left is not touched again."""
    with contextlib.suppress(FileNotFoundError):
        return time.time() - partial.stat().st_mtime < MOST_SECONDS
    return True
