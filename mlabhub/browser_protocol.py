"""Let the hub know whether a browser came by https, also through a web server that ends TLS in front of our proxy.

The web server says ``X-Forwarded-Proto: https``, and configurable-http-proxy adds how *it* was asked: ``https,http``.
Tornado reads the last word, so the hub's login cookie would go over http as well. JupyterHub's own servers and services
read the first word; so does the hub with this. Who forges the header changes the cookies of their own answer, and
nothing else.

A tornado *transform* is made for each request before its handler runs: that is where the request is put right.
"""

from __future__ import annotations

from jupyterhub.utils import get_browser_protocol
from tornado.httputil import HTTPServerRequest
from tornado.web import OutputTransform


class BrowserProtocol(OutputTransform):
    """Sets a request's protocol to the one that the browser used."""

    def __init__(self, request: HTTPServerRequest) -> None:
        request.protocol = get_browser_protocol(request)  # type: ignore[no-untyped-call]
