"""What becomes of a closed account in the ledger; each a function of the projection.

Guarantees: as in `reservations`: every act can be repeated, none does I/O or reads a clock. From the moment that an
account is closed nothing starts for it, nothing of it waits, and no quota of its own counts.
"""

from __future__ import annotations

from dataclasses import replace

from mlabhub.core.closed_accounts import ClosedAccount
from mlabhub.core.moments import write_moment
from mlabhub.core.quota_changes import QuotaChange
from mlabhub.core.quote import plain
from mlabhub.errors import LaunchRefused
from mlabhub.ledger import AuditEntry, Record
from mlabhub.messages import N_, Message
from mlabhub.service.projection import Projection
from mlabhub.service.queue.acts import leave
from mlabhub.service.quota_views import state_of
from mlabhub.service.writer import Act, Outcome

CLOSED = N_("the account of {user} was closed; its files are kept until {until}")
REOPENED = N_("the account of {user} was reopened")
CLEANED = N_("the files of {user} were removed: the account was closed {closed}")
NOT_CLOSED = N_("The account of {user} is not closed.")
GONE = N_("The files of {user} were removed already, so that there is nothing to reopen. Open a new account instead.")
TOO_EARLY = N_("The files of {user} are kept until {until}.")


def own_changes(projection: Projection, user: str, now: float) -> list[QuotaChange]:
    """Return a person's own quotas that count, or will."""
    changes = projection.quota_changes.values()
    return [
        one for one in changes if one.part == "cap" and one.name == user and state_of(one, now) in ("in force", "ahead")
    ]


def close(
    user: str, keep_until: float | None, longest: float, actor: str, reason: str, now: float
) -> Act[ClosedAccount]:
    """Close an account: its files are kept until ``keep_until``, else until ``longest`` unless it was said before."""

    def act(projection: Projection) -> Outcome[ClosedAccount]:
        known = projection.closed.get(user)
        if known is not None and known.state == "cleaned":
            raise LaunchRefused(Message.of(GONE, user=plain(user)))
        records: list[Record] = []
        for entry in [one for one in projection.queue.values() if one.user == user and one.state == "waiting"]:
            records += leave(entry.launch_id, actor, now)(projection).records
        ended = own_changes(projection, user, now)
        records += [replace(one, undone=now, undone_by=actor) for one in ended]
        until = keep_until if keep_until is not None else known.keep_until if known is not None else longest
        quotas = (*(known.quota_changes if known else ()), *(one.change_id for one in ended))
        at = known.at if known else now
        closed = ClosedAccount(user, at, until, actor, reason or (known.reason if known else ""), "closed", now, quotas)
        said = Message.of(CLOSED, user=plain(user), until=write_moment(until))
        return Outcome(closed, (closed, *records, _audit(now, actor, "close account", said, user)))

    return act


def reopen(user: str, actor: str, now: float) -> Act[ClosedAccount]:
    """Reopen an account with the quotas that ended with it.

    Raises `LaunchRefused` for one that is not closed, or whose files are gone.
    """

    def act(projection: Projection) -> Outcome[ClosedAccount]:
        known = closed_account(projection, user)
        if known.state == "cleaned":
            raise LaunchRefused(Message.of(GONE, user=plain(user)))
        changes = projection.quota_changes
        ended = [changes[one] for one in known.quota_changes if one in changes]
        reopened = replace(known, state="reopened", changed=now, actor=actor)
        entry = _audit(now, actor, "reopen account", Message.of(REOPENED, user=plain(user)), user)
        return Outcome(reopened, (reopened, *(replace(one, undone=None, undone_by="") for one in ended), entry))

    return act


def renew(user: str, actor: str, now: float) -> Act[None]:
    """Let a name be used anew whose account was closed and cleaned up."""

    def act(projection: Projection) -> Outcome[None]:
        known = projection.closed.get(user)
        return Outcome(None, () if known is None else (replace(known, state="reopened", changed=now, actor=actor),))

    return act


def clean(user: str, actor: str, now: float) -> Act[ClosedAccount]:
    """Note that a closed account's files are gone. Raises `LaunchRefused` while they are to be kept."""

    def act(projection: Projection) -> Outcome[ClosedAccount]:
        known = closed_account(projection, user)
        if known.state == "cleaned":
            return Outcome(known)
        if not known.may_be_cleaned(now):
            text = Message.of(TOO_EARLY, user=plain(user), until=write_moment(known.keep_until))
            raise LaunchRefused(text, code="kept_still")
        cleaned = replace(known, state="cleaned", changed=now, actor=actor)
        said = Message.of(CLEANED, user=plain(user), closed=write_moment(known.at))
        return Outcome(cleaned, (cleaned, _audit(now, actor, "clean account", said, user)))

    return act


def note(user: str, act_name: str, said: Message, actor: str, now: float) -> Act[None]:
    """Write into the audit what was done at the hub."""
    return lambda _: Outcome(None, (_audit(now, actor, act_name, said, user),))


def closed_account(projection: Projection, user: str) -> ClosedAccount:
    """Return the closed account of a person. Raises `LaunchRefused` for one that is not closed."""
    known = projection.closed.get(user)
    if known is None:
        raise LaunchRefused(Message.of(NOT_CLOSED, user=plain(user)), code="not_closed")
    return known


def _audit(now: float, actor: str, act_name: str, said: Message, user: str) -> AuditEntry:
    return AuditEntry(now, actor, act_name, said, user=user)
