"""``mlabhub reconcile`` against a service that runs."""

from __future__ import annotations

import asyncio
import json

import pytest
from typer.testing import CliRunner, Result

from mlabhub.cli import app
from mlabhub.client.service import ServiceClient
from mlabhub.errors import InvalidConfiguration, Unavailable
from mlabhub.service.reconcile_rules import GRACE_S
from tests.service.conftest import Running


async def reconcile(running: Running, *arguments: str) -> Result:
    """Run the command beside the service, on a clock that is past every grace."""
    running.settings.save()
    began = running.world.clock
    running.world.clock = lambda: began() + GRACE_S + 1
    argv = ["reconcile", "--state", str(running.settings.state_dir), *arguments]
    return await asyncio.to_thread(CliRunner(env={"COLUMNS": "200"}).invoke, app, argv)


async def test_agreement(running: Running) -> None:
    result = await reconcile(running)
    assert (result.exit_code, result.output) == (0, "Hub, backend and ledger agree.\n")


async def test_what_is_lost_is_shown_and_ended_on_request(running: Running) -> None:
    await reconcile(running)
    running.backend.run("01" + "C" * 24, "bob", "y", ("GPU-n1-a100-7",))
    assert "bob/y" in (await reconcile(running)).output
    shown = await reconcile(running, "--json")
    assert shown.exit_code == 1
    finding = json.loads(shown.output)["findings"][0]
    assert (finding["kind"], finding["user"], finding["server_name"], finding["done"]) == ("unknown", "bob", "y", False)
    assert finding["gpus"] == ["GPU-n1-a100-7"]
    ended = await reconcile(running, "--repair")
    assert ended.exit_code == 0
    assert running.backend.removed == ["01" + "C" * 24]


async def test_what_cannot_be_reached_is_said(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ServiceClient.__init__.__kwdefaults__, "retry_s", 0.5)
    running.backend.down = True
    result = await reconcile(running)
    assert isinstance(result.exception, Unavailable)
    running.settings.spawner_secret_file.unlink()
    with pytest.raises(InvalidConfiguration, match="Run this as the user who runs the hub"):
        raise (await reconcile(running)).exception or AssertionError


async def test_a_dry_run_says_what_would_be_done_and_does_nothing(running: Running) -> None:
    running.backend.run("01A", "bob", "y", ("GPU-1",))
    shown = await reconcile(running, "--dry-run")
    assert shown.exit_code == 1
    assert "by itself: what it holds is counted, until it is repaired" in " ".join(shown.output.split())
    assert running.of_server("bob", "y") is None
    told = json.loads((await reconcile(running, "--dry-run", "--json")).stdout)
    assert [(one["kind"], one["done"], one["by_itself"]) for one in told["findings"]] == [("orphan", False, True)]
    assert (await reconcile(running, "--dry-run", "--repair")).exit_code == 2
