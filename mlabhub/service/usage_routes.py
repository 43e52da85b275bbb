"""The call about usage."""

from __future__ import annotations

from mlabhub.ledger.usage import By
from mlabhub.service.calls import API, Call, Route
from mlabhub.service.handlers import usage
from mlabhub.service.usage.views import Covers, UsageRow, UsageSums

USAGE_ROUTES: tuple[Route, ...] = (
    Route(
        API + "usage",
        usage.UsageHandler,
        (
            Call(
                "get",
                "GPU time allocated, used, wasted (held but idle), not known and waited for, in GPU seconds: by user, "
                "group, profile or day, from one day to another (2026-11-27, both included; the last 30 days if "
                "absent). Everybody's for administrators; else one's own, by group that of one's groups. Most wasted "
                "first; by day in order. until is up to when it is added up, in seconds since the epoch; count how "
                "many rows there are beyond limit and offset. With format=csv all rows, in GPU-hours.",
                "person",
                200,
                {
                    "by": By,
                    "from": str,
                    "to": str,
                    "covers": Covers,
                    "until": float | None,
                    "count": int,
                    "total": UsageSums,
                    "rows": tuple[UsageRow, ...],
                },
                query=("by", "from", "to", "limit", "offset", "format"),
                refusals=(422, 503),
            ),
        ),
    ),
)
