"""Follow what a server writes, for ``mlabhub server logs --follow``.

Guarantees: each line comes once, also where the stream was cut in between; whatever goes wrong is an `MLabError` with
one sentence.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import httpx

from mlabhub.cli.remote import Service
from mlabhub.client.service import error_of
from mlabhub.core.log_text import what_is_new
from mlabhub.errors import Unavailable

AGAIN_S = 1.0
SILENT_S = 40.0
"""A stream says something at least that often."""
OVERLAP = 200
"""So many lines are compared where a stream was taken up again."""

Json = dict[str, Any]


def follow_log(service: Service, path: str, lines: int) -> Iterator[str]:
    """Yield the last lines of a server, and what it writes until it ends; ``path`` is its log's address.

    A stream that was cut is taken up where it was. Raises an `MLabError`.
    """
    known: deque[str] = deque(maxlen=OVERLAP)
    asked, first = lines, True
    while True:
        begun = False
        for told in _events(service, f"{path}/events?lines={asked}"):
            new = told["lines"] if begun or first else what_is_new(tuple(known), told["lines"])
            begun, first = True, False
            known.extend(new)
            yield from new
            if told["over"]:
                return
        asked = OVERLAP
        time.sleep(AGAIN_S)


def _events(service: Service, path: str) -> Iterator[Json]:
    """Yield the data of the events of a stream until it ends. Raises an `MLabError`."""
    headers = {"Authorization": f"token {service.token}", "Accept": "text/event-stream"}
    timeout = httpx.Timeout(service.timeout_s, read=SILENT_S)
    address = f"{service.url}api/v1/{path}"
    try:
        with httpx.stream(
            "GET", address, headers=headers, timeout=timeout, verify=service.verify, trust_env=not service.here
        ) as answer:
            if answer.is_error:
                answer.read()
                raise error_of(answer.status_code, answer.json())
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))
    except (httpx.RemoteProtocolError, httpx.ReadTimeout):
        return  # it was cut; whether the service is there, the next try tells
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise Unavailable(f"The service at {service.url} does not answer.", log_text=str(error)) from error
