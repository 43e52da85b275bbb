"""``mlabhub idle explain`` and ``list``, ``server extend`` and ``release``, against a service that runs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlabhub.errors import InvalidConfiguration, LaunchRefused, NotFound, NotPermitted, Unavailable
from tests.cli.test_queue import mlabhub, refused
from tests.installation import free_port
from tests.service.conftest import Running, running
from tests.service.test_idle_api import HOSTILE, idle, warn

__all__ = ["idle", "mlabhub", "running"]


@pytest.fixture
def full(idle: Running) -> Running:
    """Return the service that the program asks."""
    return idle


async def test_the_verdict_is_shown_signal_by_signal(full: Running, mlabhub: Any) -> None:
    shown = await mlabhub("idle", "explain", "train", who="alice")
    assert shown.exit_code == 0, shown.exception
    text = " ".join(shown.output.split())
    for part in ("train_x: idle", "idle for", "outside", "GPU memory", "Policy site:", "stopped 15 min later"):
        assert part.lower() in text.lower(), part
    told = json.loads((await mlabhub("idle", "explain", "train_x", "--json", who="alice")).output)
    assert told["verdict"] == "idle"
    assert (await mlabhub("idle", "explain", "alice/train", who="admin")).exit_code == 0
    refused(await mlabhub("idle", "explain", "train", who="bob"), NotFound, 1)
    refused(await mlabhub("idle", "explain", "alice/train", who="bob"), NotPermitted, 1)


async def test_a_server_is_kept(full: Running, mlabhub: Any) -> None:
    await warn(full)
    kept = await mlabhub("server", "extend", "train", "--hours", "1", "--reason", HOSTILE, who="alice")
    assert kept.exit_code == 0, kept.exception
    assert kept.output.startswith("train_x is kept until ")
    shown = await mlabhub("idle", "explain", "train", who="alice")
    assert "\u202e" not in shown.output
    assert "kept by alice" in shown.output.lower()
    assert (await mlabhub("server", "extend", "train", who="alice")).exit_code == 0
    refused(await mlabhub("server", "extend", "train", who="alice"), LaunchRefused, 1)
    refused(await mlabhub("server", "extend", "train", "--hours", "0", who="alice"), InvalidConfiguration, 2)
    overview = (await mlabhub("idle", "list", who="admin")).output
    assert "Kept although idle" in overview
    assert "\u202e" not in overview


async def test_gpus_are_given_back_and_the_work_is_kept(full: Running, mlabhub: Any) -> None:
    given = await mlabhub("server", "release", "train", "--reason", "reading", who="alice")
    assert given.output == "train_x gives its GPUs back: it saves what is open, and goes on without them.\n"
    (shelved,) = full.projection.shelved.values()
    assert shelved.state == "saving"
    stopped = await mlabhub("server", "release", "train", "--stop", who="alice")
    assert stopped.output == "train gives back what it holds.\n"


async def test_the_overview_is_for_administrators(full: Running, mlabhub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(await mlabhub("idle", "list", who="alice"), NotPermitted, 1)
    assert "No dry run" in (await mlabhub("idle", "list", who="admin")).output
    assert json.loads((await mlabhub("idle", "list", "--json", who="admin")).output)["regrets"] == 0
    monkeypatch.setenv("MLABHUB_URL", f"http://127.0.0.1:{free_port()}/")
    refused(await mlabhub("idle", "list", who="admin"), Unavailable, 3)
