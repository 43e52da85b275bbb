"""What servers write: the end of it, a stream of it, by the API and by the command line."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mlabhub.cli import app
from mlabhub.errors import NotPermitted
from mlabhub.inventory.process import ProcessBackend
from mlabhub.service import server_logs
from mlabhub.service.scopes import SEE_ALL_SCOPE
from tests.service.conftest import Running, make_settings
from tests.service.test_queue_events import gone, stream

LOGS = "api/v1/servers/alice/exp/logs"


@pytest.fixture
def written(running: Running) -> list[bytes]:
    """What the server exp of alice wrote."""
    return running.backend.logs.setdefault(("alice", "exp"), [b"one\ntwo\n", b"\x1b[31mthree\x1b[0m <b>\n"])


async def test_the_last_lines_are_told(running: Running, written: list[bytes]) -> None:
    told = (await running.call("GET", LOGS)).json()
    assert told == {"lines": ["one", "two", "three <b>"], "skipped": False, "over": False}
    assert (await running.call("GET", f"{LOGS}?lines=1")).json()["lines"] == ["three <b>"]
    assert (await running.call("GET", f"{LOGS}?lines=1")).json()["skipped"]
    assert (await running.call("GET", f"{LOGS}?lines=0")).json()["lines"] == []
    assert (await running.call("GET", LOGS, "admin")).status_code == 200


async def test_somebody_elses_log_and_none_at_all_are_told_apart_by_nobody(
    running: Running, written: list[bytes]
) -> None:
    others = await running.call("GET", LOGS, "bob")
    none = await running.call("GET", "api/v1/servers/bob/none/logs", "bob")
    assert (others.status_code, none.status_code, others.json()) == (404, 404, none.json())
    for path in (f"{LOGS}/events", "api/v1/servers/bob/none/logs/events"):
        assert (await running.call("GET", path, "bob")).json() == none.json()
    assert (await running.call("GET", LOGS, None)).status_code == 403


@pytest.mark.parametrize("lines", ["-1", "2001", "1e3", "", "٣", "9" * 400])
async def test_a_number_of_lines_that_is_none(running: Running, written: list[bytes], lines: str) -> None:
    answer = await running.call("GET", f"{LOGS}?lines={lines}")
    assert (answer.status_code, "from 0 to 2000" in answer.text) == (422, True)


async def test_without_the_engine_nobody_knows(running: Running, written: list[bytes]) -> None:
    running.backend.down = True
    assert (await running.call("GET", LOGS)).status_code == 503
    assert (await running.call("GET", f"{LOGS}/events")).status_code == 503


async def test_what_comes_is_sent_until_the_server_ends(running: Running, written: list[bytes]) -> None:
    async with stream(running, f"{LOGS}/events?lines=2", "alice") as told:
        assert await told.next("log") == {"lines": ["two", "three <b>"], "skipped": True, "over": False}
        written += [b"fou", b"r\nfi"]
        assert (await told.next("log"))["lines"] == ["four"]
        written.append(b"ve")
        running.backend.ended = True
        rest: list[dict[str, Any]] = []
        while not rest or not rest[-1]["over"]:
            rest.append(await told.next("log"))
        assert [line for one in rest for line in one["lines"]] == ["five"]
    await gone(running)


async def test_a_server_that_writes_without_end_costs_no_more(running: Running, written: list[bytes]) -> None:
    written += [b"%d %s\n" % (number, b"x" * 1000) for number in range(3000)]
    told = (await running.call("GET", f"{LOGS}?lines=2000")).json()
    assert told["skipped"]
    assert told["lines"][-1].startswith("2999 x")
    assert sum(map(len, told["lines"])) <= server_logs.MOST_BYTES
    async with stream(running, f"{LOGS}/events", "alice") as follower:
        first = await follower.next("log")
        assert (first["skipped"], len(first["lines"]) <= 200) == (True, True)


async def test_one_who_follows_a_silent_server_is_told_that_it_is_there(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_logs, "SOON_S", 0.05)
    running.backend.logs["alice", "exp"] = []
    async with stream(running, f"{LOGS}/events", "alice") as told:
        assert await told.next("log") == {"lines": [], "skipped": False, "over": False}
        running.backend.logs["alice", "exp"].append(b"at last\n")
        assert (await told.next("log"))["lines"] == ["at last"]


async def invoke(running: Running, monkeypatch: pytest.MonkeyPatch, *argv: str) -> Result:
    monkeypatch.setenv("MLABHUB_URL", running.settings.service_url.removesuffix("services/mlabhub/"))
    monkeypatch.setenv("MLABHUB_TOKEN", "t-alice")
    return await asyncio.to_thread(CliRunner().invoke, app, ["server", "logs", *argv])


async def test_the_command_line_shows_and_follows(
    running: Running, written: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    await running.call("POST", "api/v1/launches", json={"server_name": "exp", "user_options": {"profile": "cpu"}})
    shown = await invoke(running, monkeypatch, "exp", "--lines", "2")
    assert (shown.exit_code, shown.stdout) == (0, "two\nthree <b>\n"), shown.output
    assert json.loads((await invoke(running, monkeypatch, "exp", "--json")).stdout)["lines"][0] == "one"
    following = asyncio.create_task(invoke(running, monkeypatch, "exp", "--follow", "--lines", "1"))
    written.append(b"four\n")
    running.backend.ended = True
    assert (await following).stdout == "four\n"
    assert (await invoke(running, monkeypatch, "nobody's")).exit_code == 1


async def test_the_machines_own_command_line_reads_everybodys_and_stops_nobodys(
    running: Running, written: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLABHUB_URL", raising=False)
    running.settings.save()
    (running.settings.secrets_dir / "command-line-token").write_text("c" * 32)
    running.tokens.vouch("c" * 32, "mlabhub-command-line", scopes=(SEE_ALL_SCOPE,), kind="service")
    for name in ("exp", ""):
        await running.call("POST", "api/v1/launches", json={"server_name": name, "user_options": {"profile": "cpu"}})
    running.backend.logs["alice", ""] = [b"the default one\n"]

    async def server(*argv: str) -> Result:
        at = ("--state", str(running.settings.state_dir))
        return await asyncio.to_thread(CliRunner().invoke, app, ["server", *argv, *at])

    assert (await server("logs", "alice/exp", "--lines", "1")).stdout == "three <b>\n"
    assert (await server("logs", "alice/")).stdout == "the default one\n"
    refused = await server("stop", "alice/exp")
    assert isinstance(refused.exception, NotPermitted), refused.output
    one = running.of_server("alice", "exp")
    assert one is not None
    assert one.state != "stopping"


async def test_a_process_s_log_is_a_file(tmp_path: Any) -> None:
    settings = make_settings(tmp_path)
    backend = ProcessBackend(settings)
    file = settings.log_dir / "servers" / "alice--exp.log"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"before\n" * 300_000 + b"last\n")
    pieces = [piece async for piece in backend.log("alice", "exp")]
    assert b"".join(pieces).endswith(b"before\nlast\n")
    assert sum(map(len, pieces)) == 2**20
    following = backend.log("alice", "exp", follow=True)
    seen = b""
    while not seen.endswith(b"last\n"):
        seen += await anext(following)
    file.write_bytes(b"anew\n")
    assert await asyncio.wait_for(anext(following), 30) == b"anew\n"
    await following.aclose()  # type: ignore[attr-defined]
