"""A login that a command begins on somebody's machine, and that a page of the hub grants: the parts without I/O.

The command makes a secret, the verifier, and opens a page of the hub with its hash, the challenge (RFC 7636, S256).
Whoever says yes there is led back to the command with a code, which the hub takes for a token together with the
verifier.

Guarantees: a code is good once, for a minute, and only with the verifier, which never was in a browser; the browser is
led to this machine's own address and to no other; what an address says is checked before anything of it is shown.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from mlabhub.core.quote import plain

HOST = "127.0.0.1"
PORTS = range(1024, 65536)
CODE_S = 60.0
DAY_S = 86_400
LIFETIMES_S = (DAY_S, 7 * DAY_S, 30 * DAY_S, 365 * DAY_S)
"""How long a token may be good, of which the person who says yes chooses one."""
USUAL_S = 30 * DAY_S
PAGE = "login/terminal"
"""The page that asks, below the hub's own address."""
CALL = "mlabhub/login"
"""Where a code is taken, in the hub's API."""
NO_TOKEN = (
    "This code was used already, is older than a minute, or was made for another command: run `mlabhub login` again."
)
_WORD = re.compile(r"[A-Za-z0-9_-]{43}")


def make_word() -> str:
    """Return 256 random bits as text: a state, a verifier or a code."""
    return secrets.token_urlsafe(32)


def is_word(text: str) -> bool:
    """Return whether a text is as `make_word` makes them."""
    return _WORD.fullmatch(text) is not None


def make_challenge(verifier: str) -> str:
    """Return what may be told of a verifier."""
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


@dataclass(frozen=True)
class Ask:
    """What a command asks for: where it listens, and how it calls the machine that it runs on."""

    port: int
    state: str
    challenge: str
    machine: str

    @property
    def words(self) -> dict[str, str]:
        """The same as an address or a form carries it."""
        return {"port": str(self.port), "state": self.state, "challenge": self.challenge, "machine": self.machine}

    @property
    def listener(self) -> str:
        """Where the command listens, without a path."""
        return f"http://{HOST}:{self.port}"

    def answer(self, **told: str) -> str:
        """Return the address that tells the command."""
        return f"{self.listener}/?{urlencode({**told, 'state': self.state})}"


def read_ask(given: Mapping[str, str]) -> Ask | None:
    """Return what an address or a form asks for, or None if it is not what the command would send."""
    port, state, challenge = (given.get(name, "") for name in ("port", "state", "challenge"))
    machine = plain(given.get("machine", "").strip())
    if not (is_word(state) and is_word(challenge) and machine and re.fullmatch("[1-9][0-9]{3,4}", port)):
        return None
    return Ask(int(port), state, challenge, machine) if int(port) in PORTS else None


def lifetimes(most: int) -> tuple[int, ...]:
    """Return the seconds that can be chosen from where the hub allows no more than ``most``; 0 is no limit."""
    return tuple(seconds for seconds in LIFETIMES_S if not most or seconds <= most) or (most,)


def choose_lifetime(typed: str, most: int) -> int:
    """Return the seconds that a form says, if they can be chosen, else the usual ones."""
    offered = lifetimes(most)
    usual = USUAL_S if USUAL_S in offered else offered[-1]
    return next((seconds for seconds in offered if str(seconds) == typed), usual)


@dataclass(frozen=True)
class Granted:
    """What somebody said yes to; ``session`` is what the hub changes when all their logins end."""

    person: str
    session: str
    machine: str
    seconds: int
    challenge: str

    @property
    def note(self) -> str:
        """What the token is called on the page Tokens."""
        return f"mlabhub login on {self.machine}"


class Codes:
    """Codes that wait to be taken, in memory alone. ``now`` is seconds of a clock that does not jump."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[float, Granted]] = {}

    def make(self, granted: Granted, now: float) -> str:
        """Return the code for what was granted."""
        self._waiting = {code: one for code, one in self._waiting.items() if now < one[0]}
        code = make_word()
        self._waiting[code] = (now + CODE_S, granted)
        return code

    def redeem(self, code: str, verifier: str, now: float) -> Granted | None:
        """Use a code up, also by a wrong verifier; None if it buys nothing."""
        until, granted = self._waiting.pop(code, (now, None))
        if granted is None or now >= until or not is_word(verifier):
            return None
        return granted if hmac.compare_digest(make_challenge(verifier), granted.challenge) else None
