"""What a call of the API is: its address, its handler, and what its OpenAPI description says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tornado.web import RequestHandler

from mlabhub.service import bodies

API = "api/v1/"
Who = Literal["person", "admin", "spawner", "admin or spawner", "agent", "anyone"]


@dataclass(frozen=True)
class Call:
    """One method of one address. ``answer`` is a view, or the views of an object's keys; ``also`` other good ones."""

    method: Literal["get", "post", "put", "delete"]
    summary: str
    who: Who
    status: int = 200
    answer: Any = None
    body: type[bodies.Body] | None = None
    query: tuple[str, ...] = ()
    refusals: tuple[int, ...] = ()
    also: Mapping[int, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Route:
    """One address below the service's prefix; ``{name}`` stands for one part of the path."""

    path: str
    handler: type[RequestHandler]
    calls: tuple[Call, ...]


STREAM = object()
"""An answer that goes on: server-sent events."""
