"""Whether something answers as a Jupyter server does, whatever a person has put there."""

from __future__ import annotations

import asyncio

import pytest

from mlabhub.spawners.answering import answers


@pytest.mark.parametrize(
    ("said", "is_answer"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", True, id="a server"),
        pytest.param(b"SSH-2.0-OpenSSH\r\n", False, id="another one"),
        pytest.param(b"", False, id="nothing"),
        pytest.param(b"x" * 1_000_000, False, id="a line without an end"),
    ],
)
async def test_answers(said: bytes, is_answer: bool) -> None:
    async def say(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()

    server = await asyncio.start_server(say, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await answers("127.0.0.1", port, "/user/alice/") is is_answer
