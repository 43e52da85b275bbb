"""Passing one request on to a tool, and its answer back as it comes.

Guarantees: an answer of any size passes with at most a few hundred kilobytes of it held here, at the speed at which the
browser reads; when the browser goes away, the tool's connection is closed; what proves who somebody is to the hub or to
this server does not reach the tool; path and query reach it as the browser wrote them. Whatever bytes the tool answers
with, the browser gets one answer of HTTP that is whole, seen to be cut off, or an error with a sentence.
"""

from __future__ import annotations

from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

import aiohttp
from tornado import web
from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.iostream import StreamClosedError
from yarl import URL

CREDENTIAL_COOKIES = ("jupyterhub-", "username-", "_xsrf")
"""How the names of cookies begin that prove who somebody is to the hub or to this server."""
CREDENTIAL_ARGUMENT = "token"
CREDENTIAL_HEADERS = ("Authorization", "X-Xsrftoken")
HOP_BY_HOP = (
    *("Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection"),
    *("Te", "Trailer", "Transfer-Encoding", "Upgrade"),
)
"""Headers that are about one connection and not about the request."""
FRAMES = "frame-ancestors 'self'"
"""Added to what a tool answers: no other site's page may show it in a frame and have it clicked."""
LONGEST_HEADER = 64 * 1024
TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10)
"""An answer may take as long as it likes: the browser decides how long it waits."""


async def pass_on(handler: web.RequestHandler, socket: str, address: str, prefix: str) -> None:
    """Ask the program at a unix socket what ``handler`` was asked, and answer that.

    ``address`` is path and query for the program, ``prefix`` what the browser has before them. Raises
    `aiohttp.ClientError` if the program does not answer.
    """
    request = handler.request
    headers = without_credentials(request.headers)
    headers["X-Forwarded-Prefix"] = prefix
    # What aiohttp adds by itself is not what the browser said.
    client = aiohttp.ClientSession(
        connector=aiohttp.UnixConnector(socket),
        timeout=TIMEOUT,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        max_line_size=LONGEST_HEADER,
        max_field_size=LONGEST_HEADER,
    )
    async with (
        client,
        client.request(
            request.method or "GET",
            URL(f"http://localhost{address}", encoded=True),
            headers=[(name, _as_utf8(value)) for name, value in headers.get_all()],
            data=request.body or None,
            allow_redirects=False,
        ) as answer,
    ):
        await _answer(handler, answer, prefix)


async def _answer(handler: web.RequestHandler, answer: aiohttp.ClientResponse, prefix: str) -> None:
    if answer.status < 200:
        # A line that the browser did not ask to be upgraded stays one, whatever the tool says.
        raise aiohttp.ClientConnectionError(f"it answers status {answer.status}")
    handler.set_status(answer.status, answer.reason)
    handler._headers = HTTPHeaders()
    for raw_name, raw_value in answer.raw_headers:
        # Byte for byte: tornado writes them in the same encoding, and a file's name in one may be in any.
        name, value = raw_name.decode("latin-1").title(), raw_value.decode("latin-1")
        if name not in HOP_BY_HOP:
            with suppress(ValueError):  # A control character in it: no browser would take it either.
                handler.add_header(name, below(prefix, value) if name == "Location" else value)
    handler.add_header("Content-Security-Policy", FRAMES)
    try:
        async for chunk in answer.content.iter_any():
            handler.write(chunk)
            # Not the handler's own: jupyter-server-proxy's returns nothing to wait for.
            await web.RequestHandler.flush(handler)
    except StreamClosedError:
        return


def _as_utf8(value: str) -> str:
    """Return a header's value, which tornado has read as Latin-1, as aiohttp will write it: in UTF-8."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def below(prefix: str, location: str) -> str:
    """Return where a tool leads, as the browser has to ask for it: a path of the tool's is below ``prefix``."""
    return prefix + location if location.startswith("/") and not location.startswith("//") else location


def address_of(request: HTTPServerRequest, prefix: str) -> str:
    """Return path and query for the tool: as they were written, without ``prefix`` and the login's token."""
    path = request.path[len(prefix) :] or "/"
    query = without_token(request.query)
    return f"{path}?{query}" if query else path


def without_token(query: str) -> str:
    """Return a query without the argument that signs in to this server; else exactly as it was."""
    pairs = parse_qsl(query, keep_blank_values=True)
    left = [pair for pair in pairs if pair[0] != CREDENTIAL_ARGUMENT]
    return query if len(left) == len(pairs) else urlencode(left)


def without_credentials(headers: HTTPHeaders) -> HTTPHeaders:
    """Return a request's headers without what is about its connection or proves who somebody is."""
    left = HTTPHeaders(headers)
    # The body is here already: its length is told anew, and nobody has to be asked whether it may come.
    for name in (*CREDENTIAL_HEADERS, *HOP_BY_HOP, "Content-Length", "Expect"):
        left.pop(name, None)
    try:
        cookies: SimpleCookie = SimpleCookie(left.pop("Cookie", ""))
    except CookieError:
        return left
    kept = [
        f"{name}={morsel.coded_value}" for name, morsel in cookies.items() if not name.startswith(CREDENTIAL_COOKIES)
    ]
    if kept:
        left["Cookie"] = "; ".join(kept)
    return left
