"""The calls of what stands idle: why, keeping it, giving GPUs back and having them again."""

from __future__ import annotations

from mlabhub.service import bodies
from mlabhub.service.calls import API, Call, Route
from mlabhub.service.handlers import idle
from mlabhub.service.idle.answers import IdleAnswer, OverviewAnswer, SampleAnswer
from mlabhub.service.shelving.views import Returning
from mlabhub.service.views import LaunchAnswer, ShelvedView
from mlabhub.service.wait_views import Queued

SERVER = API + "servers/{user}/{server}/"

IDLE_ROUTES: tuple[Route, ...] = (
    Route(
        SERVER + "idle",
        idle.IdleHandler,
        (
            Call(
                "get",
                "The verdict on a server that runs: at work, idle, not known, warned or to be stopped; signal by "
                "signal, with the rule that holds. 404 also for somebody else's.",
                "person",
                200,
                IdleAnswer,
                refusals=(404,),
            ),
        ),
    ),
    Route(
        SERVER + "samples",
        idle.SamplesHandler,
        (
            Call(
                "get",
                "How busy a server was, oldest first: of the last 24 hours, or between since and until (seconds since "
                "the epoch, or moments with their zone), 7 days at most. What is null was not known.",
                "person",
                200,
                {"since": float, "until": float, "samples": tuple[SampleAnswer, ...]},
                query=("since", "until"),
                refusals=(404, 422, 503),
            ),
        ),
    ),
    Route(
        SERVER + "extend",
        idle.ExtendHandler,
        (
            Call(
                "post",
                "Keep a server for a while although it is idle, as long and as often as its rule allows; longer wishes "
                "are shortened to that. A warning in force is withdrawn. 409 where the rule allows no more.",
                "person",
                200,
                IdleAnswer,
                bodies.ExtendBody,
                refusals=(404, 409, 422, 503),
            ),
        ),
    ),
    Route(
        SERVER + "release-gpu",
        idle.ReleaseGpuHandler,
        (
            Call(
                "post",
                "Give a server's GPUs back and keep the work: what is open is saved, the server stops, and starts "
                "again by itself without GPUs. 409 if it has none, or does not run.",
                "person",
                202,
                ShelvedView,
                bodies.ReasonBody,
                refusals=(404, 409, 422, 503),
            ),
        ),
    ),
    Route(
        SERVER + "bring-back",
        idle.BringBackHandler,
        (
            Call(
                "post",
                "Let a server that gave its GPUs back have them again: 201 when it starts with them, 202 while what "
                "runs without them still ends, or with queue where they are not free. Without queue that is 409 with "
                "the code would_wait, and nothing ends.",
                "person",
                201,
                LaunchAnswer,
                bodies.BringBackBody,
                refusals=(404, 409, 422, 503),
                also={202: Queued | Returning},
            ),
        ),
    ),
    Route(
        API + "idle",
        idle.IdleOverviewHandler,
        (
            Call(
                "get",
                "What idleness comes to: what dry runs would have stopped, with hours and regrets; of which servers "
                "nobody knows whether they are used; silent agents; warnings that reach nobody; what was kept and why.",
                "admin",
                200,
                OverviewAnswer,
                refusals=(503,),
            ),
        ),
    ),
)
