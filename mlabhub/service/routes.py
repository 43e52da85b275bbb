"""Every call of the API, one table for the addresses and for their OpenAPI description."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from tornado.web import url

from mlabhub.messages import Message
from mlabhub.service import bodies
from mlabhub.service.audit_routes import AUDIT_ROUTES
from mlabhub.service.calls import API, STREAM, Call, Route
from mlabhub.service.cluster_map.views import MapNode
from mlabhub.service.handlers import gpu_map, images, logs, meta, servers, spawners
from mlabhub.service.handlers.base import NoSuchCall
from mlabhub.service.idle_routes import IDLE_ROUTES
from mlabhub.service.people_routes import PEOPLE_ROUTES
from mlabhub.service.reports_routes import REPORTS_ROUTES
from mlabhub.service.server_logs import LogView
from mlabhub.service.sharing_routes import SHARING_ROUTES
from mlabhub.service.usage_routes import USAGE_ROUTES
from mlabhub.service.views import ImageView, LaunchAnswer, NodeView, ServerView, StorageView

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
    *SHARING_ROUTES,
    *IDLE_ROUTES,
    *AUDIT_ROUTES,
    *USAGE_ROUTES,
    *PEOPLE_ROUTES,
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
    *REPORTS_ROUTES,
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
        API + f"servers/{SERVER}/safe-mode",
        servers.SafeModeHandler,
        (
            Call(
                "post",
                "Start a stopped server in safe mode: without GPUs where that can be, as small as its profile allows, "
                "and without running any of its person's start-up files.",
                "person",
                201,
                LaunchAnswer,
                refusals=(403, 404, 409, 422, 503),
            ),
        ),
    ),
    Route(
        API + f"servers/{SERVER}/logs",
        logs.LogsHandler,
        (
            Call(
                "get",
                "The last lines that a server wrote, of which `lines` says how many; skipped tells that there are more "
                "before them. 404 without a log: a container's ends with it.",
                "person",
                200,
                LogView,
                query=("lines",),
                refusals=(404, 422, 503),
            ),
        ),
    ),
    Route(
        API + f"servers/{SERVER}/logs/events",
        logs.LogEventsHandler,
        (
            Call(
                "get",
                "The same, and from then on what the server writes, as server-sent events. The first takes the place "
                "of what is known; each further one adds lines. It ends after some minutes, and with the server.",
                "person",
                200,
                STREAM,
                query=("lines",),
                refusals=(404, 422, 429, 503),
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
        API + "gpus/map",
        gpu_map.MapHandler,
        (
            Call(
                "get",
                "The map of all GPUs: every machine, who holds each GPU since when, how busy it was in a minute, and "
                "how many are in each state; now, or at a moment of the last 24 hours. What is null is not known.",
                "person",
                200,
                {"made": float, "at": float | None, "gpus": Mapping[str, int], "nodes": tuple[MapNode, ...]},
                query=("at",),
                refusals=(422, 503),
            ),
        ),
    ),
    Route(
        API + "gpus/map/events",
        gpu_map.MapEventsHandler,
        (
            Call(
                "get",
                "Follow the map: server-sent events named map with the revision of it, whenever it changed; a comment "
                "every 15 seconds. It ends after 5 minutes: come back then.",
                "person",
                200,
                STREAM,
                refusals=(429, 503),
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
                "Compare hub, backend and ledger now; with repair (or ?repair=1) also end what only runs by mistake; "
                "with dry_run only say what differs, and what would be done about it.",
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
