"""Send a file of any length as it is made, no faster than it is taken."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler

log = logging.getLogger(__name__)


async def send_file(handler: RequestHandler, parts: AsyncIterator[str], *, name: str, content_type: str) -> None:
    """Answer with the parts, as a file to save.

    What goes wrong before the first part is an answer like any other; later, the connection is cut, so that nobody
    takes a part for the whole.
    """
    handler.set_header("Content-Type", content_type)
    handler.set_header("Content-Disposition", f'attachment; filename="{name}"')
    try:
        async for part in parts:
            handler.write(part)
            await handler.flush()
    except StreamClosedError:
        log.debug("Whoever asked for %s went away", name)
