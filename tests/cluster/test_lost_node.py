"""A node goes away with somebody's server on it; and the service dies between a reservation and its start."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from mlabhub.cluster import labels
from tests.cluster.conftest import Tool
from tests.cluster.kubectl import get
from tests.cluster.site import Site, make_site, start_site
from tests.installation import wait_for

pytestmark = pytest.mark.timeout(600)
NODE_IS_LOST_S = 150
AGREE_S = 120
API = "services/mlabhub/api/v1/"


@pytest.fixture(scope="module")
def site(kubeconfig: str, nas: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = make_site(tmp_path_factory.mktemp("lost"), nas, name="lost")
    start_site(site)
    try:
        site.add_user("alice", "vision")
        yield site
    finally:
        site.close()


def ask(site: Site, who: str, what: str) -> Any:
    with site.api(who) as client:
        return client.get(API + what).json()


def state_of(site: Site) -> str | None:
    return next((row["state"] for row in site.reservations() if row["user"] == "alice"), None)


def node_is_ready(name: str) -> bool:
    [node] = get("nodes", "", f"--field-selector=metadata.name={name}")
    return any(one["type"] == "Ready" and one["status"] == "True" for one in node["status"]["conditions"])


def test_a_server_on_a_node_that_goes_away(site: Site, tool: Tool, two_nodes: dict[str, str]) -> None:
    site.stop_all()
    gpu_type = sorted(two_nodes)[-1]
    node = two_nodes[gpu_type]
    pod = site.start_server("alice", profile="gpu", gpus=1, gpu_type=gpu_type)
    assert pod["spec"]["nodeName"] == node
    tool("stop", f"{node}-kubelet")
    try:
        wait_for(lambda: state_of(site) == "unknown", NODE_IS_LOST_S, "the reservation counts as unknown")
        [server] = ask(site, "alice", "servers")["servers"]
        assert server["state"] == "unknown"
        assert any(node in note and "does not answer" in note for note in server["notes"]), server
        [seen] = [one for one in ask(site, "alice", "gpus")["nodes"] if one["name"] == node]
        assert not seen["schedulable"]
        assert [gpu["user"] for gpu in seen["gpus"] if gpu["held"]] == ["alice"]
        again = site.launch("alice", "second", profile="gpu", gpus=1, gpu_type=gpu_type)
        assert again.status_code == 409, again.text
        assert node in again.json()["error"]["message"]
    finally:
        tool("restart", f"{node}-kubelet")
        wait_for(lambda: node_is_ready(node), 60, "the node is ready again")
    wait_for(lambda: state_of(site) in (None, "running"), AGREE_S, "hub, cluster and ledger agree")
    pods = [one["metadata"]["labels"][labels.PART] for one in site.pods().values()]
    assert pods == ([] if state_of(site) is None else [labels.PART_SERVER])
    site.stop_all()


def test_the_service_dies_between_a_reservation_and_its_start(site: Site) -> None:
    site.stop_all()
    secret = (site.state / "secrets" / "spawner").read_text().strip()
    url = f"http://127.0.0.1:{site.settings['service_port']}/{API}reservations/alice/_"
    body = {
        "launch_id": "01HZZZZZZZZZZZZZZZZZZZZZZZ",
        "user_options": {"profile": "gpu", "gpus": 1},
        "groups": ["vision"],
        "backend": "kube",
        "deadline": 5,
    }
    answer = httpx.put(url, json=body, headers={"Authorization": f"Bearer {secret}"}, timeout=20)
    assert answer.json()["decision"] == "admit", answer.text
    assert len(site.reservations()) == 1
    assert site.process is not None
    [service] = [
        child for child in psutil.Process(site.process.pid).children() if "mlabhub.service" in " ".join(child.cmdline())
    ]
    os.kill(service.pid, signal.SIGKILL)
    wait_for(lambda: is_well(site), 60, "the service is back")
    site.wait_clean(AGREE_S)
    assert site.start_server("alice", profile="gpu", gpus=1)
    site.stop_all()


def is_well(site: Site) -> bool:
    try:
        return httpx.get(f"{site.url}services/mlabhub/health", timeout=3).status_code == 200
    except httpx.HTTPError:
        return False
