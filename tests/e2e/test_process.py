"""Plain processes: for development and a first look; the same gate, the same life, no isolation, and it says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.installation import Installation, free_port, wait_for

pytestmark = pytest.mark.timeout(300)


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
        installation.stop()
        installation.start()
        with installation.api("alice") as client:
            wait_for(lambda: client.get("user/alice/api/status").status_code == 200, 30, "it outlived the hub")
        installation.stop_server("alice")
        wait_for(lambda: not installation.reservations(), 30, "nothing held")
    finally:
        installation.close()
