"""Unpack what an engine streams, as it arrives."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import posixpath
import tarfile
from asyncio.subprocess import PIPE
from contextlib import suppress
from pathlib import Path

import httpx

from mlabhub.engine.errors import engine_error

MOST_BYTES = 2**20
_PATH_STAT = "X-Docker-Container-Path-Stat"
_MODE_LINK = 1 << 27
"""Go's bit for a symbolic link."""


async def unpack(answer: httpx.Response, folder: Path) -> None:
    """Unpack a tar archive of one folder, without that folder's name. Raises `OSError` with tar's words."""
    command = ("tar", "-x", "--strip-components=1", "--no-same-owner", "-C", str(folder))
    tar = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stderr=PIPE)
    assert tar.stdin is not None
    assert tar.stderr is not None
    try:
        with suppress(BrokenPipeError, ConnectionResetError):  # it says why itself
            async for piece in answer.aiter_raw():
                tar.stdin.write(piece)
                await tar.stdin.drain()
        tar.stdin.close()
        said = (await tar.stderr.read()).decode(errors="replace").strip()
        if await tar.wait():
            raise OSError(said.splitlines()[-1] if said else "tar failed")
    finally:
        if tar.returncode is None:
            tar.kill()
            await tar.wait()


def is_link(answer: httpx.Response) -> bool:
    """Return whether an engine says of a path that it is a link; Podman does with status 404 if it leads nowhere."""
    told = answer.headers.get(_PATH_STAT)
    return told is not None and bool(int(json.loads(base64.b64decode(told))["mode"]) & _MODE_LINK)


async def read_files(http: httpx.AsyncClient, container: str, path: str) -> dict[str, bytes]:
    """Return the regular files at or below a path of a container, by their absolute path.

    Nothing if there is no such path, or if it is larger than `MOST_BYTES`. Raises `EngineError`, `httpx.HTTPError`.
    """
    content = b""
    async with http.stream("GET", f"/containers/{container}/archive", params={"path": path}) as answer:
        if answer.status_code == 404:
            return {}
        if not answer.is_success:
            await answer.aread()
            raise engine_error(answer)
        async for piece in answer.aiter_raw():
            content += piece
            if len(content) > MOST_BYTES:
                return {}
    folder = posixpath.dirname(path)
    with tarfile.open(fileobj=io.BytesIO(content)) as packed:
        found = ((member.name, packed.extractfile(member)) for member in packed if member.isfile())
        return {posixpath.normpath(posixpath.join(folder, name)): file.read() for name, file in found if file}
