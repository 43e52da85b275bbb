"""Every route of the service, called as everybody: who gets through is what docs/reference/access.md says.

Whatever reads shares one lab; each row that changes something has a lab of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from tornado.web import URLSpec

from tests.access.lab import GROUP_SCOPES, HOME, NAVIGATION, Lab, open_lab
from tests.access.table import Row, Word, missing, rows
from tests.pages.launcher import HOSTILE

pytestmark = pytest.mark.asyncio(loop_scope="module")

API, PAGES, OPEN = rows("API"), rows("Pages"), rows("For everybody")
EVERYTHING = [*API, *PAGES, *OPEN]
NOT_AT_HAND = (
    "idle/trial/parts",
    "bring-back",
    "safe-mode",
    "release?",
    "/bring-back",
    "/safe-mode",
    "nearest",
    "/trace",
    "/saved",
)
"""What there is only in a state in which nothing of the lab is: the permitted are told so, with a 404 or 409."""

FOR_A_WHILE = ("repair",)
"""What there is only until a page has looked at the servers."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def standing(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    """One lab for all that change nothing."""
    async with open_lab(tmp_path_factory.mktemp("standing")) as lab:
        yield lab


@pytest_asyncio.fixture(loop_scope="module")
async def fresh(tmp_path: Path) -> AsyncIterator[Lab]:
    """A lab that may be used up."""
    async with open_lab(tmp_path) as lab:
        yield lab


@pytest.fixture
def lab(request: pytest.FixtureRequest, row: Row) -> Lab:
    """The lab that a row is asked in."""
    lab: Lab = request.getfixturevalue("fresh" if row.changes or row.address in FOR_A_WHILE else "standing")
    return lab


def named(table: list[Row]) -> list[object]:
    return [pytest.param(row, id=str(row)) for row in table]


def check(answer: httpx.Response, word: Word, row: Row, who: str, *, others: bool = False) -> None:
    """Assert that an answer is what the table says."""
    told = f"{row}, as {who}: {answer.status_code}; docs/reference/access.md says {word}"
    if word == "no" or (word == "self" and others):
        assert answer.status_code in (401, 403), told
    elif word == "login":
        assert _leads_to_the_login(answer), told
    elif word == "own" and others:
        assert answer.status_code == 404, told
    elif any(part in row.address for part in NOT_AT_HAND):
        assert answer.status_code < 500, told
        assert answer.status_code not in (401, 403, 405), told
    else:
        assert answer.status_code < 500, told
        assert answer.status_code not in (401, 403, 404, 405), told


def _leads_to_the_login(answer: httpx.Response) -> bool:
    to = answer.headers.get("location", "")
    return (answer.status_code, to.partition("?")[0]) in ((302, "/hub/api/oauth2/authorize"), (303, HOME + "launch"))


async def test_every_route_has_its_row(standing: Lab) -> None:
    rules = [rule for rule in standing.running.service.application.wildcard_router.rules if isinstance(rule, URLSpec)]
    assert len(rules) > 70
    found = missing(rules, EVERYTHING, HOME)
    assert not found, "\n".join(found)


async def test_no_address_has_two_rows() -> None:
    told = [str(row) for row in EVERYTHING]
    assert sorted(set(told)) == sorted(told)


async def test_a_route_without_a_row_is_named(standing: Lab) -> None:
    rules = [rule for rule in standing.running.service.application.wildcard_router.rules if isinstance(rule, URLSpec)]
    rest = [row for row in EVERYTHING if row.address != "api/v1/gpus"]
    (told,) = missing(rules, rest, HOME)
    assert told.startswith("GET /services/mlabhub/api/v1/gpus")
    assert "add one" in told


@pytest.mark.parametrize("row", named([*API, *OPEN]))
async def test_who_may_call(lab: Lab, row: Row) -> None:
    """First those who may not, then those who may: nothing is gone yet when they come."""
    own, of_admin = lab.things["alice"], lab.things["admin"]
    lab.running.tokens.vouch("t-inside", "admin", admin=True)
    lab.running.tokens.vouch("t-of-a-group", "admin", admin=True, scopes=GROUP_SCOPES)
    lab.running.tokens.vouch("t-nothing", "bob", scopes=("none",))
    for word, who, headers in (
        (row.nobody, "nobody", {}),
        (row.nobody, "a stranger", {"Authorization": "token nonsense"}),
        (row.nobody, "a token without the scope", lab.token("nothing")),
        (row.person, "somebody else", lab.token("bob")),
        (row.person, "somebody with rights over a group", lab.token("lead")),
        (row.person, "an administrator's server", lab.token("inside")),
        (row.person, "an administrator's token for a group", lab.token("of-a-group")),
        (row.agent, "another server's agent", lab.agent("ofadmin")),
    ):
        if word in ("own", "self", "no") or row.method == "GET":
            check(await lab.ask(row, headers, own), word, row, who, others=True)
    check(await lab.ask(row, lab.token("alice"), own), row.person, row, "its owner")
    check(await lab.ask(row, lab.agent("ofadmin"), of_admin), row.agent, row, "its agent")
    check(await lab.ask(row, lab.spawner, own), row.spawner, row, "a spawner")
    check(await lab.ask(row, lab.token("admin"), of_admin), row.admin, row, "an administrator")


@pytest.mark.parametrize("row", named(API))
async def test_the_browsers_login_reads_in_the_api_and_changes_nothing(standing: Lab, row: Row) -> None:
    lab, things = standing, standing.things["alice"]
    for who, right in (("alice", row.person), ("admin", row.admin)):
        headers, _ = await lab.browser(who, script=True)
        word: Word = "no" if row.changes and row.nobody == "no" else right
        check(await lab.ask(row, headers, things), word, row, f"{who}'s browser")
        if row.changes:
            cookie_alone = {"Cookie": lab.cookie(who), **NAVIGATION}
            check(await lab.ask(row, cookie_alone, things), "no", row, f"{who}'s cookie")


@pytest.mark.parametrize("row", named(PAGES))
async def test_who_may_open(lab: Lab, row: Row) -> None:
    own, of_admin = lab.things["alice"], lab.things["admin"]
    script = row.nobody == "no" and not row.changes
    check(await lab.ask(row, NAVIGATION, own), row.nobody, row, "nobody")
    for who, headers in (
        ("a token", lab.token("alice")),
        ("an administrator's token", lab.token("admin")),
        ("a spawner", lab.spawner),
        ("an agent", lab.agent("ofalice")),
    ):
        answer = await lab.ask(row, {**headers, **NAVIGATION}, own)
        assert answer.status_code == 403 or _leads_to_the_login(answer), f"{row} opens for {who}"
    for who, word, things in (
        ("bob", row.person, own),
        ("lead", row.person, own),
        ("alice", row.person, own),
        ("admin", row.admin, of_admin),
    ):
        headers, xsrf = await lab.browser(who, script=script)
        if row.changes:
            answer = await lab.ask(row, headers, things)
            assert answer.status_code == 403 or answer.headers.get("location", "").startswith(HOME + "launch"), (
                f"{row} without the page's token, as {who}: {answer.status_code}"
            )
        answer = await lab.ask(row, headers, things, sent={"_xsrf": xsrf})
        check(answer, word, row, who, others=who in ("bob", "lead"))
        check_browser_rules(answer, row)


def check_browser_rules(answer: httpx.Response, row: Row) -> None:
    """Assert that a page permits the browser nothing but files of the service."""
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'", row
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == policy["form-action"] == "'self'", (
        row
    )
    assert "unsafe" not in answer.headers["content-security-policy"], row


ATTACKS = {
    "HTML": HOSTILE,
    "right to left": "exp\u202egpj.\u2066exe\u200f",
    "long": "x" * 10_000,
    "a formula": '=HYPERLINK("http://example.com";"x")',
    "no text": "a\x00b\r\nX-Admin: yes",
    "a path": "../../../../etc/passwd",
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
async def test_names_that_attack_are_text_everywhere(fresh: Lab, attack: str) -> None:
    """In the place of every id, name and reason that an address or a body has, as somebody who may do everything."""
    lab = fresh
    hostile = dict.fromkeys(lab.things["admin"], attack)
    page, xsrf = await lab.browser("admin")
    script, _ = await lab.browser("admin", script=True)
    reasons = {"reason": attack}
    for row in [*API, *PAGES]:
        for things in (hostile, {**lab.things["admin"], "server": attack}):
            if row in API:
                answer = await lab.ask(row, lab.token("admin"), things, sent=reasons if row.changes else None)
            else:
                reads = script if row.nobody == "no" and not row.changes else page
                answer = await lab.ask(row, reads, things, sent={"_xsrf": xsrf, **reasons})
            assert answer.status_code < 500, f"{row}: {answer.status_code} {answer.text[:300]}"
            assert "x-admin" not in answer.headers, row
            if answer.headers.get("content-type", "").startswith("text/html"):
                assert "<img src=x" not in answer.text, row
                assert "<script>alert" not in answer.text, row
                assert "\u202e" not in answer.text.replace(f'value="{attack}"', ""), f"{row} turns the line around"
