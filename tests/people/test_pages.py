"""The pages for administrators: the list, one form for a new person, a file of them, closing and reopening."""

from __future__ import annotations

import re

import pytest

from mlabhub.client.accounts import MAY_NOT
from mlabhub.errors import LaunchRefused, NotPermitted
from mlabhub.messages import Message
from mlabhub.service.account_news import AccountClosed
from mlabhub.service.news import NewsItem
from mlabhub.service.people.views import OpenedView
from tests.doubles import ScriptedImages
from tests.pages.launcher import HOSTILE
from tests.people.conftest import PREFIX, Login, field
from tests.service.conftest import Running

pytestmark = pytest.mark.asyncio(loop_scope="session")
PAGES = ["people", "people/new", "people/file", "people/of?name=alice", "close-account?name=alice"]


def password_in(text: str) -> str:
    found = re.search(r'<code id="password">([^<]*)</code>', text)
    assert found, text[-3000:]
    return found[1]


@pytest.mark.parametrize("path", PAGES)
async def test_they_are_for_administrators(login: Login, path: str) -> None:
    assert (await login("alice").get(path)).status_code == 403
    assert (await login("admin").get(path)).status_code == 200


@pytest.mark.parametrize("path", PAGES)
async def test_browser_rules_and_chinese(login: Login, path: str) -> None:
    page = await login("admin", **{"Accept-Language": "zh-CN"}).get(path)
    assert '<html lang="zh-CN">' in page.text
    assert re.findall(r'<style|\sstyle="|\son\w+="|<script(?![^>]* src=)', page.text) == []
    main = page.text.partition("<main")[2].replace("name,groups,quota,profile,admin", "")
    text = re.sub(r"<[^>]+>|mlabhub user clean|group:NAME|GPU|CPU|CSV|alice|admin|vision|nlp|bob|carol|user", "", main)
    assert not re.search(r"\b[A-Za-z]{4,} [a-z]{3,} [a-z]{2,}", text), "an English sentence"


async def test_the_list_is_searched_and_turned(running: Running, login: Login) -> None:
    for number in range(60):
        running.hub.add_user(f"person{number:02}", "nlp")
    running.accounts.asked = ("newton",)
    admin = login("admin")
    first = (await admin.get("people")).text
    assert "Page 1 of 2" in first
    assert f'href="{PREFIX}people/new?name=newton"' in first
    second = (await admin.get("people?page=2")).text
    assert ">person59</bdi>" in second
    assert ">alice</bdi>" not in second
    found = (await admin.get("people?q=group:vision")).text
    assert "People: 2." in found
    assert ">bob</bdi>" in found
    assert "Nobody is called that." in (await admin.get("people?q=<b>")).text


async def test_one_form_opens_an_account(running: Running, login: Login) -> None:
    admin = login("admin")
    form = await admin.get("people/new")
    done = await admin.send(
        form, "people/new", name="Ann", group=["vision"], further="new; newer", quota="gpu=2", profile="cpu"
    )
    assert done.status_code == 200
    assert "The account is open. The first server starts." in done.text
    assert running.accounts.passwords["ann"] == password_in(done.text)
    assert running.hub.users["ann"].groups == ("vision", "new", "newer")
    assert running.of_server("ann") is not None
    assert running.world.catalog().quotas.users["ann"].limit["gpu"] == 2
    assert "t-admin: open ann" in running.accounts.calls, "the hub is asked with the administrator's own login"
    again = await admin.send(form, "people/new", name="eve")
    assert "eve" not in running.hub.users, "a form is good once"
    assert "This question was answered already" in again.text


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"name": "ann lee"}, "takes no space"),
        ({"name": "ann", "quota": "gpu=x"}, "is no quota"),
        ({"name": "ann", "quota": "gpu:nope=1"}, "No machine has"),
        ({"name": "ann", "profile": "vision-only"}, "is no profile that ann may use"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_a_form_that_is_refused_comes_back(
    running: Running, login: Login, fields: dict[str, str], told: str
) -> None:
    admin = login("admin")
    refused = await admin.send(await admin.get("people/new"), "people/new", further="keep me", **fields)
    assert refused.status_code in (404, 409, 422)
    assert told in refused.text
    assert 'value="keep me"' in refused.text
    assert "ann" not in running.hub.users
    assert (await admin.send(refused, "people/new", name="ann")).status_code == 200, "it can be mended and sent again"


async def test_a_form_without_its_page_does_nothing(running: Running, login: Login) -> None:
    """A page of somebody's server can send any form; it cannot read ours."""
    admin = login("admin")
    page = await admin.get("people")
    xsrf = re.search(r'data-xsrf="([^"]+)"', page.text)
    assert xsrf
    sent = {"_xsrf": xsrf[1], "name": "eve", "act": "password", "user": "admin"}
    for path in ("people/new", "people/of", "close-account"):
        answer = await admin.client.post(path, data={**sent, "name": "bob"} if path != "people/new" else sent)
        assert answer.status_code == 303, path
    assert not any("open" in one or "password" in one or "close" in one for one in running.accounts.calls)


async def test_the_life_of_an_account_on_the_pages(running: Running, login: Login) -> None:
    admin = login("admin")
    body = {"server_name": "x", "user_options": {"profile": "cpu"}}
    assert (await running.call("POST", "api/v1/launches", "alice", json=body)).status_code == 201
    change = {"user": "alice", "cap": {"gpu": 3}, "reason": "a paper"}
    await running.call("POST", "api/v1/quotas/changes", "admin", json=change)
    question = await admin.get("close-account?name=alice")
    assert "Servers that are stopped" in question.text
    assert "Quotas of their own that end: 1." in question.text
    assert 'value="90"' in question.text
    hidden = {name: field(question, name) for name in ("name", "user")}
    closed = await admin.send(question, "close-account", days="7", reason="left", **hidden)
    assert "The account is closed." in closed.text
    assert running.of_server("alice", "x") is None
    assert "alice" in running.accounts.shut
    assert running.world.catalog().quotas.users.get("alice") is None
    one = running.projection.closed["alice"]
    assert round((one.keep_until - one.at) / 86400) == 7
    assert one.reason == "left"
    refused = await running.call("POST", "api/v1/launches", "alice", json=body)
    assert refused.status_code == 409
    assert "The account of alice is closed" in refused.text
    again = await admin.send(closed, "people/of", name="alice", act="reopen")
    assert "The account is open again." in again.text
    assert running.world.catalog().quotas.users["alice"].limit["gpu"] == 3
    assert (await running.call("POST", "api/v1/launches", "alice", json=body)).status_code == 201
    acts = [entry.act for entry in running.world.ledger.audit(limit=9, user="alice")]
    assert acts[:1] == ["admit"]
    assert {"close account", "reopen account"} <= set(acts)


async def test_what_waits_leaves_the_queue(running: Running, login: Login) -> None:
    for name, gpus in (("bob", 6), ("alice", 6)):
        body = {"server_name": "x", "user_options": {"profile": "gpu", "gpus": gpus}}
        await running.call("POST", "api/v1/launches", name, json=body)
    assert [entry.user for entry in running.projection.queue.values()] == ["alice"]
    done = await running.call("POST", "api/v1/people/alice/close", "admin", json={})
    assert done.json()["waiting"] == 1
    assert not running.projection.queue


async def test_passwords_and_groups(running: Running, login: Login) -> None:
    admin = login("admin")
    page = await admin.send(await admin.get("people/of?name=bob"), "people/of", name="bob", act="password")
    assert running.accounts.passwords["bob"] == password_in(page.text)
    page = await admin.send(page, "people/of", name="bob", act="groups", group=["nlp"], further="x")
    assert "The groups were changed." in page.text
    assert running.hub.users["bob"].groups == ("nlp", "x")
    page = await admin.send(page, "people/of", name="bob", act="groups", further="a" * 300)
    assert "cannot be a group&#39;s name" in page.text
    assert (await admin.get("people/of?name=nobody")).status_code == 404
    own = await admin.get("close-account?name=admin")
    assert (own.status_code, "another administrator" in own.text) == (409, True)


CSV = """\
name,groups,quota,profile
ann,vision;nlp,gpu=1,cpu
he len,,,
ivo,,gpu:nope=1,
jo,,,nope
kim,,,vision-only
lu,,,
"""


async def test_a_file_is_shown_first_and_then_opened(running: Running, login: Login) -> None:
    admin = login("admin")
    form = await admin.get("people/file")
    sent = {"_xsrf": field(form, "_xsrf")}
    files = {"file": ("people.csv", CSV.encode(), "text/csv")}
    read = await admin.client.post("people/file", data=sent, files=files)
    page = await admin.get(read.headers["location"].removeprefix(PREFIX))
    assert "Lines that can be opened: 2 of 6. Nothing is opened yet." in page.text
    assert "ann" not in running.hub.users
    for told in ("takes no space", "No machine has", "is no profile that jo may use"):
        assert told in page.text
    address = str(page.url).partition(PREFIX)[2].partition("?")[0]
    assert (await login("alice").get(address)).status_code == 403
    running.tokens.vouch("t-other", "other", admin=True)
    assert (await login("other").get(address)).status_code == 404, "a file is whose who brought it"
    page = await admin.send(page, address)
    while "This page follows by itself" in page.text:
        assert "Passwords are shown" not in page.text
        page = await admin.get(address)
    assert running.accounts.passwords["ann"] in page.text
    assert running.hub.users["ann"].groups == ("vision", "nlp")
    later = await admin.get(address)
    assert running.accounts.passwords["ann"] not in later.text, "a password is shown once"
    await admin.client.post(address, data={"_xsrf": sent["_xsrf"], "confirm": "once more"})
    assert running.accounts.calls.count("t-admin: open ann") == 1


@pytest.mark.parametrize(
    "data", [b"", b"name\n", b"\xff\xfe", b"pass\nx\n"], ids=["empty", "nobody", "binary", "column"]
)
async def test_what_is_no_file_of_people(login: Login, data: bytes) -> None:
    admin = login("admin")
    sent = {"_xsrf": field(await admin.get("people/file"), "_xsrf")}
    page = await admin.client.post("people/file", data=sent, files={"file": ("x.csv", data, "text/csv")})
    assert page.status_code == 422
    assert 'role="alert"' in page.text


async def test_names_that_attack_are_text(running: Running, login: Login) -> None:
    running.hub.add_user(HOSTILE, HOSTILE)
    running.accounts.asked = (HOSTILE,)
    admin = login("admin")
    data = f'name,groups\n"{HOSTILE}",\nann,"{HOSTILE[:200]}"\n'.replace('=x onerror="', "=x onerror=").encode()
    sent = {"_xsrf": field(await admin.get("people/file"), "_xsrf")}
    read = await admin.client.post("people/file", data=sent, files={"file": ("x.csv", data)})
    assert read.status_code == 303
    pages = [await admin.get(read.headers["location"].removeprefix(PREFIX))] + [
        await admin.get(path) for path in ("people", "people/new")
    ]
    pages.append(await admin.client.get("people/of", params={"name": HOSTILE}, follow_redirects=True))
    for page in pages:
        assert page.status_code == 200
        assert "<img src=x" not in page.text
        assert "<script>alert" not in page.text


async def test_a_hub_that_does_not_take_the_login_says_what_to_do(running: Running, login: Login) -> None:
    running.accounts.fault = NotPermitted(MAY_NOT)
    page = await login("admin").get("people")
    assert page.status_code == 403
    assert "Log out and in again" in page.text


async def test_what_fails_after_the_account_is_open_is_told(running: Running, login: Login) -> None:
    async def full(*_: object, **__: object) -> None:
        raise LaunchRefused(Message("The disk is full."))

    running.hub.start = full  # type: ignore[method-assign,assignment]
    answer = await running.call("POST", "api/v1/people", "admin", json={"name": "ann", "profile": "cpu"})
    assert answer.status_code == 201
    told = answer.json()
    assert set(told) == set(OpenedView.__dataclass_fields__)
    assert (told["account"], told["server"]) == ("opened", "")
    assert told["faults"] == ["The first server of ann was not started: The disk is full."]


async def test_a_server_that_does_not_stop_is_told_and_closing_again_stops_it(
    running: Running, login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"server_name": "x", "user_options": {"profile": "cpu"}}
    await running.call("POST", "api/v1/launches", "alice", json=body)
    told_of: list[NewsItem] = []
    monkeypatch.setattr(running.world.news, "tell", told_of.append)
    stop = running.hub.stop

    async def fails(user: str, server: str) -> None:
        raise LaunchRefused(Message("The engine hangs."))

    running.hub.stop = fails  # type: ignore[method-assign]
    told = (await running.call("POST", "api/v1/people/alice/close", "admin", json={"reason": "left"})).json()
    assert told["faults"] == ["The server x was not stopped: The engine hangs."]
    assert running.of_server("alice", "x") is not None
    running.hub.stop = stop  # type: ignore[method-assign]
    again = (await running.call("POST", "api/v1/people/alice/close", "admin", json={})).json()
    assert again["faults"] == []
    assert again["keep_until"] == told["keep_until"], "the days are counted from when it was closed first"
    assert running.of_server("alice", "x") is None
    assert running.projection.closed["alice"].reason == "left"
    later = (await running.call("POST", "api/v1/people/alice/close", "admin", json={"keep_days": 365})).json()
    closings = [one for one in told_of if isinstance(one, AccountClosed)]
    assert [(one.user, one.keep_until, one.servers) for one in closings] == [
        ("alice", told["keep_until"], ("x",)),
        ("alice", later["keep_until"], ()),
    ]


async def test_saved_images_go_with_the_files(running: Running) -> None:
    images = ScriptedImages()
    running.backend.images = images
    await images.save("alice", "", "mine", "")
    await running.call("POST", "api/v1/people/alice/close", "admin", json={"keep_days": 1})
    early = await running.call("POST", "api/v1/people/alice/clean", "admin", json={})
    assert (early.status_code, early.json()["error"]["code"]) == (409, "kept_still")
    assert len(await images.own("alice")) == 1
    await running.call("POST", "api/v1/people/alice/close", "admin", json={"keep_days": 0})
    done = await running.call("POST", "api/v1/people/alice/clean", "admin", json={})
    assert done.json()["state"] == "cleaned"
    assert await images.own("alice") == ()
    gone = await running.call("POST", "api/v1/people/alice/reopen", "admin", json={})
    assert (gone.status_code, "nothing to reopen" in gone.text) == (409, True)
    assert (await running.call("POST", "api/v1/people", "admin", json={"name": "alice"})).json()[
        "account"
    ] == "approved"
    assert "alice" not in running.projection.closed
