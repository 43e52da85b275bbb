"""Questions to a Prometheus.

Guarantees: `Prometheus.query` returns what Prometheus says, or raises `Untold` with the reason in words, within the
patience, whatever answers there; an answer that is not understood as a whole is none. A password in the address stands
in no sentence. A long answer is understood in a thread, which lets the event loop have its turn again and again.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path
from typing import Any

import httpx

from mlabhub.messages import N_, Message
from mlabhub.samplers.series import Series

PATIENCE_S = 10.0
MOST_BYTES = 64 * 2**20
LONGEST_REASON = 200

NOT_REACHED = N_("Prometheus at {url} cannot be reached ({reason}).")
TOO_SLOW = N_("Prometheus at {url} does not answer within {seconds} s.")
REFUSED = N_("Prometheus at {url} answers with an error ({status}: {reason}).")
NOT_PROMETHEUS = N_("What answers at {url} is not Prometheus ({what}). Look at the address in the configuration.")
NO_FILE = N_("What Prometheus is asked with cannot be read: {file} ({reason}).")
TOO_MUCH = N_("The answer of Prometheus at {url} is longer than {mib} MiB.")


class Untold(Exception):
    """Prometheus did not tell; ``message`` says why."""

    def __init__(self, message: Message):
        super().__init__(str(message))
        self.message = message


class Prometheus:
    """One Prometheus, or what speaks as one.

    ``headers`` are sent with each question. ``token_file`` has a token for it and is read anew each time, since
    clusters renew such files; ``ca_file`` has the authorities that count for ``https``, besides those that all know.
    """

    def __init__(
        self,
        url: str,
        headers: dict[str, str] | None = None,
        patience_s: float = PATIENCE_S,
        token_file: Path | None = None,
        ca_file: Path | None = None,
    ):
        self._url = httpx.URL(url.rstrip("/") + "/")
        self._headers = headers
        self._patience_s = patience_s
        self._token_file = token_file
        self._ca_file = ca_file
        self._client: httpx.AsyncClient | None = None

    @property
    def place(self) -> str:
        """Where it is, as people may read it."""
        return str(self._url.copy_with(userinfo=b"", query=None)).rstrip("/")

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()

    async def query(self, text: str, at: float) -> tuple[Series, ...]:
        """Return the series of a query that asks for points over a range. Raises `Untold`."""
        form, token = {"query": text, "time": f"{at:.3f}"}, self._token()
        try:
            status, kind, body = await asyncio.wait_for(self._post(form, token), self._patience_s)
        except (asyncio.TimeoutError, httpx.TimeoutException):
            raise Untold(Message.of(TOO_SLOW, url=self.place, seconds=self._patience_s)) from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise Untold(Message.of(NOT_REACHED, url=self.place, reason=_reason(error))) from error
        return await asyncio.to_thread(self._understand, status, kind, body)

    def _token(self) -> dict[str, str]:
        if self._token_file is None:
            return {}
        try:
            return {"Authorization": f"Bearer {self._token_file.read_text('ascii').strip()}"}
        except (OSError, ValueError) as error:
            raise Untold(Message.of(NO_FILE, file=str(self._token_file), reason=_reason(error))) from error

    def _http(self) -> httpx.AsyncClient:
        if self._client is None:
            verify: ssl.SSLContext | bool = self._url.scheme == "https"
            if verify and self._ca_file is not None:
                try:
                    verify = ssl.create_default_context()
                    verify.load_verify_locations(self._ca_file)
                except (OSError, ValueError) as error:
                    raise Untold(Message.of(NO_FILE, file=str(self._ca_file), reason=_reason(error))) from error
            self._client = httpx.AsyncClient(
                headers=self._headers, timeout=self._patience_s, trust_env=False, verify=verify
            )
        return self._client

    async def _post(self, form: dict[str, str], token: dict[str, str]) -> tuple[int, str, bytes]:
        parts, length = [], 0
        where = self._url.join("api/v1/query")
        async with self._http().stream("POST", where, data=form, headers=token) as response:
            async for part in response.aiter_bytes():
                length += len(part)
                if length > MOST_BYTES:
                    raise Untold(Message.of(TOO_MUCH, url=self.place, mib=MOST_BYTES // 2**20))
                parts.append(part)
            return response.status_code, response.headers.get("content-type", ""), b"".join(parts)

    def _understand(self, status: int, kind: str, body: bytes) -> tuple[Series, ...]:
        try:
            told: Any = json.loads(body, object_hook=_as_it_is)
        except (ValueError, RecursionError):
            told = None
        if isinstance(told, dict) and told.get("status") == "error":
            reason = str(told.get("error"))[:LONGEST_REASON]
            raise Untold(Message.of(REFUSED, url=self.place, status=status, reason=reason))
        if status != 200:
            raise Untold(Message.of(REFUSED, url=self.place, status=status, reason=kind or "-"))
        try:
            return tuple(_series(one) for one in _matrix(told))
        except (TypeError, ValueError, KeyError, AttributeError):
            what = f"{kind or '-'}: {body[:60].decode('utf-8', 'replace')!r}"
            raise Untold(Message.of(NOT_PROMETHEUS, url=self.place, what=what)) from None


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__)[:LONGEST_REASON]


def _as_it_is(told: dict[str, Any]) -> dict[str, Any]:
    """Return an object as it is: while Python calls this, other threads may go on, and else not before the end."""
    return told


def _matrix(told: Any) -> list[Any]:
    data = told["data"]
    if told["status"] != "success" or data["resultType"] != "matrix" or not isinstance(data["result"], list):
        raise ValueError("no matrix")
    return list(data["result"])


def _series(told: Any) -> Series:
    labels = {str(name): str(value) for name, value in told["metric"].items()}
    return Series(labels, tuple((float(t), float(value)) for t, value in told["values"]))
