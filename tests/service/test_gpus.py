"""`mlabhub gpus`, and the call that it shows: who sees what, at 80 columns, and what is said when nothing answers."""

from __future__ import annotations

import asyncio
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from mlabhub.cli import app, exit_status
from mlabhub.cli.gpus import ago, show, title_of
from mlabhub.core.capacity import Gpu, GpuProcess, Node
from mlabhub.errors import InvalidConfiguration, MLabError
from mlabhub.messages import Message
from mlabhub.service.scopes import SEE_ALL_SCOPE
from mlabhub.service.writer import Outcome
from tests.installation import free_port
from tests.service.conftest import Running

TOKEN = "c" * 32
HIDDEN = ("server_name", "display_name", "profile", "since", "utilisation", "used_gib")
EXPECTED_HOLDERS = {
    "alice": (True, "alice"),
    "bob": (True, "alice"),
    "carol": (True, None),
    "admin": (True, "alice"),
}
XORG = GpuProcess(900, "Xorg", 0.25, blocks=False)
PYTHON = GpuProcess(4711, "python[/red]", 3.0, launch_id="01J")


def make_machine() -> Node:
    """Return a machine with one GPU in each state."""

    def gpu(index: int, **values: Any) -> Gpu:
        usual = {"type": "a100", "node": "n1", "name": "NVIDIA A100-SXM4-80GB", "memory_gib": 80.0, "index": index}
        return Gpu(**{"uuid": f"GPU-{index}", **usual, **values})

    return Node(
        "n1",
        64,
        512,
        (
            gpu(0, utilisation=37, used_gib=61.2),
            gpu(1, processes=(XORG,)),
            gpu(2, busy=True, processes=(PYTHON,)),
            gpu(3, healthy=False, health=(Message("It has fallen off the bus."),)),
            gpu(4, busy=None),
            gpu(5, divided=True),
            gpu(5, uuid="MIG-1", type="a100-1g.10gb", memory_gib=10.0, mig="1g.10gb", parent="GPU-5"),
        ),
    )


async def run(running: Running, *arguments: str) -> Result:
    """Run the command on the service's machine."""
    running.settings.save()
    (running.settings.secrets_dir / "command-line-token").write_text(TOKEN)
    running.tokens.vouch(TOKEN, "mlabhub-command-line", scopes=(SEE_ALL_SCOPE,), kind="service")
    argv = ["gpus", "--state", str(running.settings.state_dir), *arguments]
    return await asyncio.to_thread(CliRunner(env={"COLUMNS": "80"}).invoke, app, argv)


async def launch(running: Running, who: str = "alice", **options: Any) -> None:
    """Launch a server with GPUs."""
    body = {
        "server_name": "train",
        "display_name": "Train_VGG",
        "user_options": {"profile": "gpu", "gpu_type": "a100", **options},
    }
    answer = await running.call("POST", "api/v1/launches", who, json=body)
    assert answer.status_code == 201, answer.text


async def gpus_for(running: Running, who: str) -> list[dict[str, Any]]:
    """Return what somebody sees."""
    [node] = (await running.call("GET", "api/v1/gpus", who)).json()["nodes"]
    found: list[dict[str, Any]] = node["gpus"]
    return found


async def test_every_state_fits_into_80_columns(running: Running) -> None:
    running.backend.nodes = (make_machine(),)
    await launch(running)
    shown = await run(running)
    assert shown.exit_code == 0, shown.output
    lines = shown.output.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("n1: 63 of 64 CPU, 510 of 512 GiB memory, 2 of 6 GPUs free")
    words = [" ".join(line.split()) for line in lines]
    assert "0 A100 61/80 GiB 37 % held alice/Train_VGG (gpu) 0 min" in words
    for line in (
        "1 A100 80 GiB ? free",
        "2 A100 80 GiB ? busy",
        "3 A100 80 GiB ? sick",
        "4 A100 80 GiB ? not known",
        "5 A100 80 GiB ? divided",
        "1g.10gb 10 GiB ? free",
        "1: Xorg (pid 900, 256 MiB): a display, which does not matter",
        "2: python[/red] (pid 4711, 3 GiB, started by the launch 01J): outside of this hub",
        "3: It has fallen off the bus.",
    ):
        assert line in " ".join(words)


async def test_what_is_simulated_is_marked(running: Running) -> None:
    told = await run(running, "--json")
    [node] = json.loads(told.output)["nodes"]
    assert all(gpu["simulated"] for gpu in node["gpus"])
    shown = (await run(running)).output
    assert shown.count("A100 (simulated)") == 8
    assert "nothing computes on them" in shown


async def test_who_may_know_the_holder(running: Running) -> None:
    running.backend.nodes = (make_machine(),)
    await launch(running, group="vision")
    seen = {who: (await gpus_for(running, who))[0] for who in ("alice", "bob", "carol", "admin")}
    assert {who: (gpu["held"], gpu["user"]) for who, gpu in seen.items()} == EXPECTED_HOLDERS
    hidden = next(gpu for gpu in seen.values() if gpu["user"] is None)
    assert [hidden[key] for key in HIDDEN] == [None] * len(HIDDEN)


async def test_processes_are_for_administrators(running: Running) -> None:
    running.backend.nodes = (make_machine(),)
    seen = {who: (await gpus_for(running, who))[2] for who in ("alice", "admin")}
    assert (seen["alice"]["busy"], seen["alice"]["processes"]) == (True, [])
    assert [process["pid"] for process in seen["admin"]["processes"]] == [4711]


async def test_a_held_gpu_that_falls_ill_is_shown_and_left_alone(running: Running) -> None:
    running.backend.nodes = (make_machine(),)
    await launch(running)
    first, *others = make_machine().gpus
    sick = replace(first, healthy=False, health=(Message("ECC is at its end."),), busy=True, processes=(PYTHON,))
    running.backend.nodes = (replace(make_machine(), gpus=(sick, *others)),)
    await running.world.capacity.look()
    shown = (await run(running)).output
    assert "held, sick, busy" in shown
    assert "0: ECC is at its end." in shown
    assert (await running.service.reconciler.round(repair=True)).error is None
    assert running.backend.removed == []
    assert len(running.backend.running) == 1


async def test_gpus_that_cannot_be_read(running: Running) -> None:
    running.backend.nodes = (Node("n1", 64, 512, gpu_fault=Message("The driver hangs.")),)
    shown = await run(running)
    assert shown.output.splitlines()[1].strip() == "These GPUs cannot be read: The driver hangs."
    refused = await running.call("POST", "api/v1/launches", json={"user_options": {"profile": "gpu"}, "queue": False})
    assert "The driver hangs." in refused.json()["error"]["message"]
    fine = await running.call("POST", "api/v1/launches", json={"user_options": {"profile": "cpu"}})
    assert fine.status_code == 201


async def test_from_elsewhere_with_ones_own_token(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    await launch(running, "bob")
    monkeypatch.setenv("MLABHUB_URL", running.settings.service_url.removesuffix("services/mlabhub/") + "hub/")
    monkeypatch.setenv("MLABHUB_TOKEN", "t-carol")
    mine = await asyncio.to_thread(CliRunner().invoke, app, ["gpus"])
    assert mine.exit_code == 0, mine.output
    assert "somebody" in mine.output
    assert "bob" not in mine.output
    monkeypatch.setenv("MLABHUB_TOKEN", "wrong")
    assert failure(await asyncio.to_thread(CliRunner().invoke, app, ["gpus"])) == 1


def test_what_cannot_be_reached_is_exit_status_3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLABHUB_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLABHUB_TOKEN", "secret-token")
    result = CliRunner().invoke(app, ["gpus"])
    assert failure(result) == 3
    assert "secret-token" not in str(result.exception)
    monkeypatch.delenv("MLABHUB_TOKEN")
    assert failure(CliRunner().invoke(app, ["gpus"])) == 2
    assert failure(CliRunner().invoke(app, ["gpus", "--state", str(tmp_path)])) == 2


def failure(result: Result) -> int:
    """Return the exit status that the program would have."""
    assert isinstance(result.exception, MLabError), result.output
    return exit_status(result.exception)


async def test_secrets_that_may_not_be_read(running: Running) -> None:
    running.settings.save()
    argv = ["gpus", "--state", str(running.settings.state_dir)]
    result = await asyncio.to_thread(CliRunner().invoke, app, argv)
    assert isinstance(result.exception, InvalidConfiguration)


def test_an_empty_machine_and_a_closed_one() -> None:
    node = {"name": "n1", "cpu": 4, "cpu_free": 4, "memory_gib": 8, "memory_gib_free": 8, "gpus": [], "gpu_fault": None}
    said = io.StringIO()
    show(Console(file=said, width=80), [{**node, "schedulable": False}], 0.0)
    assert said.getvalue() == "n1: 4 of 4 CPU, 8 of 8 GiB memory, no GPU free; it takes no new servers\n"
    shared = {**node, "schedulable": True, "cpu_free": 15, "cpu_overcommit": 4}
    said = io.StringIO()
    show(Console(file=said, width=20), [shared], 0.0)
    assert said.getvalue() == f"{title_of(shared)}\n"
    assert title_of(shared) == "n1: 15 of 16 CPU (4, handed out 4 times), 8 of 8 GiB memory, no GPU free"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 min"),
        (59, "0 min"),
        (3599, "59 min"),
        (3600, "1 h 0 min"),
        (7 * 3600 + 125, "7 h 2 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_times(seconds: float, text: str) -> None:
    assert ago(seconds) == text


async def test_who_held_what_at_a_moment(running: Running) -> None:
    running.backend.nodes = (make_machine(),)
    await launch(running)
    one, now = running.of_server("alice", "train"), running.world.clock()
    assert one is not None
    began = replace(one, created=now - 7200)
    await running.world.writer.submit(lambda _: Outcome(None, (began,)))
    shown = await run(running, "--at", "1h")
    assert shown.exit_code == 0, shown.output
    lines = [" ".join(line.split()) for line in shown.output.splitlines()]
    assert "n1: 1 held" in lines
    assert "0 A100 ? held alice/Train_VGG (gpu) 1 h 0 min" in lines
    assert "3 A100 not held" in lines
    earlier = json.loads((await run(running, "--at", "3h", "--json")).output)
    assert earlier["gpus"]["held"] == 0
    assert {gpu["state"] for node in earlier["nodes"] for gpu in node["gpus"]} == {"unheld", "divided"}


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--at", "soon"), "no moment"),
        (("--at", "2999-01-01T00:00"), "not over"),
        (("--at", "1h", "--watch"), "--watch"),
    ],
)
async def test_what_is_no_moment_of_then_is_wrong_usage(
    running: Running, arguments: tuple[str, ...], word: str
) -> None:
    told = await run(running, *arguments)
    assert told.exit_code == 2
    assert word in told.output


async def test_two_days_ago_is_refused_in_a_sentence(running: Running) -> None:
    told = await run(running, "--at", "48h")
    assert isinstance(told.exception, MLabError)
    assert "last 24 hours" in str(told.exception)
