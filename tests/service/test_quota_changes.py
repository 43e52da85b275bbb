"""Quotas that are changed at run time: in force at once, for a while, and undone; refused when they cannot be."""

from __future__ import annotations

import asyncio
import time
from gettext import NullTranslations
from typing import Any

import pytest

from mlabhub.core.moments import write_moment
from mlabhub.errors import LaunchRefused, MLabError
from mlabhub.i18n import Translator
from mlabhub.ledger import LedgerUnavailable, QuotaChange
from mlabhub.service.pages.payer import head_sentences
from mlabhub.service.quota_bodies import InvalidChange, QuotaChangesBody, read_changes
from mlabhub.service.quota_desk import MOST_LIVE
from mlabhub.service.scopes import SET_QUOTAS_SCOPE
from mlabhub.service.views import Person
from mlabhub.service.writer import Outcome
from tests.service.conftest import Running
from tests.service.test_api import error_of

CHANGES = "api/v1/quotas/changes"
WEEK: dict[str, Any] = {"group": "vision", "limit": {"gpu:a100": "+2"}, "reason": "deadline week"}


async def change(running: Running, status: int = 201, who: str = "admin", **body: Any) -> Any:
    answer = await running.call("POST", CHANGES, who, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def usage(running: Running, name: str = "vision", who: str = "admin", of: str = "groups") -> dict[str, Any]:
    found = (await running.call("GET", "api/v1/quotas", who)).json()[of]
    return next(one for one in found if one["name"] == name)


async def launch(running: Running, gpus: int, who: str = "alice", server: str = "x") -> int:
    body = {"server_name": server, "user_options": {"profile": "gpu", "gpus": gpus}, "queue": False}
    return (await running.call("POST", "api/v1/launches", who, json=body)).status_code


def set_clock(running: Running, ahead: float) -> float:
    """Let the service's clock be that much ahead; return what it says."""
    running.world.clock = lambda: time.time() + ahead
    running.world.catalog._clock = running.world.clock  # type: ignore[attr-defined]
    return running.world.clock()


async def test_a_change_counts_at_once_and_is_undone(running: Running) -> None:
    assert await launch(running, 7) == 409
    made = (await change(running, **WEEK))["changes"][0]
    assert made["what"] == "limit gpu:a100 +2"
    assert (made["state"], made["author"], made["reason"]) == ("in force", "admin", "deadline week")
    now = await usage(running)
    assert (now["limit"], [one["change_id"] for one in now["changes"]]) == ({"gpu:a100": 8.0}, [made["change_id"]])
    assert await launch(running, 7) == 201
    gone = await running.call("DELETE", f"{CHANGES}/{made['change_id']}", "admin")
    assert (gone.status_code, gone.json()["state"], gone.json()["undone_by"]) == (200, "undone", "admin")
    assert (await running.call("DELETE", f"{CHANGES}/{made['change_id']}", "admin")).json() == gone.json()
    assert (await usage(running))["limit"] == {"gpu:a100": 6.0}
    assert await launch(running, 1, server="y") == 409
    assert running.of_server("alice", "x") is not None, "what runs is not touched"


async def test_the_audit_has_the_numbers_before_and_after(running: Running) -> None:
    until = running.world.clock() + 86400
    made = await change(running, until=until, **WEEK)
    await running.call("DELETE", f"{CHANGES}/{made['changes'][0]['change_id']}", "admin")
    await change(running, user="alice", cap={"gpu": 2}, reason="new")
    entries = (await running.call("GET", "api/v1/audit", "admin")).json()["entries"]
    assert [(one["act"], one["actor"], one["user"], one["message"]) for one in entries] == [
        ("quota", "admin", "alice", "alice: cap gpu was 8 and is 2 at once: new"),
        (
            "quota undone",
            "admin",
            "",
            "vision: limit gpu:a100 was 8 and is 6: the change of admin was undone (deadline week)",
        ),
        (
            "quota",
            "admin",
            "",
            f"vision: limit gpu:a100 was 6 and is 8 at once, until {write_moment(until)}: deadline week",
        ),
    ]
    assert made["said"] == [entries[-1]["message"]]


async def test_it_begins_and_ends_by_itself(running: Running) -> None:
    now = running.world.clock()
    body = {**WEEK, "from": write_moment(now + 3600), "until": now + 7200}
    assert (await change(running, **body))["changes"][0]["state"] == "ahead"
    limits, states = [], []
    for ahead in (0, 3601, 7201, 3601, 0):
        set_clock(running, ahead)
        limits.append((await usage(running))["limit"]["gpu:a100"])
        states.append((await running.call("GET", CHANGES, "admin")).json()["changes"][0]["state"])
    assert limits == [6, 8, 6, 8, 6]
    assert states == ["ahead", "in force", "over", "in force", "ahead"]
    set_clock(running, 7201)
    (over,) = (await running.call("GET", CHANGES, "admin")).json()["changes"]
    assert (
        "ended by itself"
        in error_of(await running.call("DELETE", f"{CHANGES}/{over['change_id']}", "admin"), 409)["message"]
    )


async def test_what_is_added_later_is_added_to_what_there_is_then(running: Running) -> None:
    now = running.world.clock()
    later = {"group": "vision", "limit": {"cpu": "+4"}, "reason": "r", "from": now + 7200}
    assert "has no limit" in (await change(running, 422, **later))["error"]["message"]
    await change(running, group="vision", limit={"cpu": 8}, reason="r", **{"from": now + 3600})
    assert "limit cpu was 8 and is 12 from" in (await change(running, **later))["said"][0]


async def test_the_catalogue_is_made_anew_only_when_something_changed(running: Running) -> None:
    catalog = running.world.catalog
    assert catalog() is catalog() is catalog.configured()
    await change(running, **WEEK)
    first = catalog()
    assert first is catalog() is not catalog.configured()
    assert await launch(running, 1) == 201
    assert catalog() is first
    await change(running, user="bob", cap={"gpu": None}, reason="trusted")
    assert catalog() is not first
    assert (await usage(running, "bob", "bob", "users"))["limit"] == {"servers": 20.0}


async def test_several_parts_are_made_together_or_not_at_all(running: Running) -> None:
    error = error_of(await running.call("POST", CHANGES, "admin", json={**WEEK, "guaranteed": {"gpu:a100": 16}}), 409)
    assert (error["code"], error["message"]) == (
        "quota_contradiction",
        "vision would have a contradiction: gpu:a100 guarantees 16, more than the limit of 8 gpu:a100; lower one or "
        "raise the other.",
    )
    assert running.projection.quota_changes == {}
    made = await change(running, **{**WEEK, "guaranteed": {"gpu:a100": 16}, "limit": {"gpu:a100": 16}})
    assert len({one["change_id"] for one in made["changes"]}) == 2
    assert made["notes"] == [
        "Groups are guaranteed 16 GPU together, and the machines have 8 GPU: vision 16 GPU. Whoever asks for the rest "
        "of a guarantee may find nothing to take back.",
        "Groups are guaranteed 16 A100 together, and the machines have 8 A100: vision 16 A100. Whoever asks for the "
        "rest of a guarantee may find nothing to take back.",
    ]
    limit = next(one for one in made["changes"] if one["part"] == "limit")
    error = error_of(await running.call("DELETE", f"{CHANGES}/{limit['change_id']}", "admin"), 409)
    assert "Undo, or change, what depends on it first." in error["message"]
    assert (await usage(running))["limit"] == {"gpu:a100": 16.0}


async def test_a_configuration_edited_under_a_change_fails_closed(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlabhub.service.catalogue.SETTLED_AFTER_S", 0.0)
    await change(running, group="vision", guaranteed={"gpu:a100": 6}, reason="ours")
    file = running.settings.config_dir / "quotas.yaml"
    file.write_text(file.read_text().replace('"gpu:a100": 6', '"gpu:a100": 4'))
    catalog: Any = running.world.catalog
    for _ in range(2):  # an edit counts when it has stayed the same for a look
        catalog.look()
    now = await usage(running)
    assert (now["limit"], now["guaranteed"]) == ({"gpu:a100": 4.0}, {"gpu:a100": 4.0})
    (note,) = await running.world.quota_notes.look()
    assert "vision: gpu:a100 guarantees 6, more than the limit of 4 gpu:a100" in str(note)
    assert (await running.call("GET", "api/v1/quotas", "admin")).json()["notes"] == [str(note)]
    assert (await running.call("GET", "api/v1/quotas", "alice")).json()["notes"] == []


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "nobody": ({"reason": "x", "limit": {"gpu": 1}}, "Name the group or the user"),
    "both": ({**WEEK, "user": "alice"}, "Name the group or the user"),
    "an empty name": ({**WEEK, "group": ""}, "Name the group or the user"),
    "nothing to change": ({"group": "vision", "reason": "x"}, "Say what is to change"),
    "a cap of a group": ({"group": "vision", "cap": {"gpu": 1}, "reason": "x"}, "Say what is to change"),
    "a limit of a user": ({"user": "alice", "limit": {"gpu": 1}, "reason": "x"}, "Say what is to change"),
    "no reason": ({"group": "vision", "limit": {"gpu": 1}}, "reason: it is missing"),
    "an empty reason": ({**WEEK, "reason": " \n "}, "Give a reason"),
    "a long reason": ({**WEEK, "reason": "x" * 10_000}, "The reason has 10000 characters; say it in 500 or less."),
    "a reason that cannot be shown": ({**WEEK, "reason": "a\u202eb\x00"}, "characters that cannot be shown"),
    "negative": ({**WEEK, "limit": {"gpu": -1}}, "limit.gpu cannot be -1: take a number from 0 on"),
    "true": ({**WEEK, "limit": {"gpu": True}}, "limit.gpu cannot be true"),
    "a number as text": ({**WEEK, "limit": {"gpu": "8"}}, 'limit.gpu cannot be "8"'),
    "infinite as text": ({**WEEK, "limit": {"gpu": "+inf"}}, 'limit.gpu cannot be "+inf"'),
    "too much": ({**WEEK, "limit": {"gpu": 1e300}}, "limit.gpu cannot be 1e+300"),
    "a list": ({**WEEK, "limit": {"gpu": [1]}}, "limit.gpu cannot be [1]"),
    "unknown resource": ({**WEEK, "limit": {"gpus": 1}}, '"gpus" is not a resource; there are cpu'),
    "unknown type": ({**WEEK, "limit": {"gpu:a10o": 1}}, 'No machine has "a10o"'),
    "unknown group": ({**WEEK, "group": "visoin"}, 'a group "visoin". Did you mean vision?'),
    "more of no limit": ({**WEEK, "limit": {"cpu": "+4"}}, 'limit cpu of "vision" has no limit, so that +4'),
    "less than nothing": ({**WEEK, "limit": {"gpu:a100": "-7"}}, 'limit gpu:a100 of "vision" is 6: -7 would leave'),
    "an end that is past": ({**WEEK, "until": "2020-01-01T00:00Z"}, "until is 2020-01-01T00:00:00Z, which is past"),
    "an end before the start": (
        {**WEEK, "from": "2199-01-02T00:00Z", "until": "2199-01-01T00:00Z"},
        "until, 2199-01-01T00:00:00Z, is not after from, 2199-01-02T00:00:00Z",
    ),
    "no zone": ({**WEEK, "until": "2199-01-01T00:00"}, "until says no zone"),
    "no moment": ({**WEEK, "until": "friday"}, "until must be a day, a time and a zone, such as"),
    "a moment beyond all years": ({**WEEK, "until": 1e18}, "until is no moment: 1e+18."),
    "an unknown key": ({**WEEK, "up_to": 1}, "up_to: there is no such key"),
}


async def test_what_cannot_be_is_refused_in_a_sentence(running: Running) -> None:
    for body, told in WRONG.values():
        assert told in error_of(await running.call("POST", CHANGES, "admin", json=body), 422)["message"]
    assert running.projection.quota_changes == {}
    assert (await running.call("GET", "api/v1/audit", "admin")).json()["entries"] == []


@pytest.mark.parametrize("moment", [10**400, -(10**400), float("inf"), float("nan"), -0.5])
def test_a_number_that_is_no_moment_is_refused_however_large(moment: float) -> None:
    with pytest.raises(InvalidChange, match="until is no moment"):
        read_changes(QuotaChangesBody(user="alice", cap={"gpu": 1}, reason="x", until=moment), 0.0)


async def test_what_is_no_json_or_names_nobody_is_refused_too(running: Running) -> None:
    nan = b'{"group": "vision", "reason": "x", "limit": {"gpu": NaN}}'
    error_of(await running.call("POST", CHANGES, "admin", content=nan), 422)
    error_of(
        await running.call("POST", CHANGES, "admin", json={"user": "mallory", "cap": {"gpu": 1}, "reason": "x"}), 404
    )
    error_of(await running.call("DELETE", f"{CHANGES}/01ABC", "admin"), 404)


async def test_a_group_that_only_the_hub_has_may_get_a_quota(running: Running) -> None:
    running.hub.empty_groups = ("robotics",)
    await change(running, group="robotics", guaranteed={"gpu": 2}, reason="new group")
    assert (await usage(running, "robotics"))["guaranteed"] == {"gpu": 2.0}
    assert running.world.quota_notes() == ()
    running.hub.empty_groups = ()
    assert "The hub has no group robotics" in str((await running.world.quota_notes.look())[0])
    running.hub.fault = MLabError("gone")
    assert await running.world.quota_notes.look() == ()


async def test_only_administrators_change_quotas(running: Running) -> None:
    made = (await change(running, **WEEK))["changes"][0]
    for who in ("alice", None):
        error_of(await running.call("POST", CHANGES, who, json=WEEK), 403)
        error_of(await running.call("DELETE", f"{CHANGES}/{made['change_id']}", who), 403)
    running.tokens.vouch("t-root", "mlabhub-command-line", scopes=(SET_QUOTAS_SCOPE,), kind="service")
    assert (await change(running, who="root", **WEEK))["changes"][0]["author"] == "service mlabhub-command-line"
    named = {"Mlabhub-Person": "j%C3%BCrg"}
    made = await running.call("POST", CHANGES, "root", json=WEEK, headers=named)
    assert made.json()["changes"][0]["author"] == "command line (jürg)"
    unprintable = {"Mlabhub-Person": "a%0Ab"}
    made = await running.call("POST", CHANGES, "root", json=WEEK, headers=unprintable)
    assert made.json()["changes"][0]["author"] == "service mlabhub-command-line"
    own = await running.call("POST", CHANGES, "admin", json=WEEK, headers=named)
    assert own.json()["changes"][0]["author"] == "admin"  # a person is who the token says


async def test_people_see_the_changes_that_concern_them(running: Running) -> None:
    await change(running, **WEEK)
    await change(running, user="bob", cap={"gpu": 1}, reason="r")
    await change(running, user="default", cap={"gpu": 9}, reason="r")

    async def seen(who: str, query: str = "") -> list[str]:
        return [one["name"] for one in (await running.call("GET", CHANGES + query, who)).json()["changes"]]

    assert await seen("admin") == ["default", "bob", "vision"]
    assert await seen("admin", "?name=bob") == ["bob"]
    assert await seen("bob") == ["default", "bob", "vision"]
    assert await seen("alice") == ["default", "vision"]
    assert await seen("carol") == ["default"]
    assert await seen("carol", "?name=bob") == []


async def test_the_same_request_again_changes_nothing(running: Running) -> None:
    headers = {"Idempotency-Key": "week-48"}
    answers = await asyncio.gather(
        *(running.call("POST", CHANGES, "admin", json=WEEK, headers=headers) for _ in range(5))
    )
    assert {(one.status_code, one.text) for one in answers} == {(201, answers[0].text)}
    assert len(running.projection.quota_changes) == 1
    other = await running.call("POST", CHANGES, "admin", json={**WEEK, "reason": "another"}, headers=headers)
    assert "was used for another request" in error_of(other, 422)["message"]


async def test_changes_survive_the_service(running: Running, tmp_path: Any) -> None:
    made = (await change(running, **WEEK))["changes"][0]
    ledger = running.world.ledger
    assert [one.change_id for one in ledger.load(0).quota_changes] == [made["change_id"]]


async def test_while_the_ledger_is_away_what_was_known_goes_on(running: Running) -> None:
    await change(running, **WEEK)
    writer: Any = running.world.writer
    writer._projection, writer.fault = None, LedgerUnavailable("away")
    assert running.world.catalog().quotas.group_limit("vision") == {"gpu:a100": 8}


async def test_what_a_group_borrows_and_what_each_may_hold(running: Running) -> None:
    await change(running, group="vision", guaranteed={"gpu:a100": 2}, each={"gpu": 3}, reason="share")
    assert await launch(running, 4) == 409
    assert await launch(running, 3) == 201
    now = await usage(running)
    assert (now["borrowed"], now["each"]) == ({"gpu": 3.0, "gpu:a100": 1.0}, {"gpu": 3.0})
    assert await launch(running, 1, "carol") == 201
    assert (await usage(running, "nlp", "carol"))["borrowed"] == {"gpu": 1.0}


async def test_a_launch_that_was_being_prepared_gets_the_quotas_of_its_turn(running: Running) -> None:
    accounts: Any = running.world.accounts
    look_up = accounts.look_up

    async def meanwhile(user: str, groups: Any) -> Any:
        found = await look_up(user, groups)
        await change(running, group="vision", limit={"gpu": 0}, reason="closed")
        return found

    accounts.look_up = meanwhile
    with pytest.raises(LaunchRefused, match="vision may hold no GPU: its limit is 0"):
        await running.spawn("alice", "x", {"profile": "gpu"})
    accounts.look_up = look_up
    assert len(running.projection) == 0


async def test_nobody_has_more_changes_than_one_can_follow(running: Running) -> None:
    first = running.world.clock() + 1000
    ahead = tuple(
        QuotaChange(
            f"c{one}", one, "admin", "r", "limit", "vision", "gpu:a100", 1, True, first + one, first + 9999 + one
        )
        for one in range(MOST_LIVE - 1)
    )
    await running.world.writer.submit(lambda _: Outcome(None, ahead))
    began = time.process_time()
    await change(running, **WEEK)
    took = time.process_time() - began
    error = error_of(await running.call("POST", CHANGES, "admin", json=WEEK), 409)
    assert f'"vision" has {MOST_LIVE} changes in force or ahead' in error["message"]
    await change(running, user="vision-user", status=404, cap={"gpu": 1}, reason="r")
    await change(running, user="alice", cap={"gpu": 1}, reason="r")
    assert took < 5, "the last one is checked against all the others at every moment ahead"


async def test_one_may_wait_for_a_quota_that_is_to_change_and_for_no_other(running: Running) -> None:
    closed = {"group": "vision", "limit": {"gpu": 0}, "reason": "closed"}
    until = running.world.clock() + 3600
    await change(running, **closed, until=until)
    body = {"server_name": "x", "user_options": {"profile": "gpu", "gpus": 2}}
    waits = await running.call("POST", "api/v1/launches", json=body)
    assert (waits.status_code, waits.json()["state"]) == (202, "queued")
    await running.world.queue.round_now()
    entry = f"api/v1/launches/{waits.json()['launch_id']}"
    assert (await running.call("GET", entry)).json()["state"] == "queued"
    await change(running, **closed)
    await running.world.queue.round_now()
    over = (await running.call("GET", entry)).json()
    assert (over["state"], "vision may hold no GPU: its limit is 0." in str(over)) == ("refused", True)
    assert (await running.call("POST", "api/v1/launches", json=body)).status_code == 409


async def test_the_launch_page_tells_the_cap_of_the_group_that_pays(running: Running) -> None:
    running.hub.add_user("alice", "vision", "nlp")
    await change(running, group="vision", each={"gpu": 3}, reason="share")
    view = await running.service.application.settings["launcher"].catalog_for(Person("alice"))
    told = {
        group: head_sentences(view, group, Translator("en", NullTranslations()), None)[0] for group in ("vision", "nlp")
    }
    assert "0 of 3 GPU" in told["vision"]
    assert "0 of 8 GPU" in told["nlp"]
