"""What a service recorded, written as a workload and replayed, by command, while it runs."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from tests.service.conftest import Running
from tests.service.test_notify_service import until
from tests.service.test_quota_cli import done, machine, refused

__all__ = ["machine"]


async def run_two(running: Running) -> None:
    """Let one server have run, and one run still."""
    for user, gpus in (("alice", 2), ("bob", 1)):
        body = {"server_name": "x", "user_options": {"profile": "gpu", "gpus": gpus}}
        assert (await running.call("POST", "api/v1/launches", user, json=body)).status_code == 201
    await until(lambda: all(one.held is not None for one in running.projection))
    await running.call("POST", "api/v1/servers/alice/x/stop", "alice")
    await until(lambda: running.of_server("alice", "x") is None)


async def test_what_was_recorded_is_written_and_replayed(machine: Running, tmp_path: Path) -> None:
    await run_two(machine)
    out = tmp_path / "recorded.jsonl.gz"
    said = await done(machine, "export", "--out", str(out))
    assert "2 requests" in said
    assert "1 servers run still" in said
    with gzip.open(out, "rt") as file:
        first, *lines = map(json.loads, file)
    assert first["cluster"]["nodes"] == [
        {"name": "n1", "gpu_type": "a100", "gpus": 8, "cpu": 64.0, "memory_gib": 512.0}
    ]
    assert [(one["user"], one["group"], one["gpus"], one["gpu_type"]) for one in lines] == [
        ("alice", "vision", 2, "a100"),
        ("bob", "vision", 1, "a100"),
    ]
    assert not (tmp_path / "recorded.jsonl.gz.part").exists()
    quotas = tmp_path / "quotas.yaml"
    quotas.write_text("groups: {vision: {limit: {gpu: 1}}}\n")
    now = json.loads((await done(machine, "replay", "--recorded", "--json")).splitlines()[-1])
    assert (now["requests"], now["refused"]) == (2, 0)
    less = json.loads((await done(machine, "replay", "--recorded", "--json", "--quotas", str(quotas))).splitlines()[-1])
    assert (less["requests"], less["refused"]) == (2, 1), "two GPUs are more than the group may ever hold"


async def test_what_cannot_be_asked_for(machine: Running, tmp_path: Path) -> None:
    for arguments, told in (
        (("replay",), "Name a workload, or say --recorded."),
        (("replay", "--recorded", "--from", "2999-01-01T00:00Z"), "is not before --to, or lies ahead"),
        (("replay", "--recorded", str(tmp_path / "x.jsonl")), "leave out"),
        (("export", "--from", "yesterday"), "--from: must be a day, a time and a zone"),
        (("export", "--out", str(tmp_path / "no" / "x")), "cannot be written"),
    ):
        status, said = await refused(machine, *arguments)
        assert (status, told in said) == (2, True), said
