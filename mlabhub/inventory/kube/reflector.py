"""All objects of one kind as the API server has them, kept up to date by listing once and watching from there.

Guarantees: it never gives up: whatever ends a watch (an outage, a decoding error, ``410 Gone``, a connection that went
silent) is followed by another try, later each time up to `LONGEST_PAUSE_S`; a connection on which nothing comes any
more is dropped within `WATCH_S` + `MARGIN_S`. `Reflector.age` says how long ago the API server was last heard of, so
that what is old is never taken for what is. Only reduced records are kept, never the objects.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any, Generic, Protocol, TypeVar

import aiohttp

from mlabhub.cluster.client import AWAY, TOKEN

log = logging.getLogger(__name__)
WATCH_S = 30
"""After this time the API server ends a watch by itself, so that silence always means something."""
MARGIN_S = 10.0
SHORTEST_WATCH_S = 1.0
LIST_S = 60.0
CONNECT_S = 5.0
PAGE = 200
SHORTEST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0

R = TypeVar("R", covariant=True)
Parameters = Mapping[str, str]


class ApiFault(Exception):
    """The API server refused; ``status`` is HTTP's, 0 where it said so in a stream."""

    def __init__(self, status: int, reason: str):
        super().__init__(f"{status} {reason}".strip())
        self.status = status
        self.reason = reason


class Gone(ApiFault):
    """What is asked for is too old to be told any more; it has to be listed anew."""


class Reader(Protocol[R]):
    """Makes a record of an object. Raises `ValueError`, `KeyError`, `TypeError` or `AttributeError`."""

    def __call__(self, raw: Mapping[str, Any], /) -> R: ...


class Reflector(Generic[R]):
    """The objects at a path of the API, by their uid. ``clock`` is monotonic."""

    def __init__(
        self,
        api: Any,
        path: str,
        read: Reader[R],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        watch_s: int = WATCH_S,
        margin_s: float = MARGIN_S,
    ):
        self._api = api
        self._path = path
        self._read = read
        self._clock = clock
        self._sleep = sleep
        self._watch_s = watch_s
        self._margin_s = margin_s
        self._resource_version: str | None = None
        self._heard: float | None = None
        self._turned = asyncio.Event()
        self.records: dict[str, R] = {}
        self.version = 0
        """Grows whenever a record has changed."""
        self.lists = 0
        """How often everything was listed."""
        self.fault: Exception | None = None
        """What went wrong last; None after anything went right."""

    @property
    def age(self) -> float | None:
        """Seconds since the API server was last heard of; None before everything was listed once."""
        return None if self._heard is None else self._clock() - self._heard

    async def first(self) -> None:
        """Return when everything was listed, or could not be: `fault` tells."""
        await self._turned.wait()

    async def run(self) -> None:
        """List and watch, for ever."""
        failures = 0
        while True:
            began = self._clock()
            try:
                if self._resource_version is None:
                    await self._list()
                await self._watch()
                # Something between us and the API server may end every watch at once.
                failures = 0 if self._clock() - began >= SHORTEST_WATCH_S else failures + 1
            except Gone as error:
                log.info("%s is listed anew: %s", self._path, error)
                self._resource_version = None
                failures = min(failures + 1, 2)
            except (*AWAY, ApiFault) as error:
                failures += 1
                self._note(error)
            except Exception as error:
                log.exception("What the API server told of %s could not be read; it is listed anew", self._path)
                failures += 1
                self._resource_version = None
                self._note(error)
            if failures:
                await self._sleep(pause_of(failures))

    def _note(self, error: Exception) -> None:
        if self.fault is None:
            log.warning("%s cannot be watched: %s: %s", self._path, type(error).__name__, error)
        self.fault = error
        self._turned.set()

    def _hear(self) -> None:
        self._heard = self._clock()
        self.fault = None

    async def _list(self) -> None:
        found: dict[str, R] = {}
        version = None
        async for page in pages(self._api, self._path):
            for raw in page.get("items") or ():
                found[raw["metadata"]["uid"]] = self._keep(raw)
            version = page["metadata"]["resourceVersion"]
        if found != self.records:
            self.records = found
            self.version += 1
        self._resource_version = version
        self.lists += 1
        self._hear()
        self._turned.set()

    def _keep(self, raw: Mapping[str, Any]) -> R:
        """Return the record of an object: the same value as before where nothing that matters has changed."""
        record, known = self._read(raw), self.records.get(raw["metadata"]["uid"])
        return known if known is not None and known == record else record

    async def _watch(self) -> None:
        parameters = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._resource_version or "",
            "timeoutSeconds": str(self._watch_s),
        }
        response = await ask(self._api, self._path, parameters, self._watch_s + self._margin_s)
        try:
            self._hear()
            async for line in _lines(response):
                self._take(json.loads(line))
                self._hear()
            self._hear()
        finally:
            response.close()

    def _take(self, event: Mapping[str, Any]) -> None:
        kind, raw = event["type"], event["object"]
        if kind == "ERROR":
            fault = Gone if raw.get("code") == 410 else ApiFault
            self._resource_version = None
            raise fault(int(raw.get("code") or 0), str(raw.get("message") or raw.get("reason") or ""))
        if kind == "DELETED":
            if self.records.pop(raw["metadata"]["uid"], None) is not None:
                self.version += 1
        elif kind != "BOOKMARK":
            uid = raw["metadata"]["uid"]
            record = self._keep(raw)
            if self.records.get(uid) is not record:
                self.records[uid] = record
                self.version += 1
        self._resource_version = raw["metadata"]["resourceVersion"]


def pause_of(failures: int, chance: Callable[[], float] = random.random) -> float:
    """Return how long to wait before the next try: longer each time, and never at the same moment as others."""
    longest: float = min(LONGEST_PAUSE_S, SHORTEST_PAUSE_S * 2 ** min(failures, 10))
    return longest * (0.5 + chance() / 2)


async def pages(api: Any, path: str, parameters: Parameters | None = None) -> AsyncIterator[dict[str, Any]]:
    """Yield everything at a path as it is now, some hundred objects at a time.

    Raises what `ask` raises, and `Gone` if that took too long.
    """
    following: dict[str, str] = {}
    while True:
        response = await ask(api, path, {**(parameters or {}), "limit": str(PAGE), **following}, LIST_S)
        # The client keeps its last response, which must not keep the page.
        page = json.loads(await response.content.read())
        yield page
        token = page["metadata"].get("continue")
        if not token:
            return
        following = {"continue": token}


async def ask(api: Any, path: str, parameters: Parameters, seconds: float) -> aiohttp.ClientResponse:
    """Ask the API server and return its answer, unread; all of it must have come after ``seconds``.

    Raises `ApiFault` if it refuses; `aiohttp.ClientError`, `asyncio.TimeoutError` or `OSError` if it cannot be asked.
    """
    response: aiohttp.ClientResponse = await api.call_api(
        path,
        "GET",
        query_params=list(parameters.items()),
        header_params={"Accept": "application/json"},
        auth_settings=[TOKEN],
        _preload_content=False,
        _return_http_data_only=True,
        _request_timeout=aiohttp.ClientTimeout(total=seconds, connect=CONNECT_S, sock_connect=CONNECT_S),
    )
    if response.status == 200:
        return response
    body = await response.text(errors="replace")
    raise (Gone if response.status == 410 else ApiFault)(response.status, _reason(body))


def _reason(body: str) -> str:
    try:
        return str(json.loads(body)["message"])[:500]
    except (ValueError, KeyError, TypeError):
        return body[:200]


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Yield the lines of a stream, however long they are."""
    rest: list[bytes] = []
    async for piece in response.content.iter_any():
        for line, ended in _split(piece):
            rest.append(line)
            if ended:
                whole = b"".join(rest)
                rest = []
                if whole.strip():
                    yield whole


def _split(piece: bytes) -> Iterator[tuple[bytes, bool]]:
    *whole, last = piece.split(b"\n")
    for line in whole:
        yield line, True
    yield last, False
