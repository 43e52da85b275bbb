"""What a container wrote, piece by piece, from Podman and Docker.

Guarantees: the pieces' own headers are taken off, wherever the engine cuts its answer; the answer is let go of when
nobody reads on. Each follower has a connection of its own, so that they keep nobody else from the engine.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx

from mlabhub.engine.errors import engine_error
from mlabhub.errors import EngineUnavailable
from mlabhub.messages import N_, Message

HEADER = 8
CONNECT_S = 5.0
ANSWER_S = 30.0


class Demultiplexer:
    """Takes off the header of 8 bytes that each piece of a log has: stream, three zeros, length."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._left = 0

    def feed(self, data: bytes) -> bytes:
        """Return the text that has come with these bytes."""
        self._held += data
        text = bytearray()
        while self._held:
            if not self._left:
                if len(self._held) < HEADER:
                    break
                self._left = int.from_bytes(self._held[4:HEADER], "big")
                del self._held[:HEADER]
                continue
            piece = self._held[: self._left]
            del self._held[: self._left]
            text += piece
            self._left -= len(piece)
        return bytes(text)


async def read_log(socket: str, container: str, *, follow: bool) -> AsyncIterator[bytes]:
    """Yield what a container wrote; with ``follow``, also what it writes from now on, until it ends.

    All of it is read, which `LOG_BYTES` bounds: asked for the end alone, Podman 4.3 loses lines written in pieces.
    Raises `EngineError`, or `EngineUnavailable`.
    """
    wanted = {"stdout": "true", "stderr": "true", **({"follow": "true"} if follow else {})}
    timeout = httpx.Timeout(ANSWER_S, connect=CONNECT_S, read=None if follow else ANSWER_S)
    text = Demultiplexer()
    try:
        async with (
            httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=socket), timeout=timeout) as client,
            client.stream("GET", f"http://engine/containers/{container}/logs", params=wanted) as answer,
        ):
            if not answer.is_success:
                await answer.aread()
                raise engine_error(answer)
            async for piece in answer.aiter_raw():
                yield text.feed(piece)
    except httpx.HTTPError as error:
        raise EngineUnavailable(
            Message(N_("The log cannot be read: the engine does not answer. Running servers go on; try again.")),
            log_text=f"the log of {container}: {type(error).__name__} {error}",
        ) from error
