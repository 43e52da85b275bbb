"""Which page may show the server's pages in a frame: our workbench, and nobody's else.

JupyterHub forbids frames altogether: without ``subdomain_host`` every user's pages share one origin, and a page that
frames another can read and click it. The workbench therefore adds a key to the addresses of its frames. Only a page
that was opened as a page of its own holds the key: the workbench may not be framed, nor fetched by scripts.

Guarantees: without the key the answer is what it was; the key is made anew by every server. What a tool answers is not
in this: it may be framed by every page of this origin, since tools frame themselves (`mlabhub_proxies.passing`).
"""

from __future__ import annotations

import secrets

from tornado.httputil import HTTPHeaders, HTTPServerRequest, url_concat
from tornado.web import OutputTransform, RequestHandler

ARGUMENT = "mlabhub_frame"
KEY = secrets.token_urlsafe(24)


class FrameKey(OutputTransform):
    """Lets the workbench frame a page that its address has the key for."""

    def __init__(self, request: HTTPServerRequest) -> None:
        """Look for the key."""
        given = request.query_arguments.get(ARGUMENT, [b""])[-1]
        self._has_key = secrets.compare_digest(given, KEY.encode())

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        """Say "self" instead of "none"."""
        policy = headers.get("Content-Security-Policy")
        if self._has_key and policy:
            headers["Content-Security-Policy"] = policy.replace("frame-ancestors 'none'", "frame-ancestors 'self'")
        return status_code, headers, chunk


def with_key(address: str, handler: RequestHandler) -> str:
    """Return an address that a page leads to, with the key if the page itself was opened with one: it is in a frame."""
    given = handler.get_query_argument(ARGUMENT, None)
    return url_concat(address, {ARGUMENT: given}) if given else address
