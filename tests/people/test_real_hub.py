"""A real hub with plain processes: an account is opened, used, closed, reopened, by the command line and the API."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.installation import MLABHUB, Installation, wait_for

pytestmark = [pytest.mark.timeout(300)]


def user(hub: Installation, *arguments: str, status: int = 0, typed: str = "") -> Any:
    """Run `mlabhub user ... --json`; return what it printed, and of a refusal what it said."""
    argv = [MLABHUB, "user", *arguments, "--json", "--state", str(hub.state)]
    done = subprocess.run(argv, capture_output=True, text=True, input=typed, check=False)
    assert done.returncode == status, f"{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout) if not status else done.stderr


def people(hub: Installation, path: str = "") -> str:
    return f"{hub.url}services/mlabhub/api/v1/people{path}"


def admin_token(hub: Installation, *scopes: str) -> dict[str, str]:
    """Return the header of a token of the first administrator."""
    admin, password = hub.first_admin()
    with hub.log_in(admin, password) as session:
        xsrf = str(session.cookies.get("_xsrf", path="/hub/"))
        wanted = {"note": "test", **({"scopes": list(scopes)} if scopes else {})}
        answer = session.post(f"hub/api/users/{admin}/tokens", headers={"X-XSRFToken": xsrf}, json=wanted)
    return {"Authorization": f"token {answer.json()['token']}"}


def test_the_life_of_an_account(hub: Installation) -> None:
    opened = user(hub, "add", "Ann", "--group", "vision", "--quota", "gpu=1", "--start", "cpu")
    assert (opened["name"], opened["account"], opened["server"]) == ("ann", "opened", "starting")
    assert opened["faults"] == []
    assert "cap gpu" in opened["said"][0]
    with hub.log_in("ann", opened["password"]) as ann:
        assert ann.get("services/mlabhub/").status_code == 200
        hub.wait_ready("ann")
        token = {"Authorization": f"token {hub.token('ann')}"}
        done = user(hub, "close", "ann", "--yes", "--reason", "left us")
        assert done["servers"] == [""]
        assert done["faults"] == []
        assert ann.get("hub/home").url.path == "/hub/login", "closing ends the session"
    assert httpx.get(f"{hub.url}hub/api/user", headers=token).status_code == 403, "and the tokens"
    wait_for(lambda: not hub.reservations(), 60, "the server of ann is stopped")
    with pytest.raises(AssertionError, match="the password was not taken"), hub.log_in("ann", opened["password"]):
        pass
    admin, _ = hub.first_admin()
    start = {"user": "ann", "user_options": {"profile": "cpu"}}
    with hub.api(admin) as client:
        refused = client.post("services/mlabhub/api/v1/launches", json=start)
    assert refused.status_code == 409
    assert "The account of ann is closed" in refused.json()["error"]["message"]
    assert user(hub, "list", "ann")[0]["state"] == "closed"
    assert "Reopen it" in user(hub, "add", "ann", status=1)
    assert "are kept until" in user(hub, "clean", "ann", status=1)
    assert user(hub, "reopen", "ann")["state"] == "open"
    with hub.log_in("ann", opened["password"]):
        pass
    [usage] = _quota(hub, "ann")
    assert usage["limit"]["gpu"] == 1.0, "the quota of their own counts again"


def _quota(hub: Installation, name: str) -> list[dict[str, Any]]:
    argv = [MLABHUB, "quota", "show", name, "--json", "--state", str(hub.state)]
    users: list[dict[str, Any]] = json.loads(subprocess.run(argv, capture_output=True, check=True).stdout)["users"]
    return users


def test_files_are_removed_only_after_their_time(hub: Installation) -> None:
    user(hub, "add", "dora")
    folder = hub.state / "nas" / "user" / "dora"
    (folder / "deep").mkdir(parents=True)
    outside = hub.state / "precious"
    outside.mkdir()
    (folder / "deep" / "link").symlink_to(outside)
    user(hub, "close", "dora", "--yes", "--keep-days", "1")
    assert user(hub, "clean", "--yes") == {"cleaned": []}
    assert folder.is_dir()
    user(hub, "close", "dora", "--yes", "--keep-days", "0")
    assert user(hub, "clean", "--yes") == {"cleaned": ["dora"]}
    assert not folder.exists()
    assert outside.is_dir()
    assert "removed already" in user(hub, "reopen", "dora", status=1)
    assert user(hub, "list", "dora")[0]["state"] == "cleaned"
    again = user(hub, "add", "dora")
    assert again["account"] == "approved", "the name opens anew"


def test_passwords_groups_and_who_asked(hub: Installation) -> None:
    given = user(hub, "add", "bob", "--group", "nlp", "--password-stdin", typed="a good long one\n")["password"]
    assert given == "a good long one"
    assert "bob has an account" in user(hub, "add", "bob", status=1)
    with hub.log_in("bob", given) as bob:
        new = user(hub, "password", "bob")["password"]
        assert bob.get("hub/home").url.path == "/hub/login"
    with hub.log_in("bob", new):
        pass
    assert user(hub, "groups", "bob", "vision", "new group")["groups"] == ["new group", "vision"]
    assert [one["name"] for one in user(hub, "list", "group:new group")] == ["bob"]
    names = httpx.get(f"{hub.url}hub/api/mlabhub/groups", headers=admin_token(hub)).json()
    assert {"new group", "nlp", "vision"} <= set(names["groups"])


def test_only_who_administers_users_may(hub: Installation) -> None:
    admin, password = hub.first_admin()
    user(hub, "add", "carl")
    narrow = admin_token(hub, "access:services!service=mlabhub", "start:servers", "delete:servers")
    for headers in ({}, {"Authorization": f"token {hub.token('carl')}"}, narrow):
        assert httpx.get(people(hub), headers=headers).status_code == 403
        assert httpx.post(people(hub), headers=headers, json={"name": "eve"}).status_code == 403
        assert httpx.get(f"{hub.url}hub/api/mlabhub/accounts", headers=headers).status_code == 403
    full = admin_token(hub)
    assert httpx.get(people(hub), headers=full).status_code == 200
    own = httpx.post(people(hub, f"/{admin}/close"), headers=full, json={})
    assert (own.status_code, own.json()["error"]["code"]) == (409, "own_account")
    last = httpx.post(f"{hub.url}hub/api/mlabhub/accounts/{admin}/close", headers=full, json={})
    assert last.status_code == 409
    with hub.log_in(admin, password) as session:
        xsrf = {"X-XSRFToken": str(session.cookies.get("_xsrf", path="/hub/"))}
        shut = session.post("hub/api/mlabhub/accounts/carl/close", headers=xsrf, json={})
        assert shut.status_code == 403, "the browser's login alone is not enough"


def test_a_file_of_people_is_safe_to_repeat(hub: Installation, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("name,groups,quota\ngina,vision;nlp,gpu=1\nhe len,,\nivo,,gpu:nope=1\njan,vision,\n")
    argv = [MLABHUB, "user", "add", "--csv", str(file), "--json", "--state", str(hub.state)]
    first, second = (
        {one["line"]: one for one in json.loads(subprocess.run(argv, capture_output=True, check=False).stdout)["lines"]}
        for _ in range(2)
    )
    assert {number: one["fine"] for number, one in first.items()} == {2: True, 3: False, 4: False, 5: True}
    assert "takes no space" in first[3]["said"]
    assert 'No machine has "nope"' in first[4]["said"]
    assert second[2]["said"] == "The account was there already."
    assert second[2]["password"] is None
    with hub.log_in("gina", first[2]["password"]):
        pass
    assert user(hub, "list", "gina")[0]["groups"] == ["nlp", "vision"]


def test_the_page_acts_with_the_administrators_own_login(hub: Installation) -> None:
    """The service's own token may not: it is the login, by the hub's OAuth, that carries the rights."""
    admin, password = hub.first_admin()
    headers = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "same-origin"}
    with hub.log_in(admin, password) as session:
        session.headers.update(headers)
        listed = session.get("services/mlabhub/people")
        assert listed.status_code == 200, listed.text[:2000]
        form = session.get("services/mlabhub/people/new")
        hidden = dict(re.findall(r'name="(_xsrf|confirm)" value="([^"]*)"', form.text))
        done = session.post("services/mlabhub/people/new", data={**hidden, "name": "mia", "further": "vision"})
        assert done.status_code == 200, done.text[:2000]
        found = re.search(r'<code id="password">([^<]*)</code>', done.text)
        assert found
    with hub.log_in("mia", found[1]) as mia:
        mia.headers.update(headers)
        assert mia.get("services/mlabhub/people").status_code == 403
    service = {"Authorization": f"token {(hub.state / 'secrets' / 'service-token').read_text()}"}
    assert httpx.get(f"{hub.url}hub/api/mlabhub/accounts", headers=service).status_code == 403


def test_who_asked_is_opened_with_their_own_password(hub: Installation) -> None:
    chosen = "correct horse battery"
    with httpx.Client(base_url=hub.url, follow_redirects=True) as session:
        session.get("hub/signup")
        form = {"username": "nora", "signup_password": chosen, "signup_password_confirmation": chosen}
        session.post("hub/signup", data={**form, "_xsrf": str(session.cookies.get("_xsrf", path="/hub/"))})
    assert "nora" in httpx.get(people(hub), headers=admin_token(hub)).json()["asked"]
    opened = user(hub, "add", "nora", "--group", "vision")
    assert (opened["account"], opened["password"]) == ("approved", None)
    with hub.log_in("nora", chosen):
        pass
