"""What an engine answers when it could not do something, in words."""

from __future__ import annotations

import httpx

from mlabhub.errors import Unavailable
from mlabhub.messages import N_, Message


class EngineError(Unavailable):
    """The engine answered, and could not do it. ``engine_status`` is its HTTP status, ``reason`` its words."""

    code = "engine_error"


def engine_error(answer: httpx.Response) -> EngineError:
    """Return the error that an answer stands for."""
    try:
        body = answer.json()
        reason = str(body.get("cause") or body.get("message") or body) if isinstance(body, dict) else str(body)
        text = str(body.get("message") or reason) if isinstance(body, dict) else reason
    except ValueError:
        reason = text = answer.text
    return EngineError(
        Message.of(
            N_("The container engine could not do it: {reason}. An administrator finds more in the hub's log."),
            reason=reason.strip()[-300:].rstrip("."),
        ),
        log_text=f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {text.strip()[-2000:]}",
        engine_status=answer.status_code,
    )
