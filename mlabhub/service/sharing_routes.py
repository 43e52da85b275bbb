"""The calls of who gets what: launches, the queue, notices, forecasts and quotas."""

from __future__ import annotations

from mlabhub.messages import Message
from mlabhub.service import bodies
from mlabhub.service.calls import API, STREAM, Call, Route
from mlabhub.service.handlers import events, forecasts, launches, quotas
from mlabhub.service.quota_bodies import QuotaChangesBody
from mlabhub.service.views import LaunchAnswer, LaunchStatus, PreviewAnswer, QuotaChangeView, UsageView
from mlabhub.service.wait_views import ForecastAccuracy, NoticeView, Queued, QueueEntryView

SHARING_ROUTES: tuple[Route, ...] = (
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
                "Call a launch off: it leaves the queue, or its server is stopped if it runs. A reason stands in the "
                "audit, and its person is told it, if somebody else takes it out of the queue.",
                "person",
                200,
                LaunchStatus,
                query=("reason",),
                refusals=(404, 422, 503),
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
                "changed; of more than 200 entries the first 200 and all of one's own, and left_out says how many "
                "more there are; a comment every 15 seconds. It ends after 5 minutes: come back then.",
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
                "What one was told to give back, and until when at least; for administrators of user=NAME.",
                "person",
                200,
                {"notices": tuple[NoticeView, ...]},
                query=("user",),
            ),
        ),
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
)
