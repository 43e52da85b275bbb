"""The audit over HTTP: who reads it, what is asked of it, and that nothing changes it."""

from __future__ import annotations

import inspect
import json

import pytest
import sqlalchemy as sa
from tornado.web import RequestHandler, URLSpec

from mlabhub.ledger import AuditEntry, Ledger
from mlabhub.messages import Message
from mlabhub.service.writer import Outcome
from tests.service.conftest import Running
from tests.service.test_api import error_of
from tests.service.test_queue_api import launch

AUDIT = "api/v1/audit"


async def write(running: Running, count: int, act: str = "stop") -> None:
    """Let the audit have entries, of the time in seconds that their number is."""
    said = Message.of("{n}", n=1)
    records = tuple(AuditEntry(float(n), "admin", act, said, ("alice", "bob")[n % 2], "x") for n in range(count))
    await running.world.writer.submit(lambda _: Outcome(None, records))


async def test_it_is_searched_and_read_on(running: Running) -> None:
    await write(running, 30)
    asked = {"user": "bob", "actor": "admin", "act": "stop", "server": "x", "from": "5", "to": "26", "limit": "4"}
    times: list[float] = []
    before: dict[str, int] = {}
    while True:
        told = (await running.call("GET", AUDIT, "admin", params={**asked, **before})).json()
        times += [one["at"] for one in told["entries"]]
        assert told["searched_to"] is None
        if told["next"] is None:
            break
        before = {"before": told["next"]}
    assert times == [25.0, 23.0, 21.0, 19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0]


async def test_decisions_and_admin_acts_are_in_it(running: Running) -> None:
    assert (await launch(running, "alice", "train", 2))[0] == 201
    assert (await launch(running, "alice", "more", 6, queue=False))[0] != 201
    await running.call("POST", "api/v1/servers/alice/train/stop", "admin")
    body = {"group": "vision", "limit": {"gpu": 4}, "reason": "a paper"}
    assert (await running.call("POST", "api/v1/quotas/changes", "admin", json=body)).status_code == 201
    entries = (await running.call("GET", AUDIT, "admin")).json()["entries"]
    acts = [(one["act"], one["actor"], one["user"]) for one in entries]
    assert {("admit", "alice", "alice"), ("refuse", "alice", "alice"), ("stop", "admin", "alice")} <= set(acts)
    assert acts[0] == ("quota", "admin", "")
    found = (await running.call("GET", AUDIT, "admin", params={"text": "A PAPER"})).json()["entries"]
    assert [one["act"] for one in found] == ["quota"]


@pytest.mark.parametrize(
    "asked",
    [{"limit": "0"}, {"before": "x"}, {"from": "soon"}, {"to": "1e400"}, {"text": "x" * 256}, {"from": "1.2.3"}],
)
async def test_what_cannot_be_read_is_refused_in_words(running: Running, asked: dict[str, str]) -> None:
    error = error_of(await running.call("GET", AUDIT, "admin", params=asked), 422)
    assert error["key"] in asked
    assert error["message"].endswith((".", "above 0."))


async def test_a_file_has_all_of_it(running: Running) -> None:
    await write(running, 4500)
    answer = await running.call("GET", f"{AUDIT}/export", "admin", params={"act": "stop"})
    assert answer.headers["content-type"].startswith("application/jsonl")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [one["at"] for one in lines] == [float(n) for n in reversed(range(4500))]
    assert lines[0]["time"] == "1970-01-01T01:14:59.000Z"
    error_of(await running.call("GET", f"{AUDIT}/export", "bob"), 403)
    error_of(await running.call("GET", f"{AUDIT}/export", "admin", params={"format": "xls"}), 422)


async def test_no_route_and_no_ledger_changes_an_entry(running: Running) -> None:
    """What is written stays: there is no method that could, and the numbers and texts stay through all that goes on."""
    rules = [rule for rule in running.service.application.wildcard_router.rules if isinstance(rule, URLSpec)]
    of_audit = [rule for rule in rules if "audit" in rule.regex.pattern or "history" in rule.regex.pattern]
    assert len(of_audit) == 5
    for rule in of_audit:
        for method in ("post", "put", "patch", "delete"):
            assert getattr(rule.handler_class, method) is getattr(RequestHandler, method), rule
    named = {name for name, _ in inspect.getmembers(Ledger, inspect.isfunction) if "audit" in name}
    assert named == {"audit", "search_audit"}
    await write(running, 3)
    changed: list[str] = []
    engine = running.world.ledger._engine  # type: ignore[attr-defined]
    sa.event.listen(engine, "before_cursor_execute", lambda *told: changed.append(told[2]))
    assert (await launch(running, "alice", "train", 2))[0] == 201
    await running.call("POST", "api/v1/servers/alice/train/stop", "admin")
    await running.call("POST", "api/v1/reconcile", "admin", json={})
    writes = [one for one in changed if not one.startswith("SELECT") and " audit" in one]
    assert writes
    assert all(one.startswith("INSERT INTO audit") for one in writes), writes
