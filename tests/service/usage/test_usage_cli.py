"""``mlabhub usage`` against a service that runs."""

from __future__ import annotations

import asyncio
import csv
import io
import json

import pytest
from typer.testing import CliRunner, Result

from mlabhub.cli import app
from mlabhub.service.scopes import SEE_ALL_SCOPE
from tests.service.conftest import Running
from tests.service.usage.conftest import Past
from tests.service.usage.test_usage_api import DAY

TOKEN = "of-the-command-line"


@pytest.fixture
def machine(past: Past) -> Running:
    """Let the command line of this machine have its token."""
    running = past.running
    running.settings.save()
    (running.settings.secrets_dir / "command-line-token").write_text(TOKEN)
    running.tokens.vouch(TOKEN, "mlabhub-command-line", scopes=(SEE_ALL_SCOPE,), kind="service")
    return running


async def usage(running: Running, *arguments: str) -> Result:
    argv = ["usage", "--from", DAY, "--to", DAY, *arguments, "--state", str(running.settings.state_dir)]
    return await asyncio.to_thread(CliRunner(env={"COLUMNS": "120"}).invoke, app, argv)


async def test_a_table_in_hours(machine: Running) -> None:
    result = await usage(machine)
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["alice", "2.0", "0.5", "1.5", "0.0", "0.0"] in lines
    assert ["all", "7.0", "0.5", "1.5", "5.0", "4.0"] in lines
    assert "everybody's" in result.stdout


async def test_json_and_csv(machine: Running) -> None:
    told = json.loads((await usage(machine, "--by", "group", "--json")).stdout)
    assert {row["name"]: row["wasted_s"] for row in told["rows"]} == {"vision": 5400.0, "": 0.0, "nlp": 0.0}
    rows = list(csv.reader(io.StringIO((await usage(machine, "--by", "day", "--csv")).stdout)))
    assert rows[1:] == [[DAY, "7.000000", "0.500000", "1.500000", "5.000000", "4.000000"]]


@pytest.mark.parametrize("wrong", [("--from", "soon"), ("--by", "colour"), ("--csv", "--json")])
async def test_wrong_use_is_refused_with_status_2(machine: Running, wrong: tuple[str, ...]) -> None:
    assert (await usage(machine, *wrong)).exit_code == 2
