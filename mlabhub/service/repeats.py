"""The same request again: what was answered to an ``Idempotency-Key`` is answered once more, word for word.

Guarantees: an answer is kept for its actor alone, as they were told it; another request under the same key is refused.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from mlabhub.core.quote import quote
from mlabhub.errors import InvalidLaunch, LaunchRefused, MLabError, NotFound, NotPermitted
from mlabhub.ledger import StoredAnswer
from mlabhub.messages import N_, Message, message_json, message_of
from mlabhub.service.views import LaunchAnswer
from mlabhub.service.wait_views import Queued, WaitRange

_KINDS: dict[int, type[MLabError]] = {403: NotPermitted, 404: NotFound, 422: InvalidLaunch}


def check_key(key: str) -> str:
    """Return a key that can be kept. Raises `InvalidLaunch`."""
    if not 1 <= len(key) <= 200 or not key.isprintable():
        raise InvalidLaunch(N_("The Idempotency-Key must be 1 to 200 printable characters."), key="Idempotency-Key")
    return key


def fingerprint_of(*parts: Any) -> str:
    """Return what tells a request from another one."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def refusal_to_keep(key: tuple[str, str], fingerprint: str, now: float, error: MLabError) -> StoredAnswer:
    """Return a refusal as it is kept."""
    return StoredAnswer(*key, fingerprint, error.status, error.to_dict(), now)


def answer_to_keep(key: tuple[str, str], fingerprint: str, now: float, answer: LaunchAnswer | Queued) -> StoredAnswer:
    """Return an answer as it is kept; its sentences can be spoken in any language later."""
    body = dict(vars(answer))
    if isinstance(answer, Queued):
        wait, advice = answer.wait, answer.advice
        body["wait"] = {"earliest": wait.earliest, "latest": wait.latest, "say": message_json(wait.say)}
        body["advice"] = None if advice is None else message_json(advice)
        body["nearest"] = None if answer.nearest is None else dict(answer.nearest)
    return StoredAnswer(*key, fingerprint, 202 if isinstance(answer, Queued) else 201, body, now)


def same_request(stored: StoredAnswer, fingerprint: str) -> dict[str, Any]:
    """Return what the same request got before, or raise it. Raises `InvalidLaunch` for another request."""
    if stored.fingerprint != fingerprint:
        raise InvalidLaunch(
            Message.of(
                N_("The Idempotency-Key {key} was used for another request. Take a new key for a new request."),
                key=quote(stored.key),
            )
        )
    if stored.status < 400:
        return stored.body
    error = dict(stored.body["error"])
    raise _KINDS.get(stored.status, LaunchRefused)(str(error.pop("message")), **error)


def repeat(stored: StoredAnswer, fingerprint: str) -> LaunchAnswer | Queued:
    """Return what the same launch got before, or raise it. Raises `InvalidLaunch` for another request.

    One that waited is told so once more, also when it has started since: how far it is, its launch says.
    """
    body = same_request(stored, fingerprint)
    if stored.status != 202:
        return LaunchAnswer(**body)
    wait, advice = body["wait"], body["advice"]
    said = WaitRange(wait["earliest"], wait["latest"], message_of(wait["say"]))
    return Queued(**{**body, "wait": said, "advice": None if advice is None else message_of(advice)})
