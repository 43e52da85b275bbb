"""Every call of the API: its address, its handler, and what its OpenAPI description says; one table for both."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tornado.web import RequestHandler, url

from mlabhub.ledger import AuditEntry
from mlabhub.messages import Message
from mlabhub.service import bodies
from mlabhub.service.handlers import events, forecasts, images, launches, meta, quotas, servers, spawners
from mlabhub.service.handlers.base import NoSuchCall
from mlabhub.service.quota_bodies import QuotaChangesBody
from mlabhub.service.views import (
    ForecastAccuracy,
    ImageView,
    LaunchAnswer,
    LaunchStatus,
    NodeView,
    NoticeView,
    PreviewAnswer,
    Queued,
    QueueEntryView,
    QuotaChangeView,
    ServerView,
    StorageView,
    UsageView,
)

API = "api/v1/"
Who = Literal["person", "admin", "spawner", "admin or spawner", "anyone"]


@dataclass(frozen=True)
class Call:
    """One method of one address. ``answer`` is a view, or the views of an object's keys; ``also`` other good ones."""

    method: Literal["get", "post", "put", "delete"]
    summary: str
    who: Who
    status: int = 200
    answer: Any = None
    body: type[bodies.Body] | None = None
    query: tuple[str, ...] = ()
    refusals: tuple[int, ...] = ()
    also: Mapping[int, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Route:
    """One address below the service's prefix; ``{name}`` stands for one part of the path."""

    path: str
    handler: type[RequestHandler]
    calls: tuple[Call, ...]


STREAM = object()
"""An answer that goes on: server-sent events."""
SERVER = "{user}/{server}"
RESERVATION = {
    "decision": Literal["admit", "refuse"],
    "launch_id": str,
    "payer": str | None,
    "placement": dict[str, Any],
    "plan": dict[str, Any],
    "reasons": list[dict[str, Any]],
}
STATE = {"state": str, "launch_id": str}

ROUTES: tuple[Route, ...] = (
    Route(
        API + "launches",
        launches.LaunchesHandler,
        (
            Call(
                "post",
                "Start a server: 201 when it was admitted, 202 when it waits for its turn, 409 with the reasons when "
                "it never can, or may not wait. The same Idempotency-Key gives the same answer, also after it started.",
                "person",
                201,
                LaunchAnswer,
                bodies.LaunchBody,
                refusals=(403, 404, 409, 413, 422, 503),
                also={202: Queued},
            ),
        ),
    ),
    Route(
        API + "launches/preview",
        launches.PreviewHandler,
        (
            Call(
                "post",
                "What a launch would be answered, and the forecast for every choice; nothing is reserved.",
                "person",
                200,
                PreviewAnswer,
                bodies.PreviewBody,
            ),
        ),
    ),
    Route(
        API + "launches/{launch_id}",
        launches.LaunchHandler,
        (
            Call("get", "How far a launch came, or when its turn is.", "person", 200, LaunchStatus, refusals=(404,)),
            Call(
                "put",
                "Change what a launch that waits asks for: 202, or 201 where that starts now. It keeps its place if it "
                "asks for no more than before.",
                "person",
                202,
                Queued,
                bodies.ChangeBody,
                refusals=(404, 409, 413, 422, 503),
                also={201: LaunchAnswer},
            ),
            Call(
                "delete",
                "Call a launch off: it leaves the queue, or its server is stopped if it runs.",
                "person",
                200,
                LaunchStatus,
                refusals=(404, 503),
            ),
        ),
    ),
    Route(
        API + "launches/{launch_id}/nearest",
        launches.NearestHandler,
        (
            Call(
                "post",
                "Start the nearest choice that can start now, in place of what waits. 409 where none can; it goes on "
                "waiting then.",
                "person",
                201,
                LaunchAnswer,
                refusals=(404, 409, 503),
            ),
        ),
    ),
    Route(
        API + "launches/{launch_id}/events",
        events.LaunchEventsHandler,
        (
            Call(
                "get",
                "Follow a launch: server-sent events named launch, each with what GET launches/{launch_id} answers, "
                "until it is over.",
                "person",
                200,
                STREAM,
                refusals=(404, 429, 503),
            ),
        ),
    ),
    Route(
        API + "queue",
        launches.QueueHandler,
        (
            Call(
                "get",
                "Who waits, next first. Names as far as one may know them; reasons and options of one's own.",
                "person",
                200,
                {"entries": tuple[QueueEntryView, ...]},
                refusals=(503,),
            ),
        ),
    ),
    Route(
        API + "queue/events",
        events.QueueEventsHandler,
        (
            Call(
                "get",
                "Follow the queue: server-sent events named queue, each with what GET queue answers, whenever that "
                "changed; a comment every 15 seconds. It ends after 5 minutes: come back then.",
                "person",
                200,
                STREAM,
                refusals=(429, 503),
            ),
        ),
    ),
    Route(
        API + "queue/{launch_id}/move",
        launches.MoveHandler,
        (
            Call(
                "post",
                "Put an entry before another one of the same person, or before all of these.",
                "admin",
                200,
                LaunchStatus,
                bodies.MoveBody,
                refusals=(404, 409, 503),
            ),
        ),
    ),
    Route(
        API + "notices",
        launches.NoticesHandler,
        (
            Call(
                "get",
                "What one was told to give back, and until when; for administrators of user=NAME.",
                "person",
                200,
                {"notices": tuple[NoticeView, ...]},
                query=("user",),
            ),
        ),
    ),
    Route(
        API + f"reservations/{SERVER}",
        spawners.ReserveHandler,
        (
            Call(
                "put",
                "Redeem the launch that user_options name, or decide on the spot. A refusal is an answer (200) with "
                "decision refuse; 409 launch_unknown or launch_used when the launch is not to be had.",
                "spawner",
                200,
                RESERVATION,
                bodies.ReserveBody,
                refusals=(403, 409, 422, 503),
            ),
        ),
    ),
    Route(
        API + f"reservations/{SERVER}/placed",
        spawners.PlacedHandler,
        (
            Call(
                "post",
                "Say on which node the cluster put a launch: it holds as many GPUs there from now on. 409 if the "
                "launch was given up.",
                "spawner",
                200,
                {**STATE, "node": str, "gpus": list[str]},
                bodies.PlacedBody,
                refusals=(409, 503),
            ),
        ),
    ),
    Route(
        API + f"reservations/{SERVER}/short",
        spawners.ShortHandler,
        (
            Call(
                "post",
                "Ask what there is too little of for a launch that the cluster finds no node for: a sentence as text "
                "and values, null where by our own count there is a place.",
                "spawner",
                200,
                {"launch_id": str, "short": dict[str, Any] | None},
                bodies.ShortBody,
                refusals=(409, 503),
            ),
        ),
    ),
    Route(
        API + f"reservations/{SERVER}/held",
        spawners.HeldHandler,
        (
            Call(
                "post",
                "Confirm that the server runs; 409 if its launch was given up, so that it has to stop again.",
                "spawner",
                200,
                STATE,
                bodies.HeldBody,
                refusals=(409,),
            ),
        ),
    ),
    Route(
        API + f"reservations/{SERVER}/released",
        spawners.ReleasedHandler,
        (
            Call(
                "post",
                "Give back what a launch held; fine if it holds nothing.",
                "spawner",
                200,
                STATE,
                bodies.ReleasedBody,
            ),
        ),
    ),
    Route(
        API + "servers",
        servers.ServersHandler,
        (
            Call(
                "get",
                "One's own servers; for administrators of user=NAME, or with all=1 all that hold something.",
                "person",
                200,
                {"servers": tuple[ServerView, ...]},
                query=("user", "all"),
            ),
        ),
    ),
    Route(
        API + f"servers/{SERVER}/stop",
        servers.StopHandler,
        (Call("post", "Stop a server. What was installed in it is kept.", "person", 202, {"state": str}),),
    ),
    Route(
        API + f"servers/{SERVER}/release",
        servers.ReleaseHandler,
        (
            Call(
                "post",
                "Stop a server now and give back what it holds, as a notice asks; what was installed in it is kept.",
                "person",
                202,
                {"state": str},
            ),
        ),
    ),
    Route(
        API + f"servers/{SERVER}/reset",
        servers.ResetHandler,
        (
            Call(
                "post", "Forget what was installed in a stopped server.", "person", 200, {"state": str}, refusals=(409,)
            ),
        ),
    ),
    Route(
        API + f"servers/{SERVER}/save",
        images.SaveHandler,
        (
            Call(
                "post",
                "Save a server as an image of its owner's, running or stopped; launches name it saved/NAME.",
                "person",
                201,
                ImageView,
                bodies.SaveBody,
                refusals=(403, 404, 409, 422, 503),
            ),
        ),
    ),
    Route(
        API + "images",
        images.ImagesHandler,
        (
            Call(
                "get",
                "The catalogue's images that one may choose, and one's own; for administrators of user=NAME.",
                "person",
                200,
                {"images": tuple[ImageView, ...]},
                query=("user",),
            ),
        ),
    ),
    Route(
        API + "images/{name}",
        images.ImageHandler,
        (
            Call(
                "delete",
                "Delete an image of one's own; servers that were started from it go on.",
                "person",
                200,
                {"state": str},
                query=("user",),
                refusals=(404,),
            ),
        ),
    ),
    Route(
        API + "gpus",
        servers.GpusHandler,
        (Call("get", "Every node and GPU, and who holds it.", "person", 200, {"nodes": tuple[NodeView, ...]}),),
    ),
    Route(
        API + "forecast/accuracy",
        forecasts.AccuracyHandler,
        (Call("get", "How often people's turn came when they had been told.", "admin", 200, ForecastAccuracy),),
    ),
    Route(
        API + "quotas",
        quotas.QuotasHandler,
        (
            Call(
                "get",
                "What groups and people hold and may hold now, with the changes in force: one's own, for "
                "administrators all, and what is to be noted of it.",
                "person",
                200,
                {"groups": tuple[UsageView, ...], "users": tuple[UsageView, ...], "notes": tuple[Message, ...]},
            ),
        ),
    ),
    Route(
        API + "quotas/changes",
        quotas.QuotaChangesHandler,
        (
            Call(
                "get",
                "The changes of quotas at run time, newest first: of one's groups and one's own, for administrators "
                "all; with name=NAME only those of one group or user.",
                "person",
                200,
                {"changes": tuple[QuotaChangeView, ...]},
                query=("name",),
            ),
            Call(
                "post",
                "Change the quota of a group or user, at once or for a while; 409 if a guarantee would be beyond its "
                "limit at any time. The same Idempotency-Key gives the same answer.",
                "admin",
                201,
                {"changes": tuple[QuotaChangeView, ...], "said": tuple[Message, ...], "notes": tuple[Message, ...]},
                QuotaChangesBody,
                refusals=(404, 409, 422, 503),
            ),
        ),
    ),
    Route(
        API + "quotas/changes/{change_id}",
        quotas.QuotaChangeHandler,
        (
            Call(
                "delete",
                "Undo a change of quotas, whether it is in force or ahead; 409 if it is over, or if what is left would "
                "contradict itself.",
                "admin",
                200,
                QuotaChangeView,
                refusals=(404, 409, 503),
            ),
        ),
    ),
    Route(
        API + "storage",
        servers.StorageHandler,
        (
            Call(
                "get",
                "One's folders and how much room they have, null where it is not known; for administrators of "
                "user=NAME.",
                "person",
                200,
                {"folders": tuple[StorageView, ...]},
                query=("user",),
            ),
        ),
    ),
    Route(
        API + "audit",
        servers.AuditHandler,
        (
            Call(
                "get",
                "Decisions and acts, newest first.",
                "admin",
                200,
                {"entries": tuple[AuditEntry, ...]},
                query=("limit", "before", "user"),
            ),
        ),
    ),
    Route(
        API + "catalogue",
        meta.CatalogueHandler,
        (
            Call(
                "get",
                "Whether the configuration folder is in force as it stands; if not, its faults, and what was read "
                "before stays in force.",
                "admin",
                200,
                {"in_force": bool, "faults": tuple[Message, ...]},
            ),
        ),
    ),
    Route(
        API + "reconcile",
        meta.ReconcileHandler,
        (
            Call(
                "post",
                "Compare hub, backend and ledger now; with repair (or ?repair=1) also end what only runs by mistake.",
                "admin or spawner",
                200,
                {"findings": list[dict[str, Any]]},
                bodies.ReconcileBody,
                query=("repair",),
                refusals=(503,),
            ),
        ),
    ),
    Route(API + "openapi.json", meta.OpenApiHandler, (Call("get", "This description.", "anyone", 200, {}),)),
    Route(
        "health",
        meta.HealthHandler,
        (Call("get", "Whether launches can be decided on.", "anyone", 200, {"status": str}),),
    ),
    Route("metrics", meta.MetricsHandler, (Call("get", "Measures for Prometheus.", "person", 200, str),)),
)


def api_routes(prefix: str) -> list[url]:
    """Return tornado's routes of the API below ``prefix``, which ends in a slash."""
    known = [url(_pattern(prefix + route.path), route.handler) for route in ROUTES]
    return [*known, url(re.escape(prefix) + "api/.*", NoSuchCall)]


def _pattern(path: str) -> str:
    return re.sub(r"\\{\w+\\}", "([^/]*)", re.escape(path)) + "$"
