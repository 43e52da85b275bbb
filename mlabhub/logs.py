"""Logs for who collects them: with ``MLABHUB_LOG=json`` hub and service write one JSON object a line to stderr.

Guarantees: every line is one whole object with ``time`` (UTC), ``level``, ``logger`` and ``message``, and ``user``,
``server`` and ``launch_id`` where it is about a server; nothing that looks like a token or a password leaves as it is.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from datetime import datetime, timezone
from types import MappingProxyType
from typing import Any, Literal

from mlabhub.errors import InvalidConfiguration
from mlabhub.messages import N_, Message

VARIABLE = "MLABHUB_LOG"
FORMATS = ("text", "json")
TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
HIDDEN = "[hidden]"
_SECRET = re.compile(
    r"(?i)((?:authorization|cookie)['\"]?\s*[:=]\s*['\"]?(?:token|bearer|basic)?\s*"
    r"|(?:\b|_)(?:token|password|passwd|secret)['\"]?\s*[:=]\s*['\"]?"
    r"|[?&](?:code|state)=|\b(?:token|bearer)\s+)(?!\[)[^\s'\"&,;)]{6,}"
)
_URL_PASSWORD = re.compile(r"(?<=://)([^\s/:@]*):[^\s/@]+@")
_NOTHING: Mapping[str, str] = MappingProxyType({})
_about: ContextVar[Mapping[str, str]] = ContextVar("about", default=_NOTHING)

LogFormat = Literal["text", "json"]


@contextlib.contextmanager
def about(**fields: str) -> Iterator[None]:
    """Let every line of this task, until the block ends, say what it is about; empty fields are left out."""
    before = _about.set({**_about.get(), **{name: value for name, value in fields.items() if value}})
    try:
        yield
    finally:
        _about.reset(before)


def hide_secrets(text: str) -> str:
    """Return the text without what follows ``token=``, ``password:`` and the like, and without URLs' passwords."""
    return _URL_PASSWORD.sub(rf"\1:{HIDDEN}@", _SECRET.sub(rf"\1{HIDDEN}", text))


def log_format(environ: Mapping[str, str] | None = None) -> LogFormat:
    """Return how to log. Raises `InvalidConfiguration` for a format that there is not."""
    named = (os.environ if environ is None else environ).get(VARIABLE) or "text"
    if named == "json":
        return "json"
    if named == "text":
        return "text"
    raise InvalidConfiguration(
        Message.of(
            N_("{variable} is {value}; it can be: {valid}."), variable=VARIABLE, value=named, valid=", ".join(FORMATS)
        )
    )


class JsonFormatter(logging.Formatter):
    """One JSON object for each record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": hide_secrets(record.getMessage()),
            **_about.get(),
        }
        if record.exc_info:
            line["exception"] = hide_secrets(self.formatException(record.exc_info))
        if record.stack_info:
            line["stack"] = hide_secrets(self.formatStack(record.stack_info))
        return json.dumps(line, ensure_ascii=False, default=str)


def make_formatter() -> logging.Formatter:
    """Return what `log_format` asks for."""
    return JsonFormatter() if log_format() == "json" else logging.Formatter(TEXT)


def configure_logs(c: Any) -> None:
    """Have JupyterHub log like that."""
    if log_format() == "json":
        c.JupyterHub.logging_config = {"formatters": {"console": {"class": f"{__name__}.{JsonFormatter.__name__}"}}}
