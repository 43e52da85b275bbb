"""The service as a process: started twice, killed in the middle, stopped, started wrongly."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from ulid import ULID

from mlabhub.client import Admission, ServiceClient
from mlabhub.errors import MLabError, Unavailable
from mlabhub.ledger import Reservation, open_sqlite
from mlabhub.settings import Settings
from tests.bench.bench_admission import bare_installation, make_installation, start_service
from tests.ledger.postgres import PostgresServer

CLIENTS = 16


def module(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the real module to its end."""
    argv = [sys.executable, "-m", "mlabhub.service", "--settings", str(settings.settings_file), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def kept_of(settings: Settings, launches: Iterable[str]) -> dict[str, Reservation]:
    """Return those launches that the ledger's file has, in whatever state."""
    ledger = open_sqlite(settings.ledger_file)
    try:
        found = (ledger.reservation(launch_id) for launch_id in launches)
        return {one.launch_id: one for one in found if one is not None}
    finally:
        ledger.close()


def test_there_is_one_service_per_ledger(tmp_path: Path) -> None:
    settings = make_installation(tmp_path, 3)
    first = start_service(settings)
    try:
        second = module(settings)
        assert second.returncode == 1
        assert second.stderr.strip() == (
            f"Another service uses the ledger of {settings.state_dir} already. "
            "Stop that one first; there can be only one."
        )
        assert first.poll() is None
    finally:
        first.terminate()
    assert first.wait(10) == 0


def test_there_is_one_service_per_ledger_also_on_two_machines(tmp_path: Path, postgres: PostgresServer) -> None:
    postgres.make_database("machines")
    for name in ("n1", "n2"):
        (tmp_path / name).mkdir()
    first = start_service(make_installation(tmp_path / "n1", 3, postgres.url("machines")))
    try:
        second = module(bare_installation(tmp_path / "n2", postgres.url("machines")))
        assert second.returncode == 1
        assert (
            second.stderr.strip()
            .splitlines()[-1]
            .startswith(
                f"Another service uses the ledger in PostgreSQL at {postgres.folder}/machines (mlabhub be0c4000 on "
            )
        )
        assert "Traceback" not in second.stderr
        assert first.poll() is None
    finally:
        first.terminate()
    assert first.wait(10) == 0
    lost = module(bare_installation(tmp_path / "n3", postgres.url("no-such-database")))
    assert (lost.returncode, "has no such database" in lost.stderr) == (1, True)
    assert "Traceback" not in lost.stderr


def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    settings = make_installation(tmp_path, 0)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", settings.service_port))
        taken.listen()
        ended = module(settings)
    assert ended.returncode == 1
    assert ended.stderr.strip().splitlines()[-1].startswith(f"Port {settings.service_port} cannot be used")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda s: s.settings_file.write_text("{"), "cannot be used"),
        (lambda s: s.settings_file.unlink(), "No installation was found"),
        (lambda s: s.spawner_secret_file.unlink(), "`mlabhub up` makes it"),
        (lambda s: s.spawner_secret_file.write_text("x"), "is too short"),
        (lambda s: (s.config_dir / "profiles.yaml").write_text("profiles: {a: {cpu: no}}"), "profiles.yaml:1"),
        (lambda s: s.ledger_file.write_bytes(b"damaged" * 1000), "put it aside"),
    ],
    ids=["settings", "no settings", "no secret", "short secret", "catalogue", "ledger"],
)
def test_a_wrong_start_is_told_in_words(tmp_path: Path, damage: Any, sentence: str) -> None:
    settings = make_installation(tmp_path, 0)
    damage(settings)
    ended = module(settings)
    assert ended.returncode == 2
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_kill_9_in_the_middle_loses_no_answer_and_leaves_no_half(tmp_path: Path) -> None:
    settings = make_installation(tmp_path, 100)
    asked: dict[str, int] = {}
    answered: dict[str, str] = {}
    for _ in range(2):
        process = start_service(settings)
        enough = asyncio.Event()
        goal = len(answered) + 100
        clients = [_ask(settings, number, asked, answered, enough, goal) for number in range(CLIENTS)]
        asking = asyncio.gather(*clients)
        await enough.wait()
        process.send_signal(signal.SIGKILL)
        process.wait()
        await asking
        kept = kept_of(settings, asked)
        assert answered.keys() <= kept.keys()
        for launch_id, one in kept.items():
            assert (one.user, one.server) == (f"user{asked[launch_id]}", f"n{launch_id.lower()}")
            assert one.plan is not None
            assert one.plan["gpus"] == list(one.gpus)
        gpus = [uuid for one in kept.values() for uuid in one.gpus if one.active]
        assert len(gpus) == len(set(gpus))
    await _ask_again(settings, asked, answered)


async def _ask(
    settings: Settings, number: int, asked: dict[str, int], answered: dict[str, str], enough: asyncio.Event, goal: int
) -> None:
    """Reserve one server after the other until the service is gone."""
    client = ServiceClient.from_settings(settings, retry_s=0.0, timeout_s=5.0)
    try:
        while True:
            launch_id = str(ULID())
            asked[launch_id] = number
            answered[launch_id] = _plan_of(await _reserve(client, number, launch_id))
            if len(answered) >= goal:
                enough.set()
    except Unavailable:
        return
    finally:
        await client.close()


async def _ask_again(settings: Settings, asked: dict[str, int], answered: dict[str, str]) -> None:
    """A spawner that got no answer asks again: the same launch, the same answer, also across a restart."""
    process = start_service(settings)
    client = ServiceClient.from_settings(settings)
    try:
        for launch_id in list(answered)[-20:]:
            assert _plan_of(await _reserve(client, asked[launch_id], launch_id)) == answered[launch_id]
    finally:
        await client.close()
        process.terminate()
        process.wait(10)


def _plan_of(admission: Admission) -> str:
    assert admission.plan is not None
    return json.dumps(admission.plan.to_dict())


async def _reserve(client: ServiceClient, number: int, launch_id: str) -> Admission:
    return await client.reserve(
        f"user{number}",
        f"n{launch_id.lower()}",
        launch_id=launch_id,
        user_options={"profile": "gpu"} if number % 2 else {},
        groups=(f"group{number}",),
        backend="process",
        deadline_s=600,
    )


async def test_the_client_waits_for_a_service_that_is_restarted(tmp_path: Path) -> None:
    settings = make_installation(tmp_path, 0)
    client = ServiceClient.from_settings(settings, retry_s=20.0)
    asking = asyncio.create_task(_reserve(client, 1, str(ULID())))
    process = await asyncio.to_thread(start_service, settings)
    try:
        assert (await asking).admitted
    finally:
        process.terminate()
        process.wait(10)
    impatient = ServiceClient.from_settings(settings, retry_s=0.2)
    with pytest.raises(Unavailable, match="nothing was changed"):
        await _reserve(impatient, 1, str(ULID()))
    os.unlink(settings.spawner_secret_file)
    with pytest.raises(MLabError, match="nothing was changed"):
        await _reserve(impatient, 1, str(ULID()))
    await client.close()
    await impatient.close()
