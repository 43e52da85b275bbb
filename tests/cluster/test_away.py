"""The API server is away for a minute, or the hub is killed, while servers start, run and stop.

After each: the hub, the cluster and the ledger agree within 120 s, no GPU is lost or given twice, nobody's work ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.cluster.conftest import Tool
from tests.cluster.kubectl import kubectl, try_kubectl
from tests.cluster.link import Link
from tests.cluster.site import Site, make_site, start_site
from tests.installation import wait_for

pytestmark = pytest.mark.timeout(400)
AWAY_SECONDS = 60
AGREE_SECONDS = 120
API = "kube-apiserver"
MARKS = {"proxy": "configurable-http-proxy", "hub": "supervisor.hub", "service": "mlabhub.service"}
GPU = {"profile": "gpu", "gpus": 1}


@dataclass(frozen=True)
class Cut:
    """A way to keep the API server away, and to have it back."""

    cut: Callable[[], object]
    mend: Callable[[], object]


def of_tool(tool: Tool) -> Cut:
    """Return the way that ends the API server itself, for everybody."""

    def mend() -> None:
        tool("restart", API)
        wait_for(lambda: try_kubectl("get", "--raw", "/readyz").returncode == 0, 60, "the API server")

    return Cut(lambda: tool("stop", API, "--kill"), mend)


@pytest.fixture(scope="module")
def link(kubeconfig: str) -> Iterator[Link]:
    """Return the line between this module's hub and the API server."""
    link = Link()
    yield link
    link.close()


@pytest.fixture(scope="module")
def site(link: Link, nas: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a running hub that reaches the API server over the line."""
    folder = tmp_path_factory.mktemp("away")
    site = make_site(folder, nas, arguments=("--kubeconfig", str(link.write_kubeconfig(folder))), name="away")
    start_site(site)
    try:
        yield site
    finally:
        site.close()


@pytest.fixture
def alice(site: Site) -> str:
    """Return a person without servers, on a site where nothing else runs."""
    site.stop_all()
    ensure_person(site, "alice")
    return "alice"


def ensure_person(site: Site, name: str) -> None:
    """Open an account unless there is one."""
    with site.api(site.first_admin()[0]) as client:
        if not any(user["name"] == name for user in client.get("hub/api/users").json()):
            site.add_user(name, "vision")


@contextlib.contextmanager
def away(how: Cut) -> Iterator[None]:
    """Keep the API server away for a minute, then have it back, whatever happens."""
    began = time.monotonic()
    how.cut()
    try:
        yield
        time.sleep(max(0.0, began + AWAY_SECONDS - time.monotonic()))
    finally:
        how.mend()


def agree(site: Site) -> bool:
    """Tell whether hub, cluster and ledger know of the same servers, all of them ready."""
    with site.api(site.first_admin()[0]) as client:
        users = client.get("hub/api/users").json()
    servers = {user["name"]: user["server"] is not None and not user["pending"] for user in users}
    known = {name for name, runs in servers.items() if runs}
    waits = any(user["pending"] for user in users)
    held = {row["user"]: row["state"] for row in site.reservations()}
    pods = {site.pod_name(name) for name in known} == set(site.pods())
    return not waits and pods and held == dict.fromkeys(known, "running")


def wait_agreed(site: Site) -> None:
    """Wait until all three agree; say what each believes if they do not."""
    deadline = time.monotonic() + AGREE_SECONDS
    while not agree(site):
        if time.monotonic() > deadline:
            believed = {"ledger": site.reservations(), "cluster": list(site.pods())}
            raise AssertionError(f"no agreement within {AGREE_SECONDS} s: {believed}\n{site.log('hub')[-3000:]}")
        time.sleep(0.5)


def serves(site: Site, user: str) -> bool:
    """Tell whether a person's server answers through the proxy."""
    with site.api(user) as client, contextlib.suppress(httpx.HTTPError):
        return client.get(f"user/{user}/api/status").status_code == 200
    return False


def goes_on(site: Site, user: str) -> None:
    """See that the person can go on: with the same GPU, or a new server."""
    if site.server(user) is None:
        assert site.start_server(user, **GPU)
    wait_for(lambda: serves(site, user), 30, "the server behind the proxy")
    site.stop_server(user)
    wait_for(lambda: site.pod(user) is None, 60, "its pod to go")


def children(site: Site) -> dict[str, int]:
    """Return the process ids of the supervised processes by name."""
    assert site.process is not None
    found = {}
    for child in psutil.Process(site.process.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            line = " ".join(child.cmdline())
            found.update({name: child.pid for name, mark in MARKS.items() if mark in line})
    return found


def kill(site: Site, name: str) -> None:
    """Kill a process without warning, and wait until all is well again."""
    before = children(site)[name]
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: children(site).get(name, before) != before, 10, f"{name} started again")
    wait_for(lambda: is_well(site), 60, f"all well after kill -9 of {name}")


def is_well(site: Site) -> bool:
    """Tell whether hub and service answer."""
    try:
        login = httpx.get(f"{site.url}hub/login", timeout=3).status_code
        health = httpx.get(f"{site.url}services/mlabhub/health", timeout=3).status_code
    except httpx.HTTPError:
        return False
    return login == health == 200


def uid_of(pod: dict[str, Any]) -> str:
    """Return which of the pods that ever had this name it is."""
    return str(pod["metadata"]["uid"])


def check_a_minute_away(site: Site, how: Cut) -> None:
    """Have the API server go while one person's server starts, one is to stop, one runs, and one is asked for."""
    for name in ("bob", "carol", "dora"):
        ensure_person(site, name)
    bobs, carols = (uid_of(site.start_server(name, **GPU)) for name in ("bob", "carol"))
    assert site.launch("alice", **GPU).status_code == 201
    wait_for(lambda: site.pod("alice"), 30, "alice's pod")
    with away(how):
        time.sleep(5)
        assert serves(site, "carol"), "a running server is not touched"
        with site.api("bob") as client:
            stopped = client.delete("hub/api/users/bob/server")
        assert stopped.status_code in (202, 204, 503), stopped.text
        asked = site.launch("dora", **GPU)
        assert asked.status_code in (201, 503), asked.text
        for answer in (stopped, asked):
            assert answer.status_code != 503 or "cluster" in answer.text, "the person is told in words"
    wait_agreed(site)
    pod = site.pod("carol")
    assert pod is not None
    assert uid_of(pod) == carols
    if (pod := site.pod("bob")) is not None:
        assert stopped.status_code != 204, "it was said to have stopped"
        assert uid_of(pod) == bobs
    for name in ("alice", "bob", "carol", "dora"):
        goes_on(site, name)


def test_the_line_to_the_api_server_says_nothing(site: Site, alice: str, link: Link) -> None:
    check_a_minute_away(site, Cut(link.stall, link.mend))


def test_the_api_server_is_killed(site: Site, alice: str, tool: Tool) -> None:
    check_a_minute_away(site, of_tool(tool))


@pytest.mark.parametrize("seconds", [0.0, 2.0])
def test_hub_killed_while_a_server_starts(site: Site, alice: str, seconds: float) -> None:
    assert site.launch(alice, **GPU).status_code == 201
    wait_for(lambda: site.pods(), 30, "the pod")
    time.sleep(seconds)
    kill(site, "hub")
    wait_agreed(site)
    goes_on(site, alice)


def test_hub_killed_while_a_server_stops(site: Site, alice: str) -> None:
    site.start_server(alice, **GPU)
    with site.api(alice) as client:
        assert client.delete(f"hub/api/users/{alice}/server").status_code in (202, 204)
    kill(site, "hub")
    wait_agreed(site)
    goes_on(site, alice)


def test_hub_killed_while_servers_run(site: Site, alice: str) -> None:
    uid = uid_of(site.start_server(alice, **GPU))
    code = "import time; open('/tmp/mark', 'w').write(str(time.time())); print('written')"
    assert site.run_code(alice, code).strip() == "written"
    kill(site, "hub")
    wait_agreed(site)
    pod = site.pod(alice)
    assert pod is not None
    assert uid_of(pod) == uid, "people's servers outlive the hub"
    assert float(site.run_code(alice, "print(open('/tmp/mark').read())")) > 0
    goes_on(site, alice)


def test_everything_of_ours_restarted_while_a_server_runs(site: Site, alice: str) -> None:
    uid = uid_of(site.start_server(alice, **GPU))
    site.stop()
    assert [uid_of(pod) for pod in site.pods().values()] == [uid]
    site.start()
    wait_agreed(site)
    wait_for(lambda: serves(site, alice), 30, "the server behind the proxy")
    assert [uid_of(pod) for pod in site.pods().values()] == [uid]
    goes_on(site, alice)


def test_a_pod_is_deleted_while_the_hub_is_down(site: Site, alice: str) -> None:
    site.start_server(alice, **GPU)
    site.stop()
    kubectl("delete", "pod", site.pod_name(alice), "-n", site.namespace, "--grace-period=1")
    site.start()
    wait_agreed(site)
    assert site.server(alice) is None
    goes_on(site, alice)
