"""Tokens that say: this very person was asked about this very act a moment ago.

Guarantees: a token is good for one act on one server by one person, once, for ten minutes; none outlives a restart of
the service.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict

LIFETIME_S = 600.0


class ConfirmTokens:
    """Makes and redeems tokens under a key that never leaves this process. ``now`` is seconds since the epoch."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._used: OrderedDict[str, float] = OrderedDict()

    def make(self, *subject: str, now: float) -> str:
        """Return a token for one act; ``subject`` is person, act, user and server."""
        head = f"{int(now)}.{secrets.token_hex(8)}"
        return f"{head}.{self._signature(head, subject)}"

    def redeem(self, token: str, *subject: str, now: float) -> bool:
        """Use a token up; False if it is about something else, too old, or was used before."""
        head, _, signature = token.rpartition(".")
        if not hmac.compare_digest(_bytes(signature), _bytes(self._signature(head, subject))):
            return False
        made = float(head.partition(".")[0])
        self._forget_old(now)
        if head in self._used or not made <= now + 1 <= made + 1 + LIFETIME_S:
            return False
        self._used[head] = made
        return True

    def _forget_old(self, now: float) -> None:
        """Drop used tokens that would be refused for their age anyway; the oldest redeemed stand first."""
        while self._used:
            head, made = next(iter(self._used.items()))
            if now <= made + 2 * LIFETIME_S:
                return
            del self._used[head]

    def _signature(self, head: str, subject: tuple[str, ...]) -> str:
        text = "\0".join((head, *subject))
        return hmac.new(self._key, _bytes(text), hashlib.sha256).hexdigest()


def _bytes(text: str) -> bytes:
    """Return any text as bytes, also what is no valid text."""
    return text.encode("utf-8", "surrogatepass")
