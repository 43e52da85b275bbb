"""A real hub whose ledger is restored from yesterday, and then kept in PostgreSQL, while people's servers run on."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.installation import MLABHUB, Installation, free_port, wait_for
from tests.ledger.postgres import ROLE, PostgresServer

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]
PASSWORD = "a-password-that-is-nowhere-else"
ARGUMENTS = ("--backend", "process", "--simulate-gpus", "4xT4")


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    one = Installation(tmp_path / "state", free_port(), ARGUMENTS)
    yield one
    for name in ("alice", "bob"):
        if one.process is not None and one.process.poll() is None and one.server(name):
            one.stop_server(name)
    one.close()


@pytest.fixture
def guarded_server() -> Iterator[PostgresServer]:
    """A PostgreSQL that asks for a password."""
    server = PostgresServer({})
    server.make_database("hub")
    server.sql(f"ALTER ROLE {ROLE} PASSWORD '{PASSWORD}'")
    (server.data / "pg_hba.conf").write_text("local all postgres trust\nlocal all all scram-sha-256\n")
    server.sql("SELECT pg_reload_conf()")
    yield server
    server.close()


def mlabhub(*arguments: object, status: int = 0) -> str:
    """Run the command line; return what it printed."""
    done = subprocess.run([MLABHUB, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def counted(installation: Installation) -> dict[str, tuple[str, int]]:
    """Return state and GPUs of what the service holds, by user."""
    return {row["user"]: (row["state"], row["gpus"]) for row in installation.reservations()}


def found(installation: Installation) -> list[str]:
    """Return whose servers `mlabhub reconcile` speaks of."""
    argv = [MLABHUB, "reconcile", "--state", str(installation.state), "--json"]
    report = subprocess.run(argv, capture_output=True, text=True, check=False)
    return [finding["user"] for finding in json.loads(report.stdout)["findings"]]


def launch(installation: Installation, name: str, gpus: int) -> None:
    """Launch a server and wait for it."""
    answer = installation.launch(name, profile="gpu", gpus=gpus)
    assert answer.status_code == 201, answer.text
    installation.wait_ready(name)


def test_yesterdays_backup_and_then_postgresql(
    installation: Installation, guarded_server: PostgresServer, tmp_path: Path
) -> None:
    installation.start()
    for name in ("alice", "bob"):
        installation.add_user(name)
    launch(installation, "alice", 1)
    archive = tmp_path / "backup.tar.gz"
    mlabhub("backup", archive, "--state", installation.state)
    launch(installation, "bob", 2)
    mlabhub("restore", archive, "--state", installation.state, "--force", status=1)  # it runs
    restore_yesterday(installation, archive)
    move_to_postgresql(installation, guarded_server, tmp_path / "password")


def restore_yesterday(installation: Installation, archive: Path) -> None:
    """Restore while both servers run: both are counted; what the hub has lost is an administrator's to end."""
    installation.stop()
    mlabhub("restore", archive, "--state", installation.state, "--force")
    installation.tokens.clear()
    installation.start()
    expected = {"alice": ("running", 1), "bob": ("unknown", 2)}
    wait_for(lambda: counted(installation) == expected, 30, "both are counted")
    assert installation.run_code("alice", "print(6 * 7)").strip() == "42"
    wait_for(lambda: found(installation) == ["bob"], 30, "bob's server is shown as lost")
    mlabhub("reconcile", "--repair", "--state", installation.state)
    assert counted(installation) == {"alice": ("running", 1)}


def move_to_postgresql(installation: Installation, server: PostgresServer, password: Path) -> None:
    """Start again with the ledger in PostgreSQL: it goes along, launches go on, the password is nowhere."""
    installation.stop()
    password.touch(mode=0o600)
    password.write_text(f"{PASSWORD}\n")
    more = ("--ledger", server.url("hub"), "--ledger-password-file", str(password))
    installation.arguments = (*ARGUMENTS, *more)
    installation.start()
    wait_for(lambda: counted(installation) == {"alice": ("running", 1)}, 30, "alice's server is counted")
    server.end_sessions("hub")
    answers = [installation.launch("bob", profile="gpu", gpus=1) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [503, 201], [answer.text for answer in answers]
    installation.wait_ready("bob")
    rows = server.sql("SELECT \"user\", state FROM reservations WHERE state <> 'released' ORDER BY 1", "hub")
    assert rows == [("alice", "held"), ("bob", "held")]
    doctor = subprocess.run(
        [MLABHUB, "doctor", "--state", installation.state, "--json"], capture_output=True, text=True, check=False
    )
    [check] = [one for one in json.loads(doctor.stdout) if one["name"] == "ledger"]
    assert (check["status"], f"in use by mlabhub {installation.instance}" in check["found"]) == ("ok", True)
    check_nothing_is_told(installation, doctor.stdout)


def check_nothing_is_told(installation: Installation, *said: str) -> None:
    """The password is in no argument, environment, log or settings file."""
    texts: list[Any] = [*said, installation.output()]
    for process in (psutil.Process(installation.process.pid), *psutil.Process(installation.process.pid).children(True)):  # type: ignore[union-attr]
        texts += [*process.cmdline(), *process.environ().values()]
    texts += [file.read_text(errors="replace") for file in (installation.state / "log").glob("*.log")]
    texts.append((installation.state / "run" / "settings.json").read_text())
    assert len(texts) > 20
    assert not [text for text in texts if PASSWORD in text]
