"""What agents report: whose token opens what, what is kept of it, and what nobody can do to another's server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlabhub.core.readings import Sample
from mlabhub.errors import Gone, LaunchRefused, NotPermitted, TooMany, UnknownToken
from mlabhub.ledger import Contents
from mlabhub.service.bodies import MOST_REPORTS, ReportsBody
from mlabhub.service.metrics import Metrics
from mlabhub.service.projection import Projection
from mlabhub.service.report_tokens import VARIABLE, ReportTokens, Subject
from mlabhub.service.reports import CALL_EVERY_S, CALLS, KEPT, OLDEST_S, Reports
from tests.bench.admission_service import held_reservation
from tests.doubles import unreachable
from tests.service.conftest import SECRET, Running
from tests.service.test_api import BAD_BODIES, error_of

REPORTS = "api/v1/reports"
NOW = 1_732_233_600.0
ALICE = Subject("user1", "s0", "01HELD" + f"{1:020}")
BOB = Subject("user2", "s0", "01HELD" + f"{2:020}")


def running_launches(*numbers: int) -> Projection:
    """Return what the ledger says while these launches are not over."""
    return Projection(Contents(tuple(held_reservation(one) for one in numbers), {}, (), ()))


class Place:
    """Reports over two servers that run, with clocks of the test."""

    def __init__(self) -> None:
        self.now, self.elapsed = NOW, 100.0
        self.projection = running_launches(1, 2)
        self.tokens = ReportTokens("t" * 32)
        self.metrics = Metrics()
        self.reports = Reports(
            self.tokens, lambda: self.projection, lambda: self.now, lambda: self.elapsed, self.metrics
        )

    def send(self, *reports: dict[str, Any], about: Subject = ALICE, sent: float | None = None) -> tuple[int, int]:
        """Send reports as the agent of a server does; return how many were taken, and how many dropped."""
        body = {"server": about.name, "sent": self.now if sent is None else sent, "reports": list(reports)}
        taken = self.reports.take(self.reports.admit(self.tokens.make(about)), ReportsBody.model_validate(body))
        return taken.taken, taken.dropped


def report(number: int = 1, t: float = NOW, **values: Any) -> dict[str, Any]:
    """Return one report as it is sent."""
    return {"t": t, "number": number, **values}


@pytest.fixture
def place() -> Place:
    return Place()


def test_a_token_says_whose_it_is_and_a_restart_changes_none() -> None:
    subject = Subject("zoë.o'hara@lab", "träin 1", "01X")
    assert ReportTokens("key" * 9).read(ReportTokens("key" * 9).make(subject)) == subject
    assert ReportTokens("another key").read(ReportTokens("key" * 9).make(subject)) is None


@given(st.text(max_size=80), st.integers(0, 200), st.characters())
def test_whatever_is_no_token_of_ours_is_nobodys(text: str, at: int, other: str) -> None:
    tokens = ReportTokens("t" * 32)
    token = tokens.make(ALICE)
    assert tokens.read(text) is None
    changed = token[: at % len(token)] + other + token[at % len(token) + 1 :]
    assert tokens.read(changed) is None or changed == token
    head, _, signature = tokens.make(BOB).rpartition(".")
    assert tokens.read(f"{token.rpartition('.')[0]}.{signature}") is None
    assert tokens.read(f"{head}.{token.rpartition('.')[2]}") is None


def test_what_is_reported_is_known_and_what_is_not_said_is_not(place: Place) -> None:
    everything = report(
        input_age=12.0, inputs={"lab": 12.0}, kernels_busy=2, kernels_busy_age=60.0, terminals_busy=0, cpu_cores=0.5
    )
    assert place.send(everything) == (1, 0)
    latest = place.reports.latest(ALICE.launch_id)
    assert latest is not None
    assert (latest.at, latest.input_at, latest.kernels_busy_since) == (NOW, NOW - 12, NOW - 60)
    assert (latest.kernels_busy, latest.terminals_busy, latest.cpu_cores) == (2, 0, 0.5)
    assert place.reports.inputs(ALICE.launch_id) == {"lab": NOW - 12}
    place.send(report(2))
    latest = place.reports.latest(ALICE.launch_id)
    assert latest is not None
    unsaid = (latest.input_at, latest.kernels_busy, latest.terminals_busy, latest.cpu_cores, latest.kernels_busy_since)
    assert unsaid == (None,) * 5


def test_nothing_that_one_server_reports_is_known_of_another(place: Place) -> None:
    place.send(report(kernels_busy=3), about=BOB)
    before = place.reports.latest(BOB.launch_id)
    subject = place.reports.admit(place.tokens.make(ALICE))
    for name in (BOB.name, "user1/", "user1/s0 ", ""):
        body = ReportsBody.model_validate({"server": name, "sent": NOW, "reports": [report(9, kernels_busy=0)]})
        with pytest.raises(NotPermitted, match="is for the server user1/s0"):
            place.reports.take(subject, body)
    place.send(report(2**53, kernels_busy=0))
    assert place.reports.latest(BOB.launch_id) is before
    assert place.send(report(2, kernels_busy=4), about=BOB) == (1, 0)


def test_late_and_doubled_reports_are_dropped(place: Place) -> None:
    assert place.send(report(1, NOW - 120), report(2, NOW - 60)) == (2, 0)
    assert place.send(report(1, NOW - 120), report(2, NOW - 60), report(3)) == (1, 2)
    assert place.send(report(4, NOW - OLDEST_S - 1), report(5)) == (1, 1)
    assert [one.at for one in place.reports.since(ALICE.launch_id, NOW - 100)] == [NOW - 60, NOW, NOW]


@pytest.mark.parametrize("hours", [-1.0, 1.0, 24 * 365.0])
def test_an_agents_clock_may_be_anywhere(place: Place, hours: float) -> None:
    there = NOW + 3600 * hours
    assert place.send(report(1, there - 60), report(2, there), sent=there) == (2, 0)
    assert [one.at for one in place.reports.since(ALICE.launch_id, 0)] == pytest.approx([NOW - 60, NOW])


def test_nothing_is_reported_from_the_future(place: Place) -> None:
    place.send(report(1, NOW + 3600, input_age=0.0, inputs={"lab": 0.0}))
    latest = place.reports.latest(ALICE.launch_id)
    assert latest is not None
    assert (latest.at, latest.input_at) == (NOW, NOW)
    assert place.reports.inputs(ALICE.launch_id) == {"lab": NOW}


def test_setting_the_services_clock_back_takes_in_what_follows(place: Place) -> None:
    place.send(report(1))
    place.now -= 3600
    assert place.send(report(2, place.now)) == (1, 0)


def test_what_is_kept_is_bounded(place: Place) -> None:
    for first in range(0, 3 * KEPT, MOST_REPORTS):
        assert place.send(*(report(first + one + 1) for one in range(MOST_REPORTS))) == (MOST_REPORTS, 0)
    assert len(place.reports.since(ALICE.launch_id, 0)) == KEPT


def test_a_launch_that_is_over_is_told_so_and_forgotten(place: Place) -> None:
    place.send(report())
    place.projection = running_launches(2)
    with pytest.raises(Gone, match="is over"):
        place.send(report(2))
    assert place.reports.latest(ALICE.launch_id) is None
    place.projection = running_launches()
    place.reports.forget_ended()
    assert place.reports.latest(BOB.launch_id) is None


def test_too_many_calls_are_refused_whatever_the_clock_is_set_to(place: Place) -> None:
    for number in range(CALLS):
        place.send(report(number + 1))
    place.now += 86400
    with pytest.raises(TooMany) as refused:
        place.send(report(CALLS + 1))
    assert refused.value.data["retry_after"] == CALL_EVERY_S
    assert place.send(report(1, place.now), about=BOB) == (1, 0)
    place.elapsed += CALL_EVERY_S
    assert place.send(report(CALLS + 1, place.now)) == (1, 0)


def test_nothing_but_its_own_tokens_is_let_in(place: Place) -> None:
    for token in ("", "t" * 32, SECRET, place.tokens.make(ALICE) + "x", "x" * 100_000):
        with pytest.raises(UnknownToken):
            place.reports.admit(token)
    text = place.metrics.render(()).decode()
    assert 'mlabhub_reports_total{result="refused"} 5.0' in text


async def token_of(running: Running, user: str, server: str) -> str:
    """Start a server as spawners do, and return the token that it is given."""
    admission = await running.spawner.reserve(
        user, server, launch_id=running.world.make_launch_id(), user_options={}, groups=("vision",), backend="c",
        deadline_s=60,
    )  # fmt: skip
    assert admission.plan is not None
    return admission.plan.environment[VARIABLE]


async def test_a_server_reports_with_the_token_it_was_started_with(running: Running) -> None:
    token = await token_of(running, "alice", "x")
    one = running.of_server("alice", "x")
    assert one is not None
    assert one.plan is not None
    assert VARIABLE not in json.dumps(one.plan), "the ledger keeps no token"
    now = running.world.clock()
    body = {"server": "alice/x", "sent": now, "reports": [report(1, now, kernels_busy=1), report(2, now)]}

    async def send(token: str, body: Any = body) -> Any:
        return await running.http.post(REPORTS, json=body, headers={"Authorization": f"Bearer {token}"})

    running.hub.fault = unreachable()
    answer = await send(token)
    assert (answer.status_code, answer.json()) == (200, {"taken": 2, "dropped": 0, "status": None})
    assert (await send(token)).json() == {"taken": 0, "dropped": 2, "status": None}
    error_of(await running.http.post(REPORTS, json=body), 401)
    error_of(await send(SECRET), 401)
    error_of(await send(token[:-2]), 401)
    error_of(await send(token, {**body, "server": "bob/x"}), 403)
    assert (
        "reports.0.number: it is missing"
        in error_of(await send(token, {**body, "reports": [{"t": 1}]}), 422)["message"]
    )
    error_of(await send(token, {**body, "reports": [report(3, note="x" * 70_000)]}), 413)
    running.hub.fault = None
    await running.spawner.released("alice", "x", one.launch_id)
    error_of(await send(token), 410)


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
async def test_junk_is_refused_in_words(running: Running, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {await token_of(running, 'alice', 'x')}"}
    error_of(await running.http.post(REPORTS, content=body, headers=headers), 422)


@pytest.mark.parametrize(
    "wrong",
    [
        {"number": 0},
        {"number": 2**70},
        {"number": True},
        {"t": -1.0},
        {"t": "now"},
        {"input_age": -1.0},
        {"input_age": 1e300},
        {"kernels_busy": 1.5},
        {"kernels_busy": -1},
        {"cpu_cores": -0.1},
        {"inputs": {"lab": None}},
        {"inputs": {"x" * 33: 1.0}},
        {"inputs": {f"tool{number}": 1.0 for number in range(17)}},
    ],
    ids=str,
)
async def test_values_that_cannot_be_are_refused(running: Running, wrong: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {await token_of(running, 'alice', 'x')}"}
    body = {"server": "alice/x", "sent": NOW, "reports": [{**report(), **wrong}]}
    error_of(await running.http.post(REPORTS, json=body, headers=headers), 422)
    one = running.of_server("alice", "x")
    assert one is not None
    assert running.service.application.settings["reports"].latest(one.launch_id) is None


async def test_who_reports_too_often_is_told_when_to_come_again(running: Running) -> None:
    headers = {"Authorization": f"Bearer {await token_of(running, 'alice', 'x')}"}
    for number in range(CALLS + 2):
        body = {"server": "alice/x", "sent": NOW, "reports": [report(number + 1)]}
        answer = await running.http.post(REPORTS, json=body, headers=headers)
    error_of(answer, 429)
    assert 1 <= int(answer.headers["Retry-After"]) <= CALL_EVERY_S


class Desks:
    """What agents reach besides reports, as it stands in the application's settings."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.asked: dict[str, Any] | None = None

    def status(self, launch_id: str) -> dict[str, Any]:
        return {"now": NOW, "verdict": "idle", "order": None, "launch": launch_id}

    def order(self, launch_id: str) -> dict[str, Any] | None:
        return self.asked

    async def seen(self, launch_id: str, warning_at: float) -> None:
        self.calls.append(("seen", launch_id, warning_at))

    async def extend_own(self, launch_id: str, seconds: float, reason: str) -> None:
        if seconds > 7200:
            raise LaunchRefused("Two hours at most.")
        self.calls.append(("keep", launch_id, seconds, reason))

    async def release_own(self, launch_id: str) -> None:
        self.calls.append(("release", launch_id))

    async def saved(self, launch_id: str, rescue: str) -> None:
        self.calls.append(("saved", launch_id, rescue))


async def test_an_agent_is_answered_how_things_stand_and_passes_on_what_is_asked_for(running: Running) -> None:
    headers = {"Authorization": f"Bearer {await token_of(running, 'alice', 'x')}"}
    one, desks = running.of_server("alice", "x"), Desks()
    assert one is not None
    launch = one.launch_id

    async def send(path: str, status: int = 200, **body: Any) -> Any:
        answer = await running.http.post(f"{REPORTS}{path}", json={"server": "alice/x", **body}, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()

    settings = running.service.application.settings
    shelving = settings["shelving"]
    settings.update(idle_desk=desks, shelving=desks)
    desks.asked = {"until": NOW, "reason": {"en": "so", "zh_CN": "此"}}
    answer = await send("", sent=NOW, reports=[report()], seen=NOW - 5)
    assert answer["status"] == {"now": NOW, "verdict": "idle", "launch": launch, "order": desks.asked}
    desks.asked = None
    assert (await send("/keep", seconds=7200, reason="a long sum"))["status"]["order"] is None
    assert (await send("/keep", 409, seconds=7201.0))["error"]["message"] == "Two hours at most."
    await send("/release", 202)
    await send("/saved", rescue="~/mlabhub-rescue")
    assert desks.calls == [
        ("seen", launch, NOW - 5),
        ("keep", launch, 7200, "a long sum"),
        ("release", launch),
        ("saved", launch, "~/mlabhub-rescue"),
    ]
    settings["shelving"] = shelving
    at = running.world.clock() - 60
    for of, number in ((launch, 1.0), ("01OTHER", 2.0)):
        sample = Sample(at + number, "alice/x", of, 1, (37.0,), (None,), 0.5)
        running.world.samples.add(sample.t, [sample])
    traced = (await running.http.get(f"{REPORTS}/trace", headers=headers)).json()
    [told] = traced["samples"]
    assert (told["t"], told["gpu_util"], told["gpu_mem_used"], told["cpu_cores"]) == (at + 1, [37.0], [None], 0.5)


@pytest.mark.parametrize("path", ["/keep", "/release", "/saved"])
async def test_nobody_asks_for_anything_for_another_server(running: Running, path: str) -> None:
    token, desks = await token_of(running, "alice", "x"), Desks()
    running.service.application.settings.update(idle_desk=desks, shelving=desks)
    body: dict[str, Any] = {"server": "bob/x", **({"seconds": 60} if path == "/keep" else {})}
    headers = {"Authorization": f"Bearer {token}"}
    error_of(await running.http.post(REPORTS + path, json=body, headers=headers), 403)
    error_of(await running.http.post(REPORTS + path, json=body), 401)
    error_of(await running.http.post(REPORTS + path, json={"seconds": 0, "more": 1}, headers=headers), 422)
    long = {**body, "server": "x" * 70_000}
    error_of(await running.http.post(REPORTS + path, json=long, headers=headers), 413)
    for _ in range(CALLS):
        answer = await running.http.post(REPORTS + path, json=body, headers=headers)
    error_of(answer, 429)
    error_of(await running.http.get(f"{REPORTS}/trace"), 401)
    assert desks.calls == []
