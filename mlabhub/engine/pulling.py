"""Fetch an image from its registry; how far that is, from the lines that Podman and Docker stream.

Guarantees: a registry that falls silent is given up; progress is total: a line that says nothing new changes nothing,
per cent never falls, and is None while no size is known.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx

from mlabhub.engine.errors import EngineError, engine_error
from mlabhub.messages import N_, Message

SILENT_SECONDS = 120.0
"""How long a registry may say nothing."""
DONE = ("download complete", "pull complete", "already exists", "verifying checksum", "extracting")


async def pull(http: httpx.AsyncClient, reference: str) -> AsyncIterator[dict[str, Any]]:
    """Fetch an image, and yield what the engine tells on the way; to stop asking ends it. Raises `EngineError`."""
    timeout = httpx.Timeout(SILENT_SECONDS, connect=5.0)
    try:
        async with http.stream("POST", "/images/create", params={"fromImage": reference}, timeout=timeout) as answer:
            if not answer.is_success:
                await answer.aread()
                raise _failed(reference, engine_error(answer).log_text)
            async for line in answer.aiter_lines():
                told = read_line(line)
                if told.get("error"):
                    raise _failed(reference, str(told["error"]))
                yield told
    except httpx.TimeoutException:
        raise _failed(reference, f"nothing came for {SILENT_SECONDS:.0f} seconds") from None
    except httpx.HTTPError as error:
        raise _failed(reference, f"{type(error).__name__} {error}".strip()) from error


def _failed(reference: str, reason: str) -> EngineError:
    last = (reason.strip().splitlines() or ["the engine said nothing"])[-1]
    return EngineError(
        Message.of(
            N_("{reference} could not be fetched: {reason}."), reference=reference, reason=last[-300:].rstrip(".")
        ),
        log_text=f"{reference}: {reason}",
    )


def read_line(line: str) -> dict[str, Any]:
    """Return one line of the stream as an object, empty if it is none."""
    try:
        told = json.loads(line)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


class PullProgress:
    """Adds the layers up."""

    def __init__(self) -> None:
        self._layers: dict[str, tuple[float, float]] = {}
        self._done: set[str] = set()
        self._percent: float | None = None

    def add(self, told: Mapping[str, Any]) -> tuple[float | None, Message]:
        """Take a line in; return per cent and what is being done."""
        layer, status = str(told.get("id") or ""), str(told.get("status") or "").lower()
        detail = told.get("progressDetail")
        current, total = (_number(detail, "current"), _number(detail, "total")) if isinstance(detail, dict) else (0, 0)
        if layer and status.startswith(("pulling", "waiting", "downloading", *DONE)):
            self._layers.setdefault(layer, (0.0, 0.0))
            if total > 0 and status.startswith("downloading"):
                self._layers[layer] = (min(current, total), total)
        if layer in self._layers and status.startswith(DONE):
            size = self._layers[layer][1]
            self._layers[layer] = (size, size)
            self._done.add(layer)
        all_bytes = sum(size for _, size in self._layers.values())
        if all_bytes > 0:
            percent = 100 * sum(have for have, _ in self._layers.values()) / all_bytes
            self._percent = max(self._percent or 0.0, min(percent, 99.0))
        return self._percent, self._words(all_bytes)

    def _words(self, size: float) -> Message:
        if not self._layers:
            return Message(N_("asking the registry"))
        if size <= 0:
            return Message.of(N_("{done} of {all} layers"), done=len(self._done), all=len(self._layers))
        return Message.of(
            N_("{done} of {all} layers, {mib} MiB"),
            done=len(self._done),
            all=len(self._layers),
            mib=round(sum(have for have, _ in self._layers.values()) / 2**20),
        )


def _number(detail: Mapping[str, Any], key: str) -> float:
    value = detail.get(key)
    return float(value) if isinstance(value, int | float) and value > 0 else 0.0
