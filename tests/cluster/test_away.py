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
    if not any(row["name"] == "alice" for row in people(site)):
        site.add_user("alice", "vision")
    return "alice"


def people(site: Site) -> list[dict[str, Any]]:
    """Return the accounts that there are."""
    with site.api(site.first_admin()[0]) as client:
        found: list[dict[str, Any]] = client.get("hub/api/users").json()
    return found


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


def agree(site: Site, user: str) -> bool:
    """Tell whether hub, cluster and ledger know of the same servers, all of them ready or none."""
    server = site.server(user)
    rows, pods = site.reservations(), site.pods()
    if server is None:
        return not rows and not pods
    held = [row["state"] for row in rows]
    return bool(server["ready"]) and held == ["running"] and list(pods) == [site.pod_name(user)]


def wait_agreed(site: Site, user: str) -> None:
    """Wait until all three agree; say what each believes if they do not."""
    deadline = time.monotonic() + AGREE_SECONDS
    while not agree(site, user):
        if time.monotonic() > deadline:
            believed = {"hub": site.server(user), "ledger": site.reservations(), "cluster": list(site.pods())}
            raise AssertionError(f"no agreement within {AGREE_SECONDS} s: {believed}\n{site.log('hub')[-3000:]}")
        time.sleep(0.5)


def serves(site: Site, user: str) -> bool:
    """Tell whether a person's server answers through the proxy."""
    with site.api(user) as client, contextlib.suppress(httpx.HTTPError):
        return client.get(f"user/{user}/api/status").status_code == 200
    return False


def starts_again(site: Site, user: str) -> None:
    """See that the person can go on: with the same GPU, or a new server."""
    if site.server(user) is None:
        assert site.start_server(user, **GPU)
    wait_for(lambda: serves(site, user), 30, "the server behind the proxy")
    site.stop_server(user)
    site.wait_clean()


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


def check_start(site: Site, alice: str, how: Cut) -> None:
    """Have the API server go while a pod starts."""
    answer = site.launch(alice, **GPU)
    assert answer.status_code == 201, answer.text
    wait_for(lambda: site.pods(), 30, "the pod")
    with away(how):
        pass
    wait_agreed(site, alice)
    starts_again(site, alice)


def check_stop(site: Site, alice: str, how: Cut) -> None:
    """Have the API server go while a server runs and is to stop."""
    uid = uid_of(site.start_server(alice, **GPU))
    with away(how):
        time.sleep(10)
        assert serves(site, alice), "a running server is not touched"
        with site.api(alice) as client:
            answer = client.delete(f"hub/api/users/{alice}/server")
        assert answer.status_code in (202, 204, 503), answer.text
        if answer.status_code == 503:
            assert "cluster" in answer.text, "the person is told in words"
    wait_agreed(site, alice)
    if (server := site.server(alice)) is not None:  # the stop failed, and said so: it is the same server
        pod = site.pod(alice)
        assert server["ready"]
        assert pod is not None
        assert uid_of(pod) == uid
    starts_again(site, alice)


@pytest.mark.parametrize("cut", ["refuse", "stall"])
def test_the_line_to_the_api_server_is_cut_while_a_server_starts(site: Site, alice: str, link: Link, cut: str) -> None:
    check_start(site, alice, Cut(getattr(link, cut), link.mend))


@pytest.mark.parametrize("cut", ["refuse", "stall"])
def test_the_line_to_the_api_server_is_cut_while_a_server_stops(site: Site, alice: str, link: Link, cut: str) -> None:
    check_stop(site, alice, Cut(getattr(link, cut), link.mend))


def test_a_launch_while_the_api_server_is_away(site: Site, alice: str, link: Link) -> None:
    with away(Cut(link.refuse, link.mend)):
        answer = site.launch(alice, **GPU)
        assert answer.status_code in (201, 503), answer.text
        if answer.status_code == 503:
            assert "cluster" in answer.json()["error"]["message"]
    wait_agreed(site, alice)
    starts_again(site, alice)


def test_the_api_server_is_killed_while_a_server_starts(site: Site, alice: str, tool: Tool) -> None:
    check_start(site, alice, of_tool(tool))


def test_the_api_server_is_killed_while_a_server_stops(site: Site, alice: str, tool: Tool) -> None:
    check_stop(site, alice, of_tool(tool))


@pytest.mark.parametrize("seconds", [0.0, 1.0, 2.0])
def test_hub_killed_while_a_server_starts(site: Site, alice: str, seconds: float) -> None:
    assert site.launch(alice, **GPU).status_code == 201
    wait_for(lambda: site.pods(), 30, "the pod")
    time.sleep(seconds)
    kill(site, "hub")
    wait_agreed(site, alice)
    starts_again(site, alice)


def test_hub_killed_while_a_server_stops(site: Site, alice: str) -> None:
    site.start_server(alice, **GPU)
    with site.api(alice) as client:
        assert client.delete(f"hub/api/users/{alice}/server").status_code in (202, 204)
    kill(site, "hub")
    wait_agreed(site, alice)
    starts_again(site, alice)


def test_hub_killed_while_servers_run(site: Site, alice: str) -> None:
    uid = uid_of(site.start_server(alice, **GPU))
    code = "import time; open('/tmp/mark', 'w').write(str(time.time())); print('written')"
    assert site.run_code(alice, code).strip() == "written"
    kill(site, "hub")
    wait_agreed(site, alice)
    pod = site.pod(alice)
    assert pod is not None
    assert uid_of(pod) == uid, "people's servers outlive the hub"
    assert float(site.run_code(alice, "print(open('/tmp/mark').read())")) > 0
    starts_again(site, alice)


def test_everything_of_ours_restarted_while_a_server_runs(site: Site, alice: str) -> None:
    uid = uid_of(site.start_server(alice, **GPU))
    site.stop()
    assert [uid_of(pod) for pod in site.pods().values()] == [uid]
    site.start()
    wait_agreed(site, alice)
    wait_for(lambda: serves(site, alice), 30, "the server behind the proxy")
    assert [uid_of(pod) for pod in site.pods().values()] == [uid]
    starts_again(site, alice)


def test_a_pod_is_deleted_while_the_hub_is_down(site: Site, alice: str) -> None:
    site.start_server(alice, **GPU)
    site.stop()
    kubectl("delete", "pod", site.pod_name(alice), "-n", site.namespace, "--grace-period=1")
    site.start()
    wait_agreed(site, alice)
    assert site.server(alice) is None
    starts_again(site, alice)
