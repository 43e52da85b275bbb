"""The client of accounts against a small hub: with accounts of its own, and where logins come from elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from mlabhub.client import HubAccounts, NoPasswords
from mlabhub.errors import LaunchRefused, MLabError, NotFound, NotPermitted, Unavailable
from tests.client.test_hub import SmallHub
from tests.client.test_hub import hub as hub

ANN = {"name": "ann", "admin": False, "groups": ["nlp"], "last_activity": "2026-11-27T12:00:00.5Z"}
OURS = "/hub/api/mlabhub/accounts"


@pytest.fixture
async def client(hub: SmallHub) -> AsyncIterator[HubAccounts]:
    one = HubAccounts(hub.url, timeout_s=2.0)
    yield one
    await one.close()


async def test_an_account_of_the_hubs_own(hub: SmallHub, client: HubAccounts) -> None:
    hub.answers[f"{OURS}/ann"] = (200, {**ANN, "account": "open"})
    one = await client.account("secret", "ann")
    assert (one.name, one.groups, one.account, one.last_activity) == ("ann", ("nlp",), "open", 1795780800.5)


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (404, "There is no account 'ann'.", NotFound),
        (403, "Action is not authorized with current scopes", NotPermitted),
        (409, "ann is the last administrator who can log in.", LaunchRefused),
        (500, "Internal Server Error", Unavailable),
    ],
)
async def test_what_the_hub_refuses(
    hub: SmallHub, client: HubAccounts, status: int, message: str, kind: type[MLabError]
) -> None:
    hub.answers[f"{OURS}/ann/close"] = (status, {"status": status, "message": message})
    with pytest.raises(kind) as refused:
        await client.act("secret", "ann", "close")
    assert type(refused.value) is kind
    if status in (404, 409):
        assert str(refused.value) == message


async def test_a_hub_that_is_away(client: HubAccounts, hub: SmallHub) -> None:
    away = HubAccounts("http://127.0.0.1:1/hub/", timeout_s=1.0)
    with pytest.raises(Unavailable):
        await away.account("secret", "ann")
    await away.close()


async def test_where_logins_come_from_elsewhere(hub: SmallHub, client: HubAccounts) -> None:
    """Such a hub has none of our calls: users and groups are made by its own, and nobody gets a password."""
    page: dict[str, Any] = {"items": [ANN], "_pagination": {"total": 1, "next": None}}
    hub.answers |= {
        "/hub/api/users/ann": (201, ANN),
        "/hub/api/groups/vision": (409, {"message": "there"}),
        "/hub/api/groups/vision/users": (200, {}),
        "/hub/api/groups/nlp/users": (200, {}),
        "/hub/api/users?name_filter=a&offset=0&limit=50&sort=name": (200, page),
        "/hub/api/groups?limit=200": (200, {**page, "items": [{"name": "nlp"}]}),
    }
    assert await client.open("secret", "ann", groups=["vision"], admin=False, password="x") == "made"
    assert ("POST", "/hub/api/groups/vision/users", {"users": ["ann"]}) in hub.asked
    hub.answers["/hub/api/users/ann"] = (409, {"message": "User ann already exists"})
    assert await client.open("secret", "ann", groups=[], admin=False, password="x") == "already"
    assert [one.account for one in (await client.page("secret", "a", 0, 50)).items] == ["elsewhere"]
    assert await client.groups("secret") == ("nlp",)
    hub.answers["/hub/api/users/ann"] = (200, ANN)
    await client.set_groups("secret", "ann", ["vision"])
    assert hub.asked[-1] == ("DELETE", "/hub/api/groups/nlp/users", {"users": ["ann"]})
    with pytest.raises(NoPasswords):
        await client.set_password("secret", "ann", "x")
    with pytest.raises(NotFound):
        await client.account("secret", "nobody")
