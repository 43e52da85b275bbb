"""Hub, proxy and service as pods of the cluster: the images built here, as helm-values/base.yaml has them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from mlabhub.chart import SERVICE_PORT
from tests.cluster.kubectl import create, kubectl, try_kubectl
from tests.cluster.pod_site import PodSite, make_values, start_pod_site
from tests.cluster.release import CLOSED, POD_SECURITY
from tests.installation import wait_for


@pytest.fixture(scope="module")
def pods(kubeconfig: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PodSite]:
    """Return a hub in pods."""
    site = start_pod_site(tmp_path_factory.mktemp("pods"), make_values(), {"quotas.yaml": quotas(servers=5)})
    try:
        yield site
    finally:
        site.close()


REPORT = """
import json, os, time, urllib.parse, urllib.request
url, token = os.environ["MLABHUB_REPORTS_URL"], os.environ["MLABHUB_REPORT_TOKEN"]
server = f"{os.environ['JUPYTERHUB_USER']}/{os.environ['JUPYTERHUB_SERVER_NAME']}"
body = {"server": server, "sent": time.time(), "reports": [{"t": time.time(), "number": 1}]}
headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
print(urllib.parse.urlsplit(url).port)
print(urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=10).status)
"""
"""What the agent in a server does: it sends a report to where it was told, with the token that it was given."""


def quotas(**caps: int) -> str:
    """Return a quotas.yaml with everybody's caps."""
    return json.dumps({"users": {"default": caps}})


def set_quotas(namespace: str, **caps: int) -> None:
    """Change the site's ConfigMap."""
    patch = {"data": {"quotas.yaml": quotas(**caps)}}
    kubectl("patch", "configmap", "mlabhub-config", "-n", namespace, "--type=merge", "-p", json.dumps(patch))


def test_a_person_starts_a_server_writes_and_stops(pods: PodSite) -> None:
    password = pods.add_user("alice", "vision")
    with pods.log_in("alice", password) as session:
        page = session.get("services/mlabhub/launch")
        assert page.status_code == 200
        assert "CPU workbench" in page.text
    pod = pods.start_server("alice", profile="cpu")
    assert pod["metadata"]["namespace"] == pods.namespace
    assert "written" in pods.run_code(
        "alice", "open('/mnt/user/alice/kept', 'w').write('a'); print('written', __import__('os').getuid())"
    )
    assert pods.run_code("alice", REPORT).split() == [f"{SERVICE_PORT}", "200"], "its reports reach the service itself"
    pods.stop_server("alice")
    pods.wait_clean()
    pods.start_server("alice", profile="cpu")
    assert "a" in pods.run_code("alice", "print(open('/mnt/user/alice/kept').read())")
    pods.stop_server("alice")
    pods.wait_clean()


def test_servers_outlive_the_hubs_pod(pods: PodSite) -> None:
    pods.add_user("bob")
    pods.start_server("bob", profile="cpu")
    before = pods.pod("bob")
    assert before is not None
    assert "first" in pods.run_code("bob", "print('first')"), "now the server knows who is at the door"
    old = pods.hub_pod()["metadata"]["uid"]
    kubectl("delete", "pod", "-n", pods.namespace, "-l", "component=hub", "--grace-period=0", "--force")
    assert "still" in pods.run_code("bob", "print('still')"), "through the proxy, while the hub is away"
    kubectl("rollout", "status", "-n", pods.namespace, "deploy/hub", "--timeout=120s", seconds=150)
    assert pods.hub_pod()["metadata"]["uid"] != old
    pods.wait_ready("bob")
    after = pods.pod("bob")
    assert after is not None
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    wait_for(lambda: [row["user"] for row in pods.reservations()] == ["bob"], 60, "bob's reservation is known again")
    pods.stop_server("bob")
    pods.wait_clean()


def test_a_service_that_ends_comes_back_and_leaves_the_hub_alone(pods: PodSite) -> None:
    before = pods.hub_pod()
    pods.run_in_hub("python3", "-c", KILL, container="mlabhub")
    wait_for(lambda: pods._answers(), 30, "the service answers again")
    after = pods.hub_pod()
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert [one["restartCount"] for one in after["status"]["containerStatuses"]] == [0, 0]
    assert next(one["status"] for one in after["status"]["conditions"] if one["type"] == "Ready") == "True"


KILL = """
import os, psutil
for one in psutil.process_iter(["cmdline"]):
    if "mlabhub.service" in (one.info["cmdline"] or []):
        one.kill()
"""


def test_a_changed_config_map_is_in_force_without_a_restart(pods: PodSite) -> None:
    before = pods.hub_pod()["metadata"]
    pods.add_user("carol")
    set_quotas(pods.namespace, servers=0)
    # A kubelet looks every minute or so, and at once when something about the pod has changed.
    kubectl("annotate", "pod", "-n", pods.namespace, before["name"], "looked-at=now")
    wait_for(lambda: "is in force" in pods.log("mlabhub"), 120, "the new quota is in force")
    answer = pods.launch("carol", profile="cpu")
    assert answer.status_code == 409, answer.text
    assert "the cap is 0" in answer.json()["error"]["message"]
    assert pods.hub_pod()["metadata"]["uid"] == before["uid"]


def test_nobody_but_the_proxy_reaches_the_service(pods: PodSite) -> None:
    """Tried from a pod of the namespace that has none of the proxy's labels."""
    hub = pods.hub_pod()
    container = {
        "name": "stranger",
        "image": hub["spec"]["containers"][0]["image"],
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "300"],
        "securityContext": {**CLOSED, "runAsUser": 1000},
    }
    spec = {"securityContext": POD_SECURITY, "containers": [container], "terminationGracePeriodSeconds": 0}
    create(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stranger", "namespace": pods.namespace}, "spec": spec}
    )
    kubectl("wait", "-n", pods.namespace, "pod/stranger", "--for=condition=Ready", "--timeout=60s", seconds=70)
    for port, path in ((8090, "alive"), (8081, "hub/health")):
        address = f"http://{hub['status']['podIP']}:{port}/{path}"
        look = f"import httpx; print(httpx.get({address!r}, timeout=4, trust_env=False).status_code)"
        done = try_kubectl("exec", "-n", pods.namespace, "stranger", "--", "python3", "-c", look)
        assert done.returncode != 0, done.stdout
        assert "Timeout" in done.stderr
    kubectl("delete", "pod", "-n", pods.namespace, "stranger")


def test_hub_and_service_may_do_what_they_need_and_no_more(pods: PodSite) -> None:
    account = f"system:serviceaccount:{pods.namespace}:hub"

    def may(*question: str) -> bool:
        return try_kubectl("auth", "can-i", *question, f"--as={account}").stdout.strip() == "yes"

    assert may("watch", "nodes")
    assert may("watch", "pods", "-A")
    assert may("create", "pods", "-n", pods.namespace)
    assert not may("create", "pods", "-n", "default")
    assert not may("get", "secrets", "-n", pods.namespace)
    assert not may("update", "nodes")
