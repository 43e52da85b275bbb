"""What PostgreSQL's errors mean, in one sentence for a person each.

The server's five letters (SQLSTATE) decide where there are any. A connection that was not made has none: there the
words of libpq are looked at, and words that are not known are shown as they are.
"""

from __future__ import annotations

from mlabhub.messages import N_, Message

AWAY = N_(
    "The ledger's PostgreSQL at {place} does not answer ({reason}); nothing was started. "
    "Start it, or look at the network between, then try again."
)
LOST = N_(
    "The connection to the ledger's PostgreSQL at {place} was lost ({reason}); nothing was started. "
    "It is made again by itself; try again in a moment."
)
LOGIN = N_(
    "PostgreSQL at {place} refuses the ledger's login ({reason}); nothing was started. "
    "Look at the password file and at pg_hba.conf."
)
NO_DATABASE = N_(
    "PostgreSQL at {place} has no such database ({reason}); nothing was started. "
    "Make it with `createdb`, or mend the address given by --ledger."
)
CROWDED = N_(
    "PostgreSQL at {place} has no connection left ({reason}); nothing was started. "
    "Close some, or raise max_connections, then try again."
)
READ_ONLY = N_(
    "PostgreSQL at {place} can only be read ({reason}); nothing was started. "
    "Give the address of the primary server, or end its read-only mode."
)
FULL = N_(
    "The disk of the ledger's PostgreSQL at {place} is full ({reason}); nothing was started. "
    "Free some space there, then try again."
)
LOCKED = N_(
    "The ledger in PostgreSQL at {place} is locked by another program ({reason}); nothing was started. "
    "Close that program, then retry."
)
SLOW = N_(
    "PostgreSQL at {place} took too long ({reason}); nothing was started. "
    "Look at its load and its disk, then try again."
)
RIGHTS = N_(
    "The ledger's user may not do that in PostgreSQL at {place} ({reason}); nothing was started. "
    "Make that user the owner of the database: ALTER DATABASE ... OWNER TO ..."
)
OTHER = N_(
    "The ledger in PostgreSQL at {place} cannot be used ({reason}); nothing was started. "
    "Look at its server's log, then try again."
)

_BY_STATE = {
    "08": LOST,
    "25006": READ_ONLY,
    "25P03": LOST,
    "28": LOGIN,
    "3D000": NO_DATABASE,
    "40": LOCKED,
    "42501": RIGHTS,
    "53100": FULL,
    "53300": CROWDED,
    "55P03": LOCKED,
    "57014": SLOW,
    "57P01": LOST,
    "57P02": LOST,
    "57P03": AWAY,
    "57P05": LOST,
}
_BY_WORDS = {
    "too many clients": CROWDED,
    "too many connections": CROWDED,
    "remaining connection slots": CROWDED,
    "session is read-only": READ_ONLY,
    "hot standby": READ_ONLY,
    "password authentication failed": LOGIN,
    "no password supplied": LOGIN,
    "no pg_hba.conf entry": LOGIN,
    "authentication failed": LOGIN,
    'role "': LOGIN,
    'database "': NO_DATABASE,
    "closed the connection": LOST,
    "connection is lost": LOST,
    "connection is closed": LOST,
    "connection already closed": LOST,
    "failed to resolve": AWAY,
    "wait timeout expired": SLOW,
    "No space left": FULL,
}

PASSING = (AWAY, LOST, CROWDED)
"""What a moment's patience may mend."""


def sentence(place: str, error: BaseException) -> Message:
    """Return what an error of psycopg or SQLAlchemy means."""
    return Message.of(meaning(error), place=place, reason=reason(error))


def meaning(error: BaseException) -> str:
    """Return the template of the sentence."""
    state = getattr(error, "sqlstate", None)
    if state:
        return _BY_STATE.get(state) or _BY_STATE.get(state[:2]) or OTHER
    text = str(error)
    found = next((template for words, template in _BY_WORDS.items() if words in text), None)
    return found or (AWAY if "connection" in text or "timeout" in text else OTHER)


def reason(error: BaseException) -> str:
    """Return the end of the first line that says why: what is before it repeats the address."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    first = next((line for line in lines if "FATAL:" in line or "failed:" in line), lines[0])
    for mark in ("FATAL:", "failed: error:", "failed:"):
        if mark in first:
            first = first.rpartition(mark)[2]
            break
    return first.strip().rstrip(".")[:300]
