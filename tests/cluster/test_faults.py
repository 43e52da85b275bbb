"""What befalls one pod on a real cluster: its person is told why, and hub, cluster and ledger agree soon."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.cluster.kubectl import create, get, kubectl, try_kubectl
from tests.cluster.site import A100, Site, make_site, start_site
from tests.cluster.words import failure, follow, launch, make_pod, messages, wait_agreed, wait_told
from tests.installation import wait_for

pytestmark = pytest.mark.timeout(400)

PASSWORDS: dict[str, str] = {}
HOGS = """
import os, subprocess, sys, time
for pid in os.listdir('/proc'):
    if pid.isdigit() and int(pid) != os.getpid():
        try:
            open(f'/proc/{pid}/oom_score_adj', 'w').write('1000')
        except OSError:
            pass
kept = []
for _ in range(60):
    kept.append(subprocess.Popen([sys.executable, '-S', '-c', 'x = b"a" * 25_000_000; import time; time.sleep(300)']))
    time.sleep(0.1)
"""
"""Many small processes, none of which the kernel would end before the server's own."""


@pytest.fixture(scope="module")
def site(kubeconfig: str, nas: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a hub with alice."""
    spec = {"unschedulable_seconds": 10}
    site = make_site(tmp_path_factory.mktemp("faults"), nas, kubernetes=spec, name="faults")
    start_site(site)
    try:
        PASSWORDS["alice"] = site.add_user("alice", "vision")
        yield site
    finally:
        for pod in get("pods", site.namespace):
            let_go(site, pod["metadata"]["name"])
        site.close()


@pytest.fixture(autouse=True)
def nothing_left(site: Site) -> Iterator[None]:
    """Begin and end with nothing."""
    site.stop_all()
    yield
    wait_agreed(site)


def told(site: Site, words: str) -> None:
    """Wait until alice reads these words on Home."""
    wait_told(site, "alice", PASSWORDS["alice"], words)


def evict(site: Site, pod: str) -> None:
    """Take a pod off its node, as `kubectl drain` does."""
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": site.namespace},
    }
    path = f"/api/v1/namespaces/{site.namespace}/pods/{pod}/eviction"
    kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body))


def let_go(site: Site, pod: str) -> None:
    """Take away what keeps a pod from going."""
    patch = '{"metadata": {"finalizers": null}}'
    try_kubectl("patch", "pod", pod, "-n", site.namespace, "--type=merge", "-p", patch)


def test_evicted(site: Site) -> None:
    pod = site.start_server("alice", profile="cpu")
    evict(site, pod["metadata"]["name"])
    wait_agreed(site)
    told(site, f"It was taken off its node {pod['spec']['nodeName']}")


def test_deleted_behind_the_hubs_back(site: Site) -> None:
    pod = site.start_server("alice", profile="cpu")
    kubectl("delete", "pod", pod["metadata"]["name"], "-n", site.namespace, "--grace-period=1")
    wait_agreed(site)
    told(site, "It was deleted on the cluster, not by this hub.")


def test_out_of_memory(site: Site) -> None:
    site.start_server("alice", profile="cpu", memory_gib=1)
    threading.Thread(target=lambda: _until_it_ends(site), daemon=True).start()
    wait_agreed(site)
    told(site, "It used more than the 1 GiB of memory that it has, so the system ended it.")


def _until_it_ends(site: Site) -> None:
    try:
        site.run_code("alice", HOGS)
    except Exception as error:
        print(f"as it should be: {error}")


def test_deleted_while_it_starts(site: Site) -> None:
    # The launch is answered after three seconds, by when the server may be ready.
    with ThreadPoolExecutor() as beside:
        launched = beside.submit(site.launch, "alice", profile="cpu")
        wait_for(lambda: site.pod("alice"), 30, "the pod is there")
        kubectl("delete", "pod", site.pod_name("alice"), "-n", site.namespace, "--grace-period=1", "--wait=false")
        answer = launched.result()
    said = failure(follow(site, "alice")) if answer.status_code == 201 else answer.json()["error"]["message"]
    assert "deleted" in said


def test_a_pod_that_does_not_go_is_waited_for(site: Site) -> None:
    """Somebody's finalizer keeps the pod of the server that was: its place stays taken, the next start waits."""
    first = site.start_server("alice", profile="cpu")
    name = first["metadata"]["name"]
    kubectl(
        "patch",
        "pod",
        name,
        "-n",
        site.namespace,
        "--type=merge",
        "-p",
        '{"metadata":{"finalizers":["t.example/hold"]}}',
    )
    kubectl("delete", "pod", name, "-n", site.namespace, "--grace-period=1", "--wait=false")
    try:
        wait_for(lambda: not site.server("alice"), 150, "the hub knows that it ended")
        assert [row["user"] for row in site.reservations()] == ["alice"], "nothing is given to others meanwhile"
    finally:
        let_go(site, name)
    wait_agreed(site)
    second = site.start_server("alice", profile="cpu")
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    site.stop_server("alice")


def test_a_start_that_takes_too_long_leaves_nothing(site: Site) -> None:
    """What a person put into the own home keeps the server from ever answering."""
    site.start_server("alice", profile="cpu")
    site.stop_server("alice")
    settings = site.nas / "user" / "alice" / ".jupyter"
    settings.mkdir(exist_ok=True)
    script = settings / "jupyter_server_config.py"
    script.write_text("import time\ntime.sleep(600)\n")
    home = settings.parent.stat()
    os.chown(settings, home.st_uid, home.st_gid)
    try:
        launch(site, "alice", profile="cpu")
        said = failure(follow(site, "alice", seconds=200))
    finally:
        script.unlink()
    assert "did not answer within" in said
    wait_agreed(site)


def test_gpus_that_somebody_else_takes_in_between(site: Site, two_nodes: dict[str, str]) -> None:
    """Admission has found four GPUs; then pods that are not ours are there before the server's."""
    node = two_nodes[A100]
    gate = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "gate", "namespace": site.namespace},
        "spec": {"hard": {"pods": "0"}},
    }
    create(gate)
    wait_for(lambda: "pods" in get("resourcequotas", site.namespace)[0].get("status", {}).get("hard", {}), 20, "a gate")
    launch(site, "alice", profile="gpu", gpus=4, gpu_type=A100)
    wait_for(lambda: any(row["gpus"] for row in site.reservations()), 20, "it was admitted")
    began = time.monotonic()
    try:
        create(make_pod("thief", "default", node, gpus=1))
        kubectl("delete", "resourcequota", "gate", "-n", site.namespace)
        said = follow(site, "alice")
    finally:
        kubectl("delete", "pod", "thief", "-n", "default", "--grace-period=0", "--force", "--ignore-not-found")
    assert time.monotonic() - began < 60
    assert f"4 A100 wait: 3 are free ({node} 3)." in failure(said), messages(said)
