"""``mlabhub check`` and ``mlabhub notify test`` with addresses: what is wrong is said, no address ever is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mlabhub.cli import app, exit_status
from mlabhub.cli.doctor_messages import look_at_messages
from mlabhub.errors import MLabError
from mlabhub.settings import Settings
from tests.catalog.conftest import PROFILES
from tests.service.receivers import Receiver, http_receiver

SECRET = "hunter2hunter2"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with http_receiver() as one:
        yield one


def write_folder(folder: Path, notifications: str | None) -> None:
    (folder / "profiles.yaml").write_text(PROFILES)
    if notifications is not None:
        (folder / "notifications.yaml").write_text(notifications)
        (folder / "notifications.yaml").chmod(0o600)


def mlabhub(folder: Path, *arguments: str, notifications: str | None = None) -> tuple[int, str]:
    """Run it over a folder; return its status and all that it printed."""
    write_folder(folder, notifications)
    result = CliRunner(env={"MLABHUB_SITE": ""}).invoke(app, arguments)
    if isinstance(result.exception, MLabError):
        return exit_status(result.exception), f"{result.output}{result.exception}"
    return result.exit_code, result.output


def test_a_good_file_is_counted(tmp_path: Path) -> None:
    text = f"site: {{a: {{url: 'json://u:{SECRET}@h/'}}}}\nusers: {{default: {{url: 'mailto://{SECRET}@h.example'}}}}\n"
    status, said = mlabhub(tmp_path, "check", str(tmp_path), notifications=text)
    assert status == 0, said
    assert "notifications.yaml: no faults; addresses: 2." in said
    assert SECRET not in said


def test_an_address_that_apprise_does_not_know_is_a_fault_that_does_not_say_it(tmp_path: Path) -> None:
    text = f"site:\n  a: {{url: 'nonsense://u:{SECRET}@h/'}}\n"
    checked = mlabhub(tmp_path, "check", str(tmp_path), notifications=text)
    as_json = mlabhub(tmp_path, "check", str(tmp_path), "--json", notifications=text)
    for status, said in (checked, as_json, in_a_process("notify", "test", str(tmp_path))):
        assert status == 2
        assert "notifications.yaml" in said
        assert "site.a.url" in said
        assert SECRET not in said


def in_a_process(*arguments: str) -> tuple[int, str]:
    """Run it as it is installed: also what a library prints past our own output is seen."""
    command = [sys.executable, "-c", "from mlabhub.cli import main; main()", *arguments]
    environment = {**os.environ, "MLABHUB_SITE": ""}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    return ended.returncode, ended.stdout + ended.stderr


def test_every_channel_gets_a_test(tmp_path: Path, receiver: Receiver) -> None:
    text = f"""\
site: {{admins: {{url: '{receiver.address("site")}'}}}}
groups: {{vision: {{url: '{receiver.address("group")}', kinds: []}}}}
users: {{default: {{url: '{receiver.address("{user}")}'}}, bob: {{url: '{receiver.address("own")}'}}}}
"""
    status, said = mlabhub(tmp_path, "notify", "test", str(tmp_path), "--json", notifications=text)
    assert (status, [row["channel"] for row in json.loads(said)]) == (0, ["site.admins", "groups.vision"])
    for user in ("alice", "bob"):
        mlabhub(tmp_path, "notify", "test", str(tmp_path), "--user", user)
    assert [path.removeprefix("/secret-path/") for path in receiver.paths] == (
        ["site", "group", "site", "group", "alice", "site", "group", "own"]
    )


def test_what_is_not_taken_is_said_and_fails(tmp_path: Path, receiver: Receiver) -> None:
    receiver.answers = [401]
    text = f"site: {{admins: {{url: '{receiver.address()}'}}}}\n"
    status, said = mlabhub(tmp_path, "notify", "test", str(tmp_path), notifications=text)
    assert status == 1
    assert "site.admins (json): NOT taken: it answered 401" in said
    assert SECRET not in said


def test_a_name_that_fits_no_address_is_said(tmp_path: Path, receiver: Receiver) -> None:
    text = f"users: {{default: {{url: '{receiver.address('{user}')}'}}}}\n"
    status, said = mlabhub(tmp_path, "notify", "test", str(tmp_path), "--user", "a,b", notifications=text)
    assert status == 1
    assert '"a,b" cannot be a part of this address' in said
    assert not receiver.asked


def test_without_a_file_there_is_nothing_to_try(tmp_path: Path) -> None:
    status, said = mlabhub(tmp_path, "notify", "test", str(tmp_path))
    assert status == 2
    assert "no messages are set up" in said


def test_doctor_says_what_is_wrong_and_no_address(tmp_path: Path) -> None:
    settings = Settings.model_construct(config_dir=tmp_path)
    assert look_at_messages(None) == look_at_messages(settings) == ()
    file = tmp_path / "notifications.yaml"
    file.touch(0o600)
    for text, status, words in (
        (f"site: {{a: {{url: 'json://u:{SECRET}@h/'}}}}", "ok", "addresses: 1"),
        (f"site: {{a: {{url: 'nonsense://u:{SECRET}@h/'}}}}", "missing", "faults: 1"),
    ):
        file.write_text(text)
        (check,) = look_at_messages(settings)
        assert (check.status, words in check.found) == (status, True)
        assert SECRET not in str(check)
    assert "site.a.url" in check.fix
