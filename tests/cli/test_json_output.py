"""Every verb's ``--json`` prints what docs/reference/json-output.md says: each verb is run, keys and types compared."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mlabhub.cli import app
from mlabhub.images.build import Built
from mlabhub.images.check import Finding
from mlabhub.images.push import Pushed
from tests.cli.json_shapes import Shape, fits, read, read_shapes
from tests.cli.test_queue import mlabhub
from tests.docs.pages import load_generator
from tests.installation import MLABHUB, Installation, free_port
from tests.service.conftest import Running, running
from tests.service.receivers import http_receiver
from tests.service.test_idle_api import idle, warn
from tests.service.test_queue_api import full, launch

__all__ = ["full", "idle", "mlabhub", "running"]

SHAPES = read_shapes()
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


def hold(verb: str, text: str) -> Any:
    """Hold a document against what is said of a verb; return it."""
    document = read(text)
    assert SHAPES[f"mlabhub {verb}"].faults(document) == [], verb
    return document


def test_every_verb_with_json_is_described() -> None:
    verbs = {path for path, verb in load_generator().commands() if any("--json" in one.opts for one in verb.params)}
    described = {verb.partition(" --")[0] for verb in SHAPES}
    assert verbs - described == set(), "say in docs/reference/json-output.md what it prints, and run it here"
    assert described - verbs == set()
    run_here = Path(__file__).read_text() + (Path(__file__).parent / "test_login.py").read_text()
    forms = {verb.removeprefix("mlabhub ") for verb in SHAPES} - {"image list"}  # the same as image build
    assert {form for form in forms if f'"{form}"' not in run_here} == set()


async def test_queue_and_servers(full: Running, mlabhub: Any) -> None:
    async def run(verb: str, *arguments: str, who: str = "bob") -> Any:
        result = await mlabhub(*verb.split(), *arguments, "--json", who=who)
        assert result.exit_code == 0, (verb, result.output, result.exception)
        return hold(verb, result.stdout)

    await run("server start", "gpu", "--name", "one", "--gpus", "1")
    await run("server start --wait", "gpu", "--name", "two", "--gpus", "1")
    _, other = await launch(full, "bob", "three", 8)
    hold("queue list", (await mlabhub("queue", "--json")).stdout)
    assert (await run("queue list"))["entries"]
    await run("queue change", "three", "gpus=7")
    await run("queue move", other["launch_id"], who="admin")
    await run("queue leave", "three")
    assert (await run("server list"))["servers"]
    assert (await run("gpus"))["nodes"]
    full.backend.logs["bob", "one"] = [b"a line\n"]
    assert (await run("server logs", "one"))["lines"] == ["a line"]
    await run("server stop", "one")
    await run("server release --stop", "two")


class TestQuotas:
    """With quotas that can be changed."""

    @pytest.fixture
    def full(self, running: Running) -> Running:
        """Return the service that the program asks."""
        return running

    async def test_quotas_and_usage(self, full: Running, mlabhub: Any) -> None:
        async def run(verb: str, *arguments: str) -> Any:
            result = await mlabhub(*verb.split(), *arguments, "--json", who="admin")
            assert result.exit_code == 0, (verb, result.output, result.exception)
            return hold(verb, result.stdout)

        made = await run("quota set", "vision", "--limit", "gpu=9", "--reason", "why")
        assert (await run("quota show"))["groups"]
        assert (await run("quota history"))["changes"]
        await run("quota undo", made["changes"][0]["change_id"])
        await run("usage")
        assert (await run("audit", "--act", "quota"))["entries"]


class TestIdle:
    """With a server that is idle."""

    @pytest.fixture
    def full(self, idle: Running) -> Running:
        """Return the service that the program asks."""
        return idle

    async def test_idle_and_release(self, full: Running, mlabhub: Any) -> None:
        await warn(full)
        for verb, arguments, who in (
            ("idle explain", ("train",), "alice"),
            ("server extend", ("train", "--hours", "1"), "alice"),
            ("idle list", (), "admin"),
            ("server release", ("train",), "alice"),
        ):
            result = await mlabhub(*verb.split(), *arguments, "--json", who=who)
            assert result.exit_code == 0, (verb, result.output, result.exception)
            hold(verb, result.stdout)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Return a running hub of its own."""
    state = tmp_path_factory.mktemp("json") / "state"
    installation = Installation(state, free_port(), ("--backend", "process", "--simulate-gpus", "2xT4"))
    try:
        installation.start()
        yield installation
    finally:
        installation.close()


@pytest.mark.timeout(300)
def test_what_a_machines_administrator_runs(hub: Installation, tmp_path: Path) -> None:
    def run(verb: str, *arguments: str, statuses: tuple[int, ...] = (0,), state: Path = hub.state) -> Any:
        argv = [MLABHUB, *verb.split(), *arguments, "--json", "--state", str(state)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode in statuses, f"{verb}: {done.stdout}\n{done.stderr}"
        return hold(verb, done.stdout)

    run("user add", "ann", "--group", "vision")
    assert {one["name"] for one in run("user list")} >= {"ann"}
    run("user groups", "ann", "nlp")
    run("user password", "ann")
    run("user close", "ann", "--yes", "--keep-days", "0")
    run("user reopen", "ann")
    run("user clean", "--yes")
    run("reconcile")
    run("gpus --at", "1min")
    assert run("doctor", statuses=(0, 1))
    archive = tmp_path / "backup.tar.gz"
    run("backup", str(archive))
    run("restore", str(archive), state=tmp_path / "again")


def test_what_needs_no_hub(tmp_path: Path) -> None:
    def run(verb: str, *arguments: str, statuses: tuple[int, ...] = (0,)) -> Any:
        result = CliRunner(env={"MLABHUB_SITE": ""}).invoke(app, [*verb.split(), *arguments, "--json"])
        assert result.exit_code in statuses, (result.output, result.exception)
        return hold(verb, result.stdout)

    run("check")
    (tmp_path / "profiles.yaml").write_text("profiles: {x: {colour: red}}\n")
    assert run("check", str(tmp_path), statuses=(2,))["faults"]
    run("quota replay", str(EXAMPLES / "replay" / "workload.jsonl"))
    run("idle replay", str(next((EXAMPLES / "idle").glob("samples*"))))
    schema = json.loads(CliRunner().invoke(app, ["schema", "--json"]).stdout)
    assert SHAPES["mlabhub schema"].faults(schema) == []


def test_messages(tmp_path: Path) -> None:
    with http_receiver() as receiver:
        text = f"site: {{a: {{url: 'json://127.0.0.1:{receiver.port}/'}}, b: {{url: 'json://127.0.0.1:1/'}}}}\n"
        (tmp_path / "notifications.yaml").write_text(text)
        (tmp_path / "notifications.yaml").chmod(0o600)
        result = CliRunner().invoke(app, ["notify", "test", str(tmp_path), "--json"])
    assert {one["taken"] for one in hold("notify test", result.stdout)} == {True, False}


def test_what_images_are_told_as() -> None:
    """The verbs need an engine, and print these; tests of images/ run them."""
    shapes = {
        "image build": dataclasses.asdict(Built("a", "b", "c", True)),
        "image check": {**dataclasses.asdict(Finding("a", True, None)), "ok": False},
        "image push": {**dataclasses.asdict(pushed := Pushed("a", "b:c", "d", 1.0)), "exact": pushed.exact},
    }
    assert [fault for verb, one in shapes.items() for fault in SHAPES[f"mlabhub {verb}"].faults([one])] == []


@pytest.mark.parametrize(
    ("value", "words", "right"),
    [
        ("a", "text", True),
        (None, "text", False),
        (None, "text or null", True),
        (1, "whole number", True),
        (True, "number", False),
        (1.5, "whole number", False),
        ([{"a": 1, "b": 2}], "list of objects with `a`, `b`", True),
        ([{"a": 1}], "list of objects with `a`, `b`", False),
        ({"x": 1.5}, "mapping to number", True),
        (["a", 1], "list of text", False),
    ],
)
def test_what_is_compared(value: Any, words: str, right: bool) -> None:
    assert fits(value, words) is right
    assert (Shape({"k": words}).faults({"k": value}) == []) is right
