"""Search the audit in an SQL database, without ever reading more of it than `AUDIT_WINDOW` entries for one answer.

Every search walks back along one index, from where it is to begin: that of the person, of the actor or of the act where
one is named, else that of the numbers. The window is cut from it first, and looked through then, so that no planner can
choose to read all. Times become numbers by the index of times; a clock that was set back by up to `CLOCK_S` is allowed
for.
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
    looked_at = sa.select(audit).where(*bounds, *named).order_by(audit.c.number.desc()).limit(window).subquery()
    found = (
        sa.select(*(looked_at.c[column.name] for column in _ENTRY))
        .where(*_conditions(looked_at, wanted, by))
        .order_by(looked_at.c.number.desc())
        .limit(limit + 1)
    )
    entries = tuple(audit_of(row) for row in connection.execute(found).mappings())
    if len(entries) > limit:
        return AuditPage(entries[:limit], entries[limit - 1].number)
    last = sa.select(audit.c.number, audit.c.at).where(*bounds, *named).order_by(audit.c.number.desc())
    end = connection.execute(last.offset(window - 1).limit(1)).one_or_none()
    return AuditPage(entries) if end is None else AuditPage(entries, end.number, end.at)


def _index(wanted: AuditFilter) -> tuple[str, list[sa.ColumnElement[bool]]]:
    """Return the name of the column whose index is walked along, if any, and what it is to be."""
    for name in ("user", "actor", "act"):
        if value := getattr(wanted, name):
            return name, [audit.c[name] == value]
    return "", []


def _conditions(of: sa.FromClause, wanted: AuditFilter, by: str) -> list[sa.ColumnElement[bool]]:
    conditions = [
        of.c[name] == value for name in ("user", "actor", "act") if (value := getattr(wanted, name)) and name != by
    ]
    if wanted.server is not None:
        conditions.append(of.c.server == wanted.server)
    if wanted.since is not None:
        conditions.append(of.c.at >= wanted.since)
    if wanted.until is not None:
        conditions.append(of.c.at < wanted.until)
    if wanted.text:
        old = sa.and_(
            of.c.searched.is_(None),
            sa.func.lower(sa.cast(of.c.message, sa.Text)).contains(wanted.text.lower(), autoescape=True),
        )
        conditions.append(of.c.searched.contains(wanted.text.lower(), autoescape=True) | old)
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
