"""The calls about people's accounts."""

from __future__ import annotations

from mlabhub.service import bodies
from mlabhub.service.calls import API, Call, Route
from mlabhub.service.handlers import people
from mlabhub.service.people.views import ClosedView, ClosingView, OpenedView, PeopleView, PersonView

PEOPLE_ROUTES: tuple[Route, ...] = (
    Route(
        API + "people",
        people.PeopleHandler,
        (
            Call(
                "get",
                "People by name, and who asked for an account. search is part of a name, or group: and a group's name.",
                "admin",
                200,
                PeopleView,
                query=("search", "offset", "limit"),
            ),
            Call(
                "post",
                "Open an account in one step: user, groups, quota, first server, and a password that is told once. "
                "What is there already is added to; faults say what did not work once the account is open.",
                "admin",
                201,
                OpenedView,
                bodies.PersonBody,
                refusals=(403, 404, 409, 413, 422, 503),
            ),
        ),
    ),
    Route(
        API + "people/{user}",
        people.PersonHandler,
        (Call("get", "One person's account.", "admin", 200, PersonView, refusals=(404,)),),
    ),
    Route(
        API + "people/{user}/close",
        people.CloseHandler,
        (
            Call(
                "get",
                "What closing an account does: servers that stop, entries that leave the queue, quotas that end, and "
                "until when which files are kept. Nothing is done.",
                "admin",
                200,
                ClosingView,
                query=("keep_days",),
                refusals=(404, 409),
            ),
            Call(
                "post",
                "Close an account: nobody logs in there, nothing starts, and its files are kept. Closing again does "
                "what did not work before.",
                "admin",
                200,
                ClosingView,
                bodies.CloseBody,
                refusals=(403, 404, 409, 503),
            ),
        ),
    ),
    Route(
        API + "people/{user}/reopen",
        people.ReopenHandler,
        (
            Call(
                "post",
                "Reopen a closed account, with its password, groups and quotas, as long as its files are here.",
                "admin",
                200,
                PersonView,
                refusals=(403, 404, 409, 503),
            ),
        ),
    ),
    Route(
        API + "people/{user}/password",
        people.PasswordHandler,
        (
            Call(
                "post",
                "Give a new password, told once. Whoever is logged in there is logged out, and tokens end.",
                "admin",
                200,
                {"name": str, "password": str},
                bodies.PasswordBody,
                refusals=(403, 404, 409, 503),
            ),
        ),
    ),
    Route(
        API + "people/{user}/groups",
        people.GroupsHandler,
        (
            Call(
                "put",
                "Set which groups a person is in. Servers that run go on as they are.",
                "admin",
                200,
                PersonView,
                bodies.GroupsBody,
                refusals=(403, 404, 422, 503),
            ),
        ),
    ),
    Route(
        API + "people/{user}/clean",
        people.CleanHandler,
        (
            Call(
                "post",
                "Remove the saved images of a closed account whose files are not to be kept any longer, and note that "
                "its folders are gone. The folders are removed by mlabhub user clean, before.",
                "admin",
                200,
                ClosedView,
                refusals=(404, 409, 503),
            ),
        ),
    ),
    Route(
        API + "closed-accounts",
        people.ClosedHandler,
        (
            Call(
                "get",
                "Closed accounts, those first whose files are kept the shortest; due are those to clean up.",
                "admin",
                200,
                {"accounts": tuple[ClosedView, ...]},
            ),
        ),
    ),
)
