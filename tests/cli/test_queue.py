"""``mlabhub queue`` and ``mlabhub server`` against a service that runs: what is shown, what is done, how it ends."""

from __future__ import annotations

import asyncio
import io
import json
import time
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from mlabhub.cli import app, exit_status
from mlabhub.cli.queue import COLUMNS, read_options, row_of, when_of
from mlabhub.cli.shown import print_table
from mlabhub.errors import InvalidConfiguration, LaunchRefused, MLabError, NotFound, Unavailable
from mlabhub.service.scopes import SEE_ALL_SCOPE
from mlabhub.settings import SERVICE_NAME
from tests.installation import free_port
from tests.service.conftest import Running, running
from tests.service.test_queue_api import full, launch, queue

__all__ = ["full", "running"]


@pytest.fixture
def mlabhub(full: Running, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what runs a verb as somebody, by address and token."""
    monkeypatch.setenv("MLABHUB_URL", full.settings.service_url.removesuffix(f"services/{SERVICE_NAME}/"))

    async def run(*arguments: str, who: str = "bob") -> Result:
        monkeypatch.setenv("MLABHUB_TOKEN", f"t-{who}")
        return await asyncio.to_thread(CliRunner().invoke, app, list(arguments))

    return run


def refused(result: Result, kind: type[MLabError], status: int) -> str:
    """Return the sentence of a refusal."""
    assert isinstance(result.exception, kind), result.output
    assert exit_status(result.exception) == status
    assert "\n" not in str(result.exception)
    return str(result.exception)


async def somebody_waits(full: Running) -> list[dict[str, Any]]:
    """Return the queue once there is one."""
    for _ in range(500):
        if entries := await queue(full):
            return entries
        await asyncio.sleep(0.02)
    raise AssertionError("nobody waits")


async def test_the_queue_is_shown(full: Running, mlabhub: Any) -> None:
    assert (await mlabhub("queue")).output == "Nobody waits.\n"
    await launch(full, "bob", "train", 4)
    shown = await mlabhub("queue", "list")
    assert shown.exit_code == 0
    assert shown.output == (await mlabhub("queue")).output
    for text in ("bob/train_x", "4 GPU", "0 min", "4 GPU wait"):
        assert text in shown.output
    others = (await mlabhub("queue", who="carol")).output
    assert "train" not in others
    assert "of another group" in " ".join(others.split())
    (entry,) = json.loads((await mlabhub("queue", "--json")).output)["entries"]
    assert (entry["server_name"], entry["position"]) == ("train", 1)


async def test_one_leaves_and_changes_by_name_or_id(full: Running, mlabhub: Any) -> None:
    _, told = await launch(full, "bob", "train", 4)
    changed = await mlabhub("queue", "change", "train_x", "gpus=3", "cpu=2")
    assert changed.output == "train_x asks for that from now on. It is number 1 now.\n"
    (entry,) = await queue(full)
    assert entry["options"] == {"profile": "gpu", "gpus": 3, "cpu": 2}
    assert "nope" in refused(await mlabhub("queue", "change", "train", "profile=nope"), MLabError, 1)
    refused(await mlabhub("queue", "change", "train", "gpus"), InvalidConfiguration, 2)
    assert "Nothing in the queue" in refused(await mlabhub("queue", "leave", "train", who="carol"), NotFound, 1)
    refused(await mlabhub("queue", "leave", told["launch_id"], who="carol"), NotFound, 1)
    assert (await mlabhub("queue", "leave", told["launch_id"])).output == "train_x waits no longer.\n"
    assert await queue(full) == []


async def test_an_administrator_moves_an_entry(full: Running, mlabhub: Any) -> None:
    ids = [(await launch(full, "bob", f"x{number}", 4))[1]["launch_id"] for number in range(2)]
    refused(await mlabhub("queue", "move", ids[1]), MLabError, 1)
    assert (await mlabhub("queue", "move", ids[1], "--before", ids[0], who="admin")).exit_code == 0
    await full.world.queue.round_now()
    assert [entry["launch_id"] for entry in await queue(full)] == ids[::-1]
    assert (await mlabhub("queue", "move", ids[0], "--json", who="admin")).exit_code == 0
    await full.world.queue.round_now()
    assert [entry["launch_id"] for entry in await queue(full)] == ids


async def test_a_server_starts_in_safe_mode(full: Running, mlabhub: Any) -> None:
    started = await mlabhub("server", "start", "gpu", "--name", "small", "--gpus", "1", "--safe")
    assert started.exit_code == 0, started.exception
    launched = full.of_server("bob", "small")
    assert launched is not None
    assert (launched.options["safe"], len(launched.gpus)) == (True, 1)
    assert (await mlabhub("server", "stop", "small")).exit_code == 0
    again = await mlabhub("server", "start", "--name", "small", "--safe")
    assert again.exit_code == 0, again.exception
    launched = full.of_server("bob", "small")
    assert launched is not None
    assert (launched.options["safe"], launched.profile, launched.gpus) == (True, "cpu", ())
    refused(await mlabhub("server", "start", "--name", "never", "--safe"), NotFound, 1)
    assert "Name a profile" in refused(await mlabhub("server", "start", "--name", "small"), InvalidConfiguration, 2)


async def test_a_server_starts_waits_and_stops(full: Running, mlabhub: Any) -> None:
    started = await mlabhub("server", "start", "gpu", "--name", "Small", "--gpus", "1")
    assert started.output.startswith("Small: starting, ")
    one = full.of_server("bob", "small")
    assert one is not None
    assert one.display_name == "Small"
    assert "Small" in (await mlabhub("server", "list")).output
    no = refused(
        await mlabhub("server", "start", "gpu", "--name", "big", "--gpus", "4", "--no-queue"), LaunchRefused, 1
    )
    assert "4 GPU wait" in no
    waits = await mlabhub("server", "start", "gpu", "--name", "big", "--gpus", "4")
    assert waits.exit_code == 0
    assert "It waits, as number 1" in waits.stderr
    assert (await mlabhub("server", "stop", "Small")).output == "Small is being stopped.\n"
    assert full.of_server("bob", "small") is None
    assert "There is no server" in refused(await mlabhub("server", "stop", "nope"), NotFound, 1)
    released = await mlabhub("server", "release", "first", "--stop", who="alice")
    assert released.output == "first gives back what it holds.\n"
    await full.world.queue.round_now()
    assert full.of_server("bob", "big") is not None
    listed = json.loads((await mlabhub("server", "list", "--json")).output)["servers"]
    assert {(server["server_name"], server["state"]) for server in listed} >= {("big", "running")}


async def test_a_start_waits_until_it_runs_or_never_will(full: Running, mlabhub: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("mlabhub.cli.server.POLL_S", 0.05)
    waiting = asyncio.create_task(mlabhub("server", "start", "gpu", "--name", "big", "--gpus", "4", "--wait", "--json"))
    entries = await somebody_waits(full)
    await full.call("POST", "api/v1/servers/alice/first/stop")
    await full.world.queue.round_now()
    ended = await asyncio.wait_for(waiting, 20)
    assert (ended.exit_code, json.loads(ended.stdout)["launch_id"]) == (0, entries[0]["launch_id"])
    assert json.loads(ended.stdout)["state"] == "ready"
    waiting = asyncio.create_task(mlabhub("server", "start", "gpu", "--name", "more", "--gpus", "8", "--wait"))
    entries = await somebody_waits(full)
    await full.call("DELETE", f"api/v1/launches/{entries[0]['launch_id']}", "admin")
    assert refused(await asyncio.wait_for(waiting, 20), LaunchRefused, 1) == "admin took it out of the queue"


async def test_who_cannot_be_reached_and_options_before_the_verb(mlabhub: Any, monkeypatch: Any) -> None:
    misplaced = await mlabhub("queue", "--json", "leave", "x")
    assert misplaced.exit_code == 2
    monkeypatch.setenv("MLABHUB_URL", f"http://127.0.0.1:{free_port()}/")
    for verb in (("queue",), ("queue", "leave", "x"), ("server", "list"), ("server", "start", "gpu")):
        refused(await mlabhub(*verb), Unavailable, 3)


def test_times_and_options_are_read_as_people_write_them() -> None:
    now = time.time()
    assert when_of({"earliest": None, "latest": None}, now) == "not known"
    assert when_of({"earliest": now, "latest": None}, now).endswith(" or later")
    assert " to " in when_of({"earliest": now + 60, "latest": now + 7200}, now)
    assert len(when_of({"earliest": now + 3 * 86400, "latest": now + 3 * 86400}, now)) == len("11-26 10:00")
    assert read_options(["gpus=2", "image=base", "gpu_type=null", 'options={"a": 1}']) == {
        "gpus": 2,
        "image": "base",
        "gpu_type": None,
        "options": {"a": 1},
    }


def test_a_hostile_name_moves_nothing_on_the_terminal() -> None:
    entry = {
        "position": 1,
        "own": True,
        "user": "\x1b[2Jroot",
        "display_name": "[red]x[/red]",
        "server_name": "x",
        "gpus": 1,
        "gpu_type": "a100",
        "cpu": 1.0,
        "memory_gib": 2.0,
        "since": 0.0,
        "wait": {"earliest": None, "latest": None},
        "reasons": [{"message": "line\x1b]0;title\x07"}],
    }
    console = Console(file=io.StringIO(), width=100, highlight=False)
    print_table(console, COLUMNS, [row_of(entry, 60.0)])
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "[red]x[/red]" in shown


async def test_the_machines_own_command_line_sees_all_and_changes_nothing(
    full: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLABHUB_URL", raising=False)
    _, told = await launch(full, "bob", "train", 4)
    full.settings.save()
    (full.settings.secrets_dir / "command-line-token").write_text("c" * 32)
    full.tokens.vouch("c" * 32, "mlabhub-command-line", scopes=(SEE_ALL_SCOPE,), kind="service")
    at = ("--state", str(full.settings.state_dir))
    shown = await asyncio.to_thread(CliRunner().invoke, app, ["queue", *at])
    assert "bob/train_x" in shown.output
    left = await asyncio.to_thread(CliRunner().invoke, app, ["queue", "leave", told["launch_id"], *at])
    refused(left, NotFound, 1)
    assert len(await queue(full)) == 1
