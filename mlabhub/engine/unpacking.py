"""Unpack what an engine streams, as it arrives."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import PIPE
from contextlib import suppress
from pathlib import Path

import httpx


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
