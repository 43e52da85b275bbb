"""Hub, proxy and service as pods of the cluster: the images built here, as helm-values/base.yaml has them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.kubectl import kubectl, try_kubectl
from tests.cluster.pod_site import PodSite, make_values, start_pod_site
from tests.installation import wait_for


@pytest.fixture(scope="module")
def pods(kubeconfig: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PodSite]:
    """Return a hub in pods."""
    site = start_pod_site(tmp_path_factory.mktemp("pods"), make_values())
    try:
        yield site
    finally:
        site.close()


def test_a_person_starts_a_server_writes_and_stops(pods: PodSite) -> None:
    password = pods.add_user("alice", "vision")
    with pods.log_in("alice", password) as session:
        page = session.get("services/mlabhub/")
        assert page.status_code == 200
        assert "CPU workbench" in page.text
    pod = pods.start_server("alice", profile="cpu")
    assert pod["metadata"]["namespace"] == pods.namespace
    assert "written" in pods.run_code(
        "alice", "open('/mnt/user/alice/kept', 'w').write('a'); print('written', __import__('os').getuid())"
    )
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


def test_configuration_is_in_force_without_a_restart(pods: PodSite) -> None:
    """Kubernetes brings a changed ConfigMap into the pod within its own time: some 60 to 90 s."""
    before = pods.hub_pod()["metadata"]["uid"]
    quotas = "users:\n  default: {servers: 0}\n"
    kubectl("create", "configmap", "mlabhub-config", "-n", pods.namespace, f"--from-literal=quotas.yaml={quotas}")
    pods.add_user("carol")
    try:
        wait_for(lambda: pods.launch("carol", "probe", profile="nothing").status_code == 422, 5, "answers")
        kubectl("rollout", "restart", "-n", pods.namespace, "deploy/hub")
        kubectl("rollout", "status", "-n", pods.namespace, "deploy/hub", "--timeout=120s", seconds=150)
    finally:
        assert before
    answer = pods.launch("carol", profile="cpu")
    assert answer.status_code == 403, answer.text


def test_nobody_but_the_proxy_reaches_the_service(pods: PodSite) -> None:
    """A pod of the namespace without the proxy's labels, as a person's server is one."""
    address = pods.hub_pod()["status"]["podIP"]
    kubectl(
        "run",
        "stranger",
        "-n",
        pods.namespace,
        f"--image={pods.hub_pod()['spec']['containers'][0]['image']}",
        "--image-pull-policy=IfNotPresent",
        "--restart=Never",
        "--command",
        "--",
        "sleep",
        "300",
    )
    kubectl("wait", "-n", pods.namespace, "pod/stranger", "--for=condition=Ready", "--timeout=60s", seconds=70)
    look = f"import httpx; print(httpx.get('http://{address}:8090/alive', timeout=4, trust_env=False).status_code)"
    try:
        done = try_kubectl("exec", "-n", pods.namespace, "stranger", "--", "python3", "-c", look)
        assert done.returncode != 0, done.stdout
        assert "Timeout" in done.stderr
    finally:
        kubectl("delete", "pod", "-n", pods.namespace, "stranger", "--grace-period=0", "--force")


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
