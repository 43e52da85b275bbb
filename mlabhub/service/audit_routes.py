"""The calls that read the audit; there is none that changes it."""

from __future__ import annotations

from mlabhub.ledger import AuditEntry
from mlabhub.service.calls import API, Call, Route
from mlabhub.service.handlers import audit

FILTERS = ("user", "actor", "act", "server", "from", "to", "text")

AUDIT_ROUTES: tuple[Route, ...] = (
    Route(
        API + "audit",
        audit.AuditHandler,
        (
            Call(
                "get",
                "Decisions and acts, newest first: of a user, by an actor, of an act, of a server, between from and to "
                "(days, moments with their zone, or seconds since the epoch), with a text in a name or in the "
                "sentence. To go on, give next as before; with searched_to the search ended there for the time being, "
                "and what is older was not looked at.",
                "admin",
                200,
                {"entries": tuple[AuditEntry, ...], "next": int | None, "searched_to": float | None},
                query=(*FILTERS, "limit", "before"),
                refusals=(422, 503),
            ),
        ),
    ),
    Route(
        API + "audit/export",
        audit.AuditExportHandler,
        (
            Call(
                "get",
                "The same as a file of any length: format=jsonl, one JSON object a line, or format=csv.",
                "admin",
                200,
                str,
                query=(*FILTERS, "format"),
                refusals=(422, 503),
            ),
        ),
    ),
)
