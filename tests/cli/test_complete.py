"""What a shell completes: verbs without loading them, names by asking the service, and nothing when it is away."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable

import pytest
from typer.testing import CliRunner

from mlabhub.cli import VERBS, app
from mlabhub.cli.complete import fitting
from tests.installation import free_port
from tests.service.conftest import Running, running
from tests.service.test_queue_api import full, launch

__all__ = ["full", "running"]

Completed = Callable[[str], Awaitable[list[str]]]


def ask(line: str, **environment: str) -> list[str]:
    """Return what bash is told of a line whose last word is incomplete."""
    words = line.split(" ")
    variables = {"_MLABHUB_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    result = CliRunner().invoke(app, [], prog_name="mlabhub", env={**variables, **environment})
    assert result.stderr == ""
    return result.stdout.split()


@pytest.fixture
def completed(full: Running, monkeypatch: pytest.MonkeyPatch) -> Completed:
    """Return what completes a line as bob."""
    monkeypatch.setenv("MLABHUB_URL", full.settings.service_url.removesuffix("services/mlabhub/"))
    monkeypatch.setenv("MLABHUB_TOKEN", "t-bob")

    async def complete(line: str) -> list[str]:
        return await asyncio.to_thread(ask, line)

    return complete


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("mlabhub lo", ["login", "logout"]),
        ("mlabhub ", list(VERBS)),
        ("mlabhub server st", ["start", "stop"]),
        ("mlabhub server stop --js", ["--json"]),
    ],
)
def test_verbs_and_options(line: str, offered: list[str]) -> None:
    assert ask(line) == offered


def test_verbs_are_completed_without_loading_them() -> None:
    code = (
        "import sys\nfrom mlabhub.cli import main\n"
        "try: main()\nfinally: print([name for name in sys.modules if name.startswith('mlabhub.cli.')])"
    )
    variables = {"_MLABHUB_COMPLETE": "complete_bash", "COMP_WORDS": "mlabhub up", "COMP_CWORD": "1"}
    command = [sys.executable, "-c", f"import sys; sys.argv = ['mlabhub']\n{code}"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split("\n") == ["up", "[]", ""]


async def test_names_that_the_service_knows(full: Running, completed: Completed) -> None:
    await launch(full, "bob", "train", 1)
    await launch(full, "bob", "tune", 1)
    assert await completed("mlabhub server stop t") == ["train", "tune"]
    assert await completed("mlabhub server stop bob/tr") == ["bob/train"]
    assert await completed("mlabhub idle explain tu") == ["tune"]
    assert await completed("mlabhub server stop alice/") == []
    _, waits = await launch(full, "bob", "big", 8)
    assert await completed("mlabhub queue leave ") == ["big"]
    assert waits["launch_id"] in await completed(f"mlabhub queue leave {waits['launch_id'][:4]}")
    assert await completed("mlabhub server start g") == ["gpu"]
    assert await completed("mlabhub quota show vis") == ["vision"]


def test_a_name_that_a_shell_would_obey_is_left_out() -> None:
    names = ["$(id)", "a`id`", "a b", "x;y", "\u202eevil", "a'b", "", "x" * 999, "fine", "a.b@c/Größe_1"]
    assert fitting(names, "") == ["a.b@c/Größe_1", "fine"]
    assert fitting(names, "fi") == ["fine"]


async def test_nothing_is_said_when_it_is_away(completed: Completed, monkeypatch: pytest.MonkeyPatch) -> None:
    for url in (f"http://127.0.0.1:{free_port()}/", "nonsense://", "http://192.0.2.7/"):
        monkeypatch.setenv("MLABHUB_URL", url)
        assert await completed("mlabhub server stop ") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell(shell: str) -> None:
    shown = CliRunner().invoke(app, ["--show-completion", shell], prog_name="mlabhub")
    assert shown.exit_code == 0
    assert "_MLABHUB_COMPLETE" in shown.output
