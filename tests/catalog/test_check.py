"""`mlabhub check` and `mlabhub schema`, as a person calls them."""

import json
import subprocess
import sys

import pytest

from mlabhub.catalog import default_directory, folder_schema


def mlabhub(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from mlabhub.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_check_of_the_shipped_folder():
    ended = mlabhub("check")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == f"{default_directory()}: no faults; profiles: 3, images: 4.\n"


@pytest.fixture
def faulty(tmp_path):
    (tmp_path / "profiles.yaml").write_text("profiles:\n  cpu: {cpu: -1}\nx: 1\n")
    return tmp_path


def test_check_lists_every_fault_and_ends_with_2(faulty):
    ended = mlabhub("check", str(faulty))
    assert ended.returncode == 2
    assert ended.stdout == ""
    lines = ended.stderr.splitlines()
    assert lines[0] == f"mlabhub: The configuration in {faulty} cannot be used; faults: 5."
    assert f"{faulty}/profiles.yaml:3: x: is not a known key; known: profiles, gpu_types, group_defaults" in lines
    assert "Traceback" not in ended.stderr


def test_check_as_json(faulty):
    ended = mlabhub("check", str(faulty), "--json")
    answer = json.loads(ended.stdout)
    assert ended.returncode == 2
    assert answer["valid"] is False
    assert {
        "file": f"{faulty}/profiles.yaml",
        "line": 3,
        "path": "x",
        "message": "is not a known key; known: profiles, gpu_types, group_defaults",
    } in (answer["faults"])
    assert len(answer["notes"]) == 3
    ended = mlabhub("check", "--json")
    assert (ended.returncode, json.loads(ended.stdout)["valid"]) == (0, True)


def test_check_of_nothing(tmp_path):
    ended = mlabhub("check", str(tmp_path / "gone"))
    assert ended.returncode == 2
    assert "is not a folder that can be read" in ended.stderr


def test_check_names_the_faults_of_both(faulty, monkeypatch):
    site = faulty / "site.conf"
    site.write_text("FOO=1\n")
    monkeypatch.setenv("MLABHUB_SITE", str(site))
    ended = mlabhub("check", str(faulty))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"{faulty}/profiles.yaml:3: x: is not a known key" in ended.stderr
    assert f"{site}:1: FOO: is not a key that is known here" in ended.stderr


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_schema(arguments):
    ended = mlabhub("schema", *arguments)
    assert ended.returncode == 0
    assert json.loads(ended.stdout) == folder_schema()
