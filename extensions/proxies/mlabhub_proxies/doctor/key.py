"""The key by which the service's page of this server asks its doctor, in a person's browser.

A script that reads here needs the token of this path's cookie, since pages of other people's servers come from the same
address. The service's page cannot read that cookie; it has a key made of the launch's report token in its place.

Guarantees: a key stands for that token and for no login; a server without a report token has none.
"""

from __future__ import annotations

import hashlib
import hmac

from mlabhub_proxies.tools import Environ

HEADER = "X-Mlabhub-Key"
TOKEN_VARIABLE = "MLABHUB_REPORT_TOKEN"
ABOUT = b"mlabhub doctor"


def is_key(given: str, environ: Environ) -> bool:
    """Return whether something is this launch's key."""
    token = environ.get(TOKEN_VARIABLE, "")
    key = hmac.new(token.encode(), ABOUT, hashlib.sha256).hexdigest()
    return bool(token) and hmac.compare_digest(given.encode("utf-8", "replace"), key.encode())
