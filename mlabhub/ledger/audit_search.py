"""Search the audit in an SQL database, without ever reading more of it than `AUDIT_WINDOW` entries for one answer.

Every search walks back along one index, from where it is to begin: that of the person, of the actor or of the act where
one is named, else that of the numbers. Where the window ends is found first, by that index alone; all other conditions
are written so that no index is good for them, so that no planner can choose to read more. Times become numbers by the
index of times; a clock that was set back by up to `CLOCK_S` is allowed for.
"""

from __future__ import annotations

import sqlalchemy as sa

from mlabhub.ledger.audit import AuditFilter, AuditPage
from mlabhub.ledger.tables import audit, audit_of

CLOCK_S = 3600.0
_ENTRY = [column for column in audit.c if column.name != "searched"]


def search(connection: sa.Connection, wanted: AuditFilter, *, limit: int, before: int | None, window: int) -> AuditPage:
    """Return the newest entries that are wanted, of those before the number ``before``."""
    bounds = _bounds(connection, wanted, before)
    if bounds is None:
        return AuditPage(())
    by, named = _index(wanted)
    conditions = _conditions(wanted, by)
    window_end = _end(connection, [*bounds, *named], window) if conditions else None
    within = [] if window_end is None else [audit.c.number >= window_end[0]]
    found = (
        sa.select(*_ENTRY).where(*bounds, *named, *within, *conditions).order_by(audit.c.number.desc()).limit(limit + 1)
    )
    entries = tuple(audit_of(row) for row in connection.execute(found).mappings())
    if len(entries) > limit:
        return AuditPage(entries[:limit], entries[limit - 1].number)
    return AuditPage(entries) if window_end is None else AuditPage(entries, *window_end)


def _end(connection: sa.Connection, walked: list[sa.ColumnElement[bool]], window: int) -> tuple[int, float] | None:
    """Return number and time of the last entry of the window; None if it has all there are."""
    last = sa.select(audit.c.number, audit.c.at).where(*walked).order_by(audit.c.number.desc())
    end = connection.execute(last.offset(window - 1).limit(1)).one_or_none()
    return None if end is None else (end.number, end.at)


def _index(wanted: AuditFilter) -> tuple[str, list[sa.ColumnElement[bool]]]:
    """Return the name of the column whose index is walked along, if any, and what it is to be."""
    for name in ("user", "actor", "act"):
        if value := getattr(wanted, name):
            return name, [audit.c[name] == value]
    return "", []


def _conditions(wanted: AuditFilter, by: str) -> list[sa.ColumnElement[bool]]:
    """Return the conditions that are tried on each entry of the window; no index is good for them."""
    of = audit.c
    named = [name for name in ("user", "actor", "act") if name != by and getattr(wanted, name)]
    conditions = [of[name].concat("") == getattr(wanted, name) for name in named]
    if wanted.without:
        conditions.append(of.act.concat("").not_in(wanted.without))
    if wanted.server is not None:
        conditions.append(of.server == wanted.server)
    if wanted.since is not None:
        conditions.append(of.at + 0.0 >= wanted.since)
    if wanted.until is not None:
        conditions.append(of.at + 0.0 < wanted.until)
    if wanted.text:
        text = wanted.text.lower()
        parts = sa.func.lower(sa.cast(of.message, sa.Text)).contains(text, autoescape=True)
        conditions.append(of.searched.contains(text, autoescape=True) | (of.searched.is_(None) & parts))
    return conditions


def _bounds(connection: sa.Connection, wanted: AuditFilter, before: int | None) -> list[sa.ColumnElement[bool]] | None:
    """Return between which numbers the wanted ones are; None if there are none at all."""
    number, at = audit.c.number, audit.c.at
    bounds: list[sa.ColumnElement[bool]] = [] if before is None else [number < before]
    if wanted.until is not None:
        newest = sa.select(at).where(at < wanted.until).order_by(at.desc()).limit(1).scalar_subquery()
        last = connection.scalar(sa.select(sa.func.max(number)).where(at < wanted.until, at >= newest - CLOCK_S))
        if last is None:
            return None
        bounds.append(number <= last)
    if wanted.since is not None:
        oldest = sa.select(at).where(at >= wanted.since).order_by(at).limit(1).scalar_subquery()
        first = connection.scalar(sa.select(sa.func.min(number)).where(at >= wanted.since, at <= oldest + CLOCK_S))
        if first is None:
            return None
        bounds.append(number >= first)
    return bounds
