"""Hub, proxy or service are killed while somebody's turn comes, and while something is taken back."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import httpx
import psutil
import pytest

from mlabhub.engine.processes import INSTANCE
from tests.e2e.one_gpu import run_one_gpu
from tests.e2e.test_survival import _children, _is_well
from tests.installation import Installation, wait_for

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]
QUOTAS = {"groups": {"vision": {"guaranteed": {"gpu": 1}}, "nlp": {}}, "notice_seconds": 2}
LAUNCHES = "services/mlabhub/api/v1/launches"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A hub of plain processes with one GPU, which is guaranteed to vision and lent to nlp."""
    with run_one_gpu(tmp_path_factory.mktemp("killed"), QUOTAS) as one:
        for name, group in {"bo": "nlp", "ben": "nlp", "vera": "vision"}.items():
            one.add_user(name, group)
            one.token(name)
        one.token(one.first_admin()[0])
        yield one


@pytest.fixture
def lent(hub: Installation) -> Iterator[Installation]:
    """The GPU is bo's."""
    assert hub.launch("bo", profile="gpu", gpus=1).status_code == 201
    hub.wait_ready("bo")
    yield hub
    wait_for(lambda: _is_well(hub), 30, "the hub")
    with hub.api(hub.first_admin()[0]) as client:
        for entry in client.get("services/mlabhub/api/v1/queue").json()["entries"]:
            client.delete(f"{LAUNCHES}/{entry['launch_id']}")
    for one in hub.reservations():
        with hub.api(one["user"]) as client:
            answer = client.post(f"services/mlabhub/api/v1/servers/{one['user']}//stop")
            assert answer.status_code == 202, answer.text
    wait_for(lambda: not hub.reservations(), 60, "nothing held")


def rows(hub: Installation, query: str) -> list[tuple[str, ...]]:
    """Read the ledger, whoever lives."""
    with closing(sqlite3.connect(f"file:{hub.state / 'ledger.sqlite'}?mode=ro", uri=True)) as ledger:
        return ledger.execute(query).fetchall()


def held(hub: Installation) -> list[tuple[str, ...]]:
    return rows(hub, "select user, state from reservations where state != 'released'")


def waits(hub: Installation, name: str) -> None:
    with hub.api(name) as client:
        answer = client.post(LAUNCHES, json={"user_options": {"profile": "gpu", "gpus": 1}})
    assert answer.status_code == 202, answer.text


def kill_when(hub: Installation, name: str, moment: Callable[[], bool]) -> None:
    """Kill a process without warning at a moment of the ledger."""
    victim = _children(hub)[name]
    deadline = time.monotonic() + 60
    while not moment():
        assert time.monotonic() < deadline, "the moment did not come"
        time.sleep(0.002)
    os.kill(victim, signal.SIGKILL)


def servers_of(hub: Installation, name: str) -> int:
    """Return how many servers of somebody run on the machine."""
    found = 0
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            variables = process.environ()
            parent = process.parent()
            is_first = parent is None or INSTANCE not in parent.environ()
            own = variables.get(INSTANCE) == hub.instance and variables.get("JUPYTERHUB_USER") == name
            found += own and is_first
    return found


def runs_alone(hub: Installation, name: str) -> bool:
    """Whether the GPU is one person's, by all accounts."""
    with suppress(httpx.HTTPError, ValueError):  # nobody answers, or the proxy does for who does not
        server = hub.server(name)
        return bool(server and server["ready"]) and held(hub) == [(name, "held")]
    return False


@pytest.mark.parametrize("redeemed", ["is null", "is not null"])
@pytest.mark.parametrize("name", ["service", "hub", "proxy"])
def test_killed_as_somebodys_turn_comes(lent: Installation, name: str, redeemed: str) -> None:
    """Before or after a spawner took the launch."""
    waits(lent, "ben")
    with lent.api("bo") as client:
        client.delete("hub/api/users/bo/server")
    pending = f"select 1 from reservations where user = 'ben' and state = 'pending' and redeemed {redeemed}"
    kill_when(lent, name, lambda: bool(rows(lent, pending)))
    wait_for(lambda: runs_alone(lent, "ben"), 90, f"ben alone: {held(lent)}")
    assert (servers_of(lent, "ben"), servers_of(lent, "bo")) == (1, 0)
    assert not rows(lent, "select user from queue where state = 'waiting'")


@pytest.mark.parametrize("name", ["service", "hub", "proxy"])
def test_killed_as_something_is_taken_back(lent: Installation, name: str) -> None:
    waits(lent, "vera")
    kill_when(lent, name, lambda: ("bo", "stopping") in held(lent))
    wait_for(lambda: runs_alone(lent, "vera"), 90, f"vera alone: {held(lent)}")
    assert (servers_of(lent, "vera"), servers_of(lent, "bo")) == (1, 0)
    assert rows(lent, "select user from queue where state = 'waiting'") == [("bo",)]
