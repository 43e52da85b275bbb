"""The calls of the agents inside servers, each with the token of its launch."""

from __future__ import annotations

from typing import Any

from mlabhub.service import bodies
from mlabhub.service.calls import API, Call, Route
from mlabhub.service.handlers import reports

STATUS = dict[str, Any] | None
TOKEN = (401, 410, 429)

REPORTS_ROUTES: tuple[Route, ...] = (
    Route(
        API + "reports",
        reports.ReportsHandler,
        (
            Call(
                "post",
                "What the agent in a server saw, one report or several, and which warning a tool has shown. Those that "
                "came before, or are too old, are dropped. The answer's status is what the tools in the server show, "
                "its times by the service's clock; null: nothing is known yet. 401: the token is not ours; 403: it is "
                "another server's; 410: its launch is over; 429: too often.",
                "agent",
                200,
                {"taken": int, "dropped": int, "status": STATUS},
                bodies.ReportsBody,
                refusals=(*TOKEN, 413, 422),
            ),
        ),
    ),
    Route(
        API + "reports/keep",
        reports.KeepHandler,
        (
            Call(
                "post",
                "Keep a server though it is idle, as a person in it asks. 409 with the reason where that is not to be.",
                "agent",
                200,
                {"status": STATUS},
                bodies.KeepOwnBody,
                refusals=(*TOKEN, 409, 413, 422, 503),
            ),
        ),
    ),
    Route(
        API + "reports/release",
        reports.ReleaseHandler,
        (
            Call(
                "post",
                "Give a server's GPUs back and keep the work, as a person in it asks.",
                "agent",
                202,
                {"status": STATUS},
                bodies.ReleaseOwnBody,
                refusals=(*TOKEN, 409, 413, 422, 503),
            ),
        ),
    ),
    Route(
        API + "reports/saved",
        reports.SavedHandler,
        (
            Call(
                "post",
                "Say that what the status's order asked for is done: documents saved, a bundle written to the home.",
                "agent",
                200,
                {"status": STATUS},
                bodies.SavedBody,
                refusals=(*TOKEN, 413, 422, 503),
            ),
        ),
    ),
    Route(
        API + "reports/trace",
        reports.TraceHandler,
        (
            Call(
                "get",
                "What the service has measured of this server in the last hours, minute by minute, for the bundle "
                "that is written to the home.",
                "agent",
                200,
                {"samples": list[dict[str, Any]]},
                refusals=(*TOKEN, 503),
            ),
        ),
    ),
)
