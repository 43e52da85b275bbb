"""Idleness over HTTP: the verdict signal by signal, samples, keeping a server, giving its GPUs back, the overview."""

from __future__ import annotations

import time
from typing import Any

import pytest

from mlabhub.core.idle.file import Idle
from mlabhub.core.readings import Sample
from mlabhub.ledger import IdleWarning, WouldStop
from mlabhub.messages import Message
from mlabhub.service.writer import Outcome
from tests.service.conftest import Running
from tests.service.simulation import FixedCatalog
from tests.service.test_api import error_of
from tests.service.test_queue_api import launch

SERVER = "api/v1/servers/alice/train/"
HOSTILE = "<script>alert(1)</script> \u202eabc\u200f"
SITE = {
    "like": "default",
    "with_gpu": {"window_minutes": 30},
    "grace_minutes": 15,
    "learns": False,
    "keep_hours": 2.0,
    "keep_times": 2,
}


def set_policy(running: Running, **changes: Any) -> None:
    """Let a policy of half an hour hold."""
    idle = Idle.model_validate({"policy": "site", "policies": {"site": {**SITE, **changes}}})
    running.world.catalog = FixedCatalog(running.world.catalog().model_copy(update={"idle": idle}))


async def measure(running: Running, launch_id: str, minutes: int, gpu: float | None = 0.0, gpus: int = 2) -> None:
    """Let samples of the last minutes be there."""
    now, util = running.world.clock(), (gpu,) * gpus
    for ago in range(minutes, -1, -1):
        sample = Sample(now - 60.0 * ago, "alice/train", launch_id, gpus, util, (2.0**30,) * gpus, 0.1)
        await running.world.watch.tick(sample.t, (sample,))


async def record(running: Running, *records: Any) -> None:
    """Let the ledger say something."""
    await running.world.writer.submit(lambda _: Outcome(None, records))


@pytest.fixture
async def idle(running: Running) -> Running:
    """Return a service where alice's two GPUs stand idle for 40 minutes."""
    set_policy(running)
    assert (await launch(running, "alice", "train", 2))[0] == 201
    await measure(running, launch_of(running), 40)
    return running


def launch_of(running: Running) -> str:
    one = running.of_server("alice", "train")
    assert one is not None
    return one.launch_id


async def warn(running: Running, *, told: bool = True) -> None:
    """Let alice be warned a minute ago."""
    now = running.world.clock()
    known = {"told": now - 60, "way": "tool"} if told else {}
    await record(running, IdleWarning(launch_of(running), now - 120, changed=now, **known))  # type: ignore[arg-type]


async def explain(running: Running, who: str = "alice") -> dict[str, Any]:
    answer = await running.call("GET", SERVER + "idle", who)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_the_verdict_is_explained_signal_by_signal(idle: Running) -> None:
    told = await explain(idle)
    assert (told["verdict"], told["launch_id"], told["gpus"]) == ("idle", launch_of(idle), 2)
    assert told["said"].startswith("GPU idle for 40 min.")
    assert told["due"] == pytest.approx(told["since"] + 1800)
    assert told["deadline"] is told["warning"] is None
    by_name = {one["name"]: one for one in told["signals"]}
    assert (by_name["gpu"]["says"], by_name["gpu"]["trusted"]) == ("idle", True)
    assert "memory that is held is not work" in by_name["gpu_memory"]["text"]
    assert (told["policy"]["name"], told["policy"]["window_s"], told["policy"]["grace_s"]) == ("site", 1800, 900)
    assert told["policy"]["said"][0] == "Idle rule: warned after 30 min without GPU work, stopped 15 min later."
    assert (told["keep_left"], told["keep_most_s"]) == (2, 7200)
    assert told["page"].endswith(f"/servers/{told['launch_id']}")


async def test_what_nobody_measured_is_unknown_and_null(idle: Running) -> None:
    await measure(idle, launch_of(idle), 8, gpu=None)
    told = await explain(idle)
    assert (told["verdict"], told["due"]) == ("unknown", None)
    samples = (await idle.call("GET", SERVER + "samples")).json()["samples"]
    assert samples[-1]["gpu_util"] == [None, None]
    assert samples[-1]["input_age"] is None
    assert samples[0]["gpu_util"] == [0.0, 0.0]


async def test_somebody_elses_is_not_there(idle: Running) -> None:
    assert (await explain(idle, "admin"))["user"] == "alice"
    for method, what in (
        ("GET", "idle"),
        ("GET", "samples"),
        ("POST", "extend"),
        ("POST", "release-gpu"),
        ("POST", "bring-back"),
    ):
        body = {"hours": 1} if what == "extend" else {}
        wrong = await idle.call(method, SERVER + what, "bob", **({"json": body} if method == "POST" else {}))
        assert error_of(wrong, 404)["code"] == "not_found", what
    missing = await idle.call("GET", "api/v1/servers/alice/nope/idle", "bob")
    assert missing.status_code == 404
    assert (await idle.call("GET", SERVER + "idle", None)).status_code == 403


async def test_samples_of_a_stretch(idle: Running) -> None:
    now = idle.world.clock()
    every = (await idle.call("GET", SERVER + "samples")).json()
    assert len(every["samples"]) == 41
    assert every["until"] - every["since"] == pytest.approx(86400)
    some = await idle.call("GET", f"{SERVER}samples?since={now - 300}&until={now - 90}")
    assert 3 <= len(some.json()["samples"]) <= 5
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now - 300))
    assert (await idle.call("GET", f"{SERVER}samples?since={moment}")).status_code == 200
    for bad in ("since=x", "since=", "since=nan", "since=1e400", "since=-1", f"until={now}&since={now + 5}", "since=0"):
        assert (await idle.call("GET", f"{SERVER}samples?{bad}")).status_code == 422, bad


async def test_it_is_kept_as_long_and_as_often_as_the_rule_allows(idle: Running) -> None:
    await warn(idle)
    assert (await explain(idle))["verdict"] == "warned"
    kept = await idle.call("POST", SERVER + "extend", json={"hours": 9, "reason": "training   begins\nsoon"})
    told = kept.json()
    assert (kept.status_code, told["warning"], told["keep_left"]) == (200, None, 1)
    assert told["keepings"][0]["until"] == pytest.approx(told["now"] + 7200, abs=5)
    assert (told["keepings"][0]["by"], told["keepings"][0]["reason"]) == ("alice", "training begins soon")
    assert (await idle.call("POST", SERVER + "extend", json={"seconds": 60})).status_code == 200
    often = await idle.call("POST", SERVER + "extend", json={"seconds": 60})
    assert error_of(often, 409)["code"] == "refused"
    audit = (await idle.call("GET", "api/v1/audit", "admin")).json()["entries"]
    assert sum(one["act"] == "keep" and one["actor"] == "alice" for one in audit) == 2


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"hours": 1, "seconds": 1},
        {"hours": 0},
        {"hours": -1},
        {"hours": "2"},
        {"seconds": 1e300},
        {"hours": 1, "reason": "x" * 10_000},
        {"hours": 1, "reason": None},
        {"hours": 1, "until": 5},
    ],
)
async def test_a_wish_that_is_none(idle: Running, body: dict[str, Any]) -> None:
    answer = await idle.call("POST", SERVER + "extend", json=body)
    assert error_of(answer, 422)["code"] == "invalid_body"
    assert idle.projection.keepings == {}


async def test_the_login_cookie_alone_keeps_nothing(idle: Running) -> None:
    answer = await idle.call(
        "POST", SERVER + "extend", None, json={"hours": 1}, headers={"Cookie": "service-mlabhub=x"}
    )
    assert answer.status_code == 403
    assert idle.projection.keepings == {}


async def test_a_reason_that_attacks_is_text(idle: Running) -> None:
    told = (await idle.call("POST", SERVER + "extend", json={"hours": 1, "reason": HOSTILE})).json()
    assert told["keepings"][0]["reason"].startswith("<script>")
    overview = (await idle.call("GET", "api/v1/idle", "admin")).json()
    assert overview["keepings"][0]["user"] == "alice"


async def test_gpus_are_given_back_and_had_again(idle: Running) -> None:
    early = await idle.call("POST", SERVER + "bring-back", json={})
    assert early.status_code == 404
    given = await idle.call("POST", SERVER + "release-gpu", json={"reason": "reading"})
    assert (given.status_code, given.json()["state"]) == (202, "saving")
    assert (await explain(idle))["can_release"] is False
    soon = await idle.call("POST", SERVER + "bring-back", json={})
    assert soon.status_code == 409
    assert (await idle.call("POST", SERVER + "release-gpu", json={"reason": "x" * 201})).status_code == 422


async def test_the_overview_is_for_administrators(idle: Running) -> None:
    assert (await idle.call("GET", "api/v1/idle")).status_code == 403
    now = idle.world.clock()
    would = WouldStop("01W", now - 7200, "bob", "old", 2, Message("GPU idle for 2 h."))
    again = WouldStop("01X", now - 7200, "bob", "used", 4, Message("GPU idle."), again=now - 3600)
    await record(idle, would, again)
    await idle.world.idle.look()
    told = (await idle.call("GET", "api/v1/idle", "admin")).json()
    assert (told["regrets"], round(told["gpu_hours"])) == (1, 8)
    assert [one["server_name"] for one in told["would_stops"]] == ["used", "old"] or len(told["would_stops"]) == 2
    assert told["silent_agents"] == told["unknown"] == told["undeliverable"] == []
