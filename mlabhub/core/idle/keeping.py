"""Whether a server is kept for a while because somebody asks for it.

Guarantees: pure; nobody keeps a server for longer at a time than the policy lets them, nor more often in one stretch of
idleness; an extension never shortens one that was given before.
"""

from __future__ import annotations

from mlabhub.core.idle.policy import Policy
from mlabhub.core.idle.state import Extension, State
from mlabhub.core.idle.words import span
from mlabhub.messages import N_, Message

NOT_HERE = N_(
    "Servers of this kind cannot be kept: the policy {policy} does not let anybody. Use it, or save your work."
)
OFTEN_ENOUGH = N_(
    "It was kept {count} times already since it was last used, and the policy {policy} allows no more. Use it, or ask "
    "an administrator."
)
NO_TIME = N_("For how long? It can be kept for up to {most} at a time.")


def decide_keeping(
    state: State, policy: Policy, since: float | None, seconds: float, now: float, *, reason: str = "", by: str = ""
) -> Extension | Message:
    """Return the extension that is given, shortened to what is allowed; or why there is none.

    ``since`` is when the server was last seen at work, as its verdict says.
    """
    if not policy.keep_times or not policy.keep_most_s:
        return Message.of(NOT_HERE, policy=policy.name)
    if not seconds > 0:
        return Message.of(NO_TIME, most=span(policy.keep_most_s))
    count = _kept(state, since)
    if count >= policy.keep_times:
        return Message.of(OFTEN_ENOUGH, count=count, policy=policy.name)
    until = max(now + min(seconds, policy.keep_most_s), state.kept_until)
    return Extension(now, until, reason, by)


def keeps_left(state: State, policy: Policy, since: float | None) -> int:
    """Return how often a server can be kept still in this stretch of idleness."""
    return max(policy.keep_times - _kept(state, since), 0) if policy.keep_most_s else 0


def _kept(state: State, since: float | None) -> int:
    return sum(since is None or one.at >= since for one in state.extensions)
