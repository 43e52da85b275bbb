"""Plain processes: for development and a first look; the same gate, the same life, no isolation, and it says so."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import httpx
import pytest

from mlabhub.engine.cdi import SIMULATED_PREFIX
from tests.installation import MLABHUB, Installation, free_port, wait_for

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


def check_gpus(installation: Installation) -> None:
    """`mlabhub gpus` names the holder, by the command line's own token at a real hub; the server knows its GPU."""
    argv = [MLABHUB, "gpus", "--state", str(installation.state)]
    shown = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    assert "held" in shown.stdout
    assert "alice/(default) (gpu)" in shown.stdout
    assert shown.stdout.count("T4 (simulated)") == 2
    told = json.loads(subprocess.run([*argv, "--json"], capture_output=True, text=True, check=True).stdout)
    [held] = [gpu["uuid"] for gpu in told["nodes"][0]["gpus"] if gpu["held"]]
    assert installation.run_code("alice", "import os; print(os.environ['MLABHUB_GPUS'])").strip() == held
    assert held.startswith(SIMULATED_PREFIX)
    token = (installation.state / "secrets" / "command-line-token").read_text()
    headers = {"Authorization": f"token {token}"}
    with httpx.Client(base_url=f"{installation.url}services/mlabhub/api/v1/", headers=headers) as command_line:
        assert [one["user"] for one in command_line.get("servers", params={"all": "1"}).json()["servers"]] == ["alice"]
        assert command_line.post("servers/alice/_/stop").status_code == 403


def quota(installation: Installation, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [MLABHUB, "quota", *arguments, "--state", installation.state]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def check_quotas(installation: Installation) -> str:
    """`mlabhub quota` changes what counts, by the command line's own token; only the hub has that group."""
    reason = ("--reason", "two ask")
    wrong = quota(installation, "set", "visoin", "--limit", "gpu=1", *reason)
    assert (wrong.returncode, "Did you mean vision?" in wrong.stderr) == (1, True)
    made = quota(installation, "set", "vision", "--limit", "gpu=1", "--until", "3d", *reason, "--json")
    assert made.returncode == 0, made.stderr
    body = {"server_name": "second", "user_options": {"profile": "gpu", "gpus": 1}, "queue": False}
    with installation.api("alice") as client:
        refused = client.post("services/mlabhub/api/v1/launches", json=body)
    assert refused.status_code == 409
    assert "vision holds 1 of 1 GPU" in refused.text
    change_id: str = json.loads(made.stdout)["changes"][0]["change_id"]
    return change_id


def test_a_server_as_a_plain_process(tmp_path: Path) -> None:
    arguments = ("--backend", "process", "--simulate-gpus", "2xT4")
    installation = Installation(tmp_path / "state", free_port(), arguments)
    try:
        installation.start()
        assert "nothing is isolated" in " ".join(installation.output().replace("│", " ").split())
        installation.add_user("alice", "vision")
        answer = installation.launch("alice", profile="gpu", gpus=1)
        assert answer.status_code == 201, answer.text
        installation.wait_ready("alice")
        code = "import os; print(os.environ['HOME'], bool(os.environ['MLABHUB_LAUNCH_ID']))"
        home = tmp_path / "state" / "nas" / "user" / "alice"
        assert installation.run_code("alice", code).split() == [str(home), "True"]
        (row,) = installation.reservations()
        assert row["gpus"] == 1
        check_gpus(installation)
        change_id = check_quotas(installation)
        installation.stop()
        installation.start()
        assert change_id in quota(installation, "history", "vision").stdout
        assert quota(installation, "undo", change_id).returncode == 0
        assert json.loads(quota(installation, "show", "vision", "--json").stdout)["groups"][0]["limit"] == {}
        with installation.api("alice") as client:
            wait_for(lambda: client.get("user/alice/api/status").status_code == 200, 30, "it outlived the hub")
        installation.stop_server("alice")
        wait_for(lambda: not installation.reservations(), 30, "nothing held")
    finally:
        installation.close()
