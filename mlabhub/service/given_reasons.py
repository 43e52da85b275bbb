"""A reason that somebody gives for what they do: it stands in the audit, and others read it.

Guarantees: one line of at most 500 characters that can be shown.
"""

from __future__ import annotations

from mlabhub.errors import InvalidLaunch
from mlabhub.messages import N_, Message

LONGEST_REASON = 500


def read_reason(text: str, error: type[InvalidLaunch] = InvalidLaunch) -> str:
    """Return a reason as it is kept, empty if there is none. Raises ``error`` for one that is no such line."""
    reason = " ".join(text.split())
    if len(reason) > LONGEST_REASON:
        message = N_("The reason has {length} characters; say it in {most} or less.")
        raise error(Message.of(message, length=len(reason), most=LONGEST_REASON), key="reason")
    if not reason.isprintable():
        raise error(N_("The reason has characters that cannot be shown; leave them out."), key="reason")
    return reason
