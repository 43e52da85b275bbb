"""``mlabhub quota`` against a service that runs."""

from __future__ import annotations

import asyncio
import getpass
import json
import os
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mlabhub.cli import app, exit_status
from mlabhub.cli.doctor_quotas import look_at_quotas
from mlabhub.cli.findings import Check
from mlabhub.errors import MLabError
from mlabhub.service.scopes import SEE_ALL_SCOPE, SET_QUOTAS_SCOPE
from tests.service.conftest import Running

TOKEN = "of-the-command-line"


@pytest.fixture
def machine(running: Running) -> Running:
    """Let the command line of this machine have its token."""
    running.settings.save()
    (running.settings.secrets_dir / "command-line-token").write_text(TOKEN)
    scopes = (SEE_ALL_SCOPE, SET_QUOTAS_SCOPE)
    running.tokens.vouch(TOKEN, "mlabhub-command-line", scopes=scopes, kind="service")
    return running


async def quota(running: Running, *arguments: str, width: str = "200") -> Result:
    argv = ["quota", *arguments, "--state", str(running.settings.state_dir)]
    return await asyncio.to_thread(CliRunner(env={"COLUMNS": width}).invoke, app, argv)


async def done(running: Running, *arguments: str) -> str:
    result = await quota(running, *arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


async def read(running: Running, *arguments: str) -> Any:
    return json.loads(await done(running, *arguments, "--json"))


async def refused(running: Running, *arguments: str) -> tuple[int, str]:
    """Return status and sentence, as the program would end."""
    result = await quota(running, *arguments)
    if isinstance(result.exception, MLabError):
        return exit_status(result.exception), str(result.exception)
    return result.exit_code, " ".join(result.output.replace("│", " ").split())


async def test_a_change_is_made_shown_and_undone(machine: Running) -> None:
    said = await done(
        machine, *("set", "vision", "--limit", "gpu:a100=+2", "--limit", "cpu=none", "--guaranteed", "gpu=4"),
        *("--until", "3d", "--reason", "deadline week"),
    )  # fmt: skip
    assert "vision: limit gpu:a100 was 6 and is 8 at once, until " in said
    assert said.count("takes it back") == 3
    assert machine.world.catalog().quotas.group_limit("vision") == {"gpu:a100": 8}
    shown = await done(machine, "show", "vision")
    assert ["gpu:a100", "-", "8", "0", "-", "-"] in [line.split() for line in shown.splitlines()]
    assert "vision: limit gpu:a100 +2 until " in shown
    changes = (await read(machine, "history", "vision"))["changes"]
    assert {one["what"] for one in changes} == {"limit gpu:a100 +2", "limit cpu no limit", "guaranteed gpu 4"}
    assert {one["author"] for one in changes} == {f"command line ({os.environ.get('SUDO_USER') or getpass.getuser()})"}
    for one in changes:
        assert await done(machine, "undo", one["change_id"]) == f"Undone: vision: {one['what']}\n"
    assert machine.world.catalog().quotas.group_limit("vision") == {"gpu:a100": 6}
    table = await done(machine, "history")
    assert table.count("undone by") == 3
    assert await done(machine, "history", "nlp") == "Nothing was changed at run time.\n"


async def test_without_a_verb_quotas_are_shown(machine: Running) -> None:
    assert await done(machine) == await done(machine, "show")
    assert await read(machine) == await read(machine, "show")
    argv = ["quota", "--json", "show", "--state", str(machine.settings.state_dir)]
    result = await asyncio.to_thread(CliRunner().invoke, app, argv)
    assert (result.exit_code, "Write the options behind" in result.output) == (2, True)


async def test_caps(machine: Running) -> None:
    await done(machine, "set", "alice", "--cap", "gpu=2", "--reason", "for now")
    users = (await read(machine, "show", "alice"))["users"]
    assert users[0]["limit"] == {"servers": 20.0, "gpu": 2.0}
    assert ["gpu", "2", "0"] in [line.split()[-3:] for line in (await done(machine, "show", "alice")).splitlines()]
    answer = await read(machine, "set", "default", "--cap", "gpu=1", "--reason", "for now")
    assert answer["changes"][0]["name"] == "default"
    assert machine.world.catalog().quotas.user_limit("bob")["gpu"] == 1
    assert (await read(machine, "show", "default"))["users"][0]["limit"] == {"servers": 20.0, "gpu": 1.0}


async def test_what_is_refused_says_so_and_ends_with_its_status(machine: Running) -> None:
    reason = ("--reason", "r")
    cases = {
        (1, "more than the limit of 6 gpu:a100"): ("set", "vision", "--guaranteed", "gpu:a100=7", *reason),
        (1, 'a group "visoin". Did you mean vision?'): ("set", "visoin", "--limit", "gpu=7", *reason),
        (1, "There is no change"): ("undo", "01ABC/x"),
        (1, 'There is no quota of "nobody"'): ("show", "nobody"),
        (2, "Say what is to change"): ("set", "vision", *reason),
        (2, "change them one after the other"): ("set", "vision", "--cap", "gpu=1", "--limit", "gpu=1", *reason),
        (2, '"gpus=1" must be RESOURCE=AMOUNT'): ("set", "vision", "--limit", "gpus=1", *reason),
        (2, '"gpu=nan" has no amount'): ("set", "vision", "--limit", "gpu=nan", *reason),
        (2, '"gpu=-x" has no amount'): ("set", "vision", "--limit", "gpu=-x", *reason),
        (2, '"gpu" must be RESOURCE=AMOUNT'): ("set", "vision", "--limit", "gpu", *reason),
        (2, "gpu is there twice"): ("set", "vision", "--limit", "gpu=1", "--limit", "gpu=2", *reason),
        (2, '"someday" is no moment'): ("set", "vision", "--limit", "gpu=1", "--until", "someday", *reason),
        (2, "--reason"): ("set", "vision", "--limit", "gpu=1"),
    }
    for (status, told), arguments in cases.items():
        found = await refused(machine, *arguments)
        assert found[0] == status, (arguments, found)
        assert told in found[1]
    assert machine.projection.quota_changes == {}


async def test_elsewhere_an_account_of_ones_own_counts(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLABHUB_URL", running.settings.service_url.removesuffix("services/mlabhub/") + "hub/")
    monkeypatch.setenv("MLABHUB_TOKEN", "t-alice")
    runner = CliRunner()
    shown = await asyncio.to_thread(runner.invoke, app, ["quota", "show", "--json"])
    assert [one["name"] for one in json.loads(shown.output)["groups"]] == ["vision"]
    argv = ["quota", "set", "vision", "--limit", "gpu=64", "--reason", "more"]
    mine = await asyncio.to_thread(runner.invoke, app, argv)
    assert "Quotas are changed by administrators." in str(mine.exception)
    monkeypatch.setenv("MLABHUB_TOKEN", "t-admin")
    assert (await asyncio.to_thread(runner.invoke, app, argv)).exit_code == 0
    assert [one.author for one in running.projection.quota_changes.values()] == ["admin"]


async def test_doctor_tells_what_cannot_be_kept(machine: Running) -> None:
    def look() -> list[Check]:
        return list(look_at_quotas(machine.settings))

    assert [one.status for one in await asyncio.to_thread(look)] == ["ok"]
    await done(machine, "set", "nlp", "--guaranteed", "gpu=64", "--reason", "much")
    (found,) = await asyncio.to_thread(look)
    assert found.status == "better"
    assert "Groups are guaranteed 64 GPU together, and the machines have 8 GPU: nlp 64 GPU." in found.found
    (machine.settings.secrets_dir / "command-line-token").write_text("wrong")
    assert await asyncio.to_thread(look) == []
    assert look_at_quotas(None) == ()
