"""One small JSON exchange over HTTP, shared by both clients.

A connection that was never made is told apart from an answer that never came: only the former says for sure that
nothing happened on the other side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx


class NotSent(Exception):
    """The other side was never reached; nothing happened there."""


class NoAnswer(Exception):
    """The request went out and no (understandable) answer came; what happened there is not known."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer: its status and its decoded JSON (None for an empty body)."""

    status: int
    body: Any

    @property
    def sentence(self) -> str:
        """What the other side said about a failure, or an empty text."""
        if isinstance(self.body, dict):
            error = self.body.get("error")
            if isinstance(error, dict):
                return str(error.get("message") or "")
            return str(self.body.get("message") or "")
        return ""


def make_http(base_url: str, authorization: str, *, timeout_s: float) -> httpx.AsyncClient:
    """Make a client that keeps its connections and ignores the environment's proxies.

    Certificates are only loaded for an https address: loading them takes longer than a whole local exchange.
    """
    return httpx.AsyncClient(
        base_url=base_url,
        headers={"Authorization": authorization},
        timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, 5.0)),
        trust_env=False,
        verify=base_url.startswith("https:"),
        follow_redirects=False,
    )


async def exchange(http: httpx.AsyncClient, method: str, path: str, **keywords: Any) -> Answer:
    """Send one request and return its answer, whatever the status. Raise `NotSent` or `NoAnswer`."""
    try:
        response = await http.request(method, path, **keywords)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise NotSent(str(error) or type(error).__name__) from error
    except httpx.HTTPError as error:
        raise NoAnswer(str(error) or type(error).__name__) from error
    if not response.content:
        return Answer(response.status_code, None)
    try:
        return Answer(response.status_code, response.json())
    except ValueError:
        if response.is_success:
            raise NoAnswer(f"not JSON: {response.text[:200]!r}") from None
        return Answer(response.status_code, None)
