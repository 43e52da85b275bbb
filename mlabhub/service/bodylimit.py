"""Answer 413 with a sentence to a body beyond the limit, before any of it is kept.

Tornado's own limit closes the connection without a word. This one looks at the headers first, and counts what comes
without a length; the rest of a refused body is read and thrown away, so that the answer reaches who sent it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable

from tornado import httputil

from mlabhub.errors import TooLarge
from mlabhub.messages import N_, Message
from mlabhub.service.bodies import LARGEST_BODY


class LimitBodies(httputil.HTTPMessageDelegate):
    """Stands before the application's own delegate of one request."""

    def __init__(self, inner: httputil.HTTPMessageDelegate, connection: httputil.HTTPConnection):
        self._inner = inner
        self._connection = connection
        self._seen = 0
        self._refused = False

    def headers_received(
        self, start_line: httputil.RequestStartLine | httputil.ResponseStartLine, headers: httputil.HTTPHeaders
    ) -> Awaitable[None] | None:
        """Refuse what announces to be too large."""
        length = headers.get("Content-Length", "")
        if length.isdecimal() and int(length) > LARGEST_BODY:
            self._refused = True
            return None
        return self._inner.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """Refuse what turns out to be too large."""
        if self._refused:
            return None
        self._seen += len(chunk)
        self._refused = self._seen > LARGEST_BODY
        return None if self._refused else self._inner.data_received(chunk)

    def finish(self) -> None:
        """Pass on the end of a request, or refuse it now: a proxy reports an answer before the end as our failure."""
        if self._refused:
            self._refuse()
        else:
            self._inner.finish()

    def on_connection_close(self) -> None:
        """Pass on that the other side went away."""
        if not self._refused:
            self._inner.on_connection_close()

    def _refuse(self) -> None:
        error = TooLarge(
            Message.of(
                N_("The request is larger than {limit} KiB. No call needs that much."), limit=LARGEST_BODY // 1024
            )
        )
        body = json.dumps(error.to_dict()).encode()
        headers = httputil.HTTPHeaders({"Content-Type": "application/json", "Content-Length": str(len(body))})
        self._connection.write_headers(
            httputil.ResponseStartLine("HTTP/1.1", TooLarge.status, "Request Entity Too Large"), headers, body
        )
        self._connection.finish()
