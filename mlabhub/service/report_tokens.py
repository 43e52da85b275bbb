"""The token with which the agent in a server reports: made for one launch, and good for nothing else.

Guarantees: whoever holds one can say for which server and launch it was made, and cannot make one for another; checking
it takes nothing but the service's key, so that neither hub nor ledger is asked.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass

VARIABLE = "MLABHUB_REPORT_TOKEN"
"""By which a server finds its token in its environment."""
LONGEST_TOKEN = 4096
_KIND = "r1"
DOCTOR = b"mlabhub doctor"
"""What a key is for: see `mlabhub_proxies.doctor.key`, which makes the same one of its token."""


@dataclass(frozen=True)
class Subject:
    """What a token is about."""

    user: str
    server: str
    launch_id: str

    @property
    def name(self) -> str:
        """The server as samples name it: ``alice/train``, and ``alice/`` for the default one."""
        return f"{self.user}/{self.server}"


class ReportTokens:
    """Makes and checks tokens. The key is made of a secret of the service's, so that a restart changes none."""

    def __init__(self, secret: str):
        self._key = hmac.new(secret.encode(), b"mlabhub report tokens", hashlib.sha256).digest()

    def make(self, subject: Subject) -> str:
        """Return the token of a launch, always the same one."""
        head = _encode(json.dumps([subject.user, subject.server, subject.launch_id]).encode())
        return f"{_KIND}.{head}.{self._signature(head)}"

    def doctor_key(self, subject: Subject) -> str:
        """Return by what the page of a launch asks its server's doctor; the token does not follow from it."""
        return hmac.new(self.make(subject).encode(), DOCTOR, hashlib.sha256).hexdigest()

    def read(self, token: str) -> Subject | None:
        """Return what a token is about; None if this service did not make it."""
        kind, _, rest = token.partition(".")
        head, _, signature = rest.partition(".")
        if len(token) > LONGEST_TOKEN or kind != _KIND:
            return None
        if not hmac.compare_digest(signature.encode("utf-8", "replace"), self._signature(head).encode()):
            return None
        try:
            return Subject(*json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4))))
        except (binascii.Error, ValueError, TypeError):
            return None

    def _signature(self, head: str) -> str:
        about = f"{_KIND}.{head}".encode("utf-8", "replace")
        return _encode(hmac.new(self._key, about, hashlib.sha256).digest())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
