"""The rights that the hub gets: each is used by what it does all day, and none is missing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from mlabhub.cluster.chart import CLUSTER_RULES, NAMESPACE_RULES, SERVICE_ACCOUNT, get_rbac_manifests
from tests.cluster.kubectl import create, kubectl, try_kubectl
from tests.cluster.recorder import Call, Recorder, read_call
from tests.cluster.site import CLAIM, Site, make_nas, make_site
from tests.cluster.words import failure, follow, launch
from tests.installation import wait_for

Right = tuple[str, str, str]
"""Verb, API group, resource."""
BREAK = """
from pathlib import Path
file = Path.home() / ".jupyter/jupyter_server_config.py"
file.parent.mkdir(exist_ok=True)
file.write_text("import os; print('no more today', flush=True); os._exit(3)")
"""
"""Run in a server: the next one ends before it answers."""


def rights(rules: Iterable[dict[str, Any]]) -> set[Right]:
    return {
        (verb, group, resource)
        for rule in rules
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


@pytest.fixture(scope="module")
def recorder(kubeconfig: str) -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    recorder.close()


@pytest.fixture(scope="module")
def narrow_site(recorder: Recorder, nas: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A hub with the chart's rights alone: homes are claims of its own, groups' folders are on the NAS."""
    folder = tmp_path_factory.mktemp("rights")
    kubeconfig = folder / "recorded.kubeconfig"
    site = make_site(folder, nas, name="rights", arguments=("--kubeconfig", str(kubeconfig)))
    user, share = f"{site.nas}/user", f"{site.nas}/share"
    volumes = [{"folder": share, "claim": CLAIM}, {"folder": user, "claim_per_folder": {"size_gib": 1}}]
    (folder / "config/kubernetes.yaml").write_text(json.dumps({"volumes": volumes, "make_folders": "hub"}))
    try:
        kubectl("create", "namespace", site.namespace)
        kubectl("label", "namespace", site.namespace, "pod-security.kubernetes.io/enforce=restricted")
        kubectl("create", "serviceaccount", SERVICE_ACCOUNT, "-n", site.namespace)
        create(*get_rbac_manifests(site.namespace))
        make_nas(site.namespace, site.nas)
        token = kubectl("create", "token", SERVICE_ACCOUNT, "-n", site.namespace, "--duration=2h").strip()
        recorder.write_kubeconfig(folder, token)
        site.start()
        yield site
    finally:
        site.close()
        for kind in ("clusterrole", "clusterrolebinding"):
            try_kubectl("delete", kind, f"mlabhub-{site.namespace}", "--ignore-not-found")


def live_a_day(site: Site) -> None:
    """Do what people and clusters do."""
    site.add_user("alice", "vision")
    site.start_server("alice", profile="cpu")
    assert "42" in site.run_code("alice", "print(6 * 7)")
    site.stop_server("alice")
    site.start_server("alice", profile="cpu")
    kubectl("delete", "pod", site.pod_name("alice"), "-n", site.namespace, "--grace-period=1")
    wait_for(lambda: not site.reservations(), 60, "the deleted pod's reservation is given back")
    site.start_server("alice", profile="cpu")
    kill = ("pkill", "-KILL", "-f", "[j]upyterhub-singleuser")
    kubectl("exec", "-n", site.namespace, site.pod_name("alice"), "--", *kill)
    wait_for(lambda: not site.reservations(), 60, "the crashed server's reservation is given back")
    site.start_server("alice", profile="cpu")
    leave_an_orphan(site)
    site.run_code("alice", BREAK)
    site.stop_server("alice")
    launch(site, "alice", "second", profile="cpu")
    assert "no more today" in failure(follow(site, "alice", "second"))
    site.wait_clean(120)
    with site.api(site.first_admin()[0]) as client:
        for path in ("hub/api/users/alice/servers/second", "hub/api/users/alice"):
            answer = client.request("DELETE", path, json={"remove": True})
            assert answer.status_code == 204, answer.text


def leave_an_orphan(site: Site) -> None:
    """Make a pod of ours that hub and ledger know nothing of: the service removes it."""
    pod = site.pod("alice")
    assert pod is not None
    metadata, spec = pod["metadata"], pod["spec"]
    orphan = {
        "name": site.pod_name("bob"),
        "namespace": site.namespace,
        "labels": {**metadata["labels"], "mlabhub/launch": "01ORPHAN"},
        "annotations": {**metadata["annotations"], "mlabhub/launch-id": "01ORPHAN", "mlabhub/user": "bob"},
    }
    kept = {key: value for key, value in spec.items() if key not in ("nodeName", "priority", "volumes")}
    kept["containers"] = [{**spec["containers"][0], "volumeMounts": []}]
    create({"apiVersion": "v1", "kind": "Pod", "metadata": orphan, "spec": kept})


def since_boot(pid: int) -> float:
    """Return when a process was started, in seconds since the machine was."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return int(ticks) / os.sysconf("SC_CLK_TCK")


def calls_of_hub_and_service(recorder: Recorder, site: Site) -> list[Call]:
    """Return what they asked. What `mlabhub up` sets up before it starts them is not of a chart's hub."""
    assert site.process is not None
    children = psutil.Process(site.process.pid).children()
    started = min(since_boot(child.pid) for child in children)
    return [call for call in recorder.calls if call.asked >= started]


def test_every_right_is_used_and_none_is_missing(recorder: Recorder, narrow_site: Site) -> None:
    live_a_day(narrow_site)
    calls = calls_of_hub_and_service(recorder, narrow_site)
    assert {call for call in calls if call.status in (401, 403)} == set()
    wide = {(call.verb, call.group, call.resource) for call in calls if not call.namespace}
    inside = {(call.verb, call.group, call.resource) for call in calls if call.namespace == narrow_site.namespace}
    assert {call.namespace for call in calls} == {"", narrow_site.namespace}
    assert rights(CLUSTER_RULES) == wide, "used on the whole cluster"
    assert rights(NAMESPACE_RULES) == inside, "used in the namespace"


def test_calls_are_read_as_the_cluster_reads_them() -> None:
    assert read_call("GET", "/api/v1/nodes", {}, 200) == Call("list", "", "nodes", "", 200)
    assert read_call("GET", "/api/v1/namespaces/x", {}, 200) == Call("get", "", "namespaces", "", 200)
    assert read_call("GET", "/api/v1/namespaces/x/pods", {"watch": "1"}, 200) == Call("watch", "", "pods", "x", 200)
    assert read_call("DELETE", "/api/v1/namespaces/x/pods/y", {}, 200) == Call("delete", "", "pods", "x", 200)
    assert read_call("GET", "/api/v1/namespaces/x/pods/y/log", {}, 200) == Call("get", "", "pods/log", "x", 200)
    policy = "/apis/networking.k8s.io/v1/namespaces/x/networkpolicies/y"
    assert read_call("PATCH", policy, {}, 403) == Call("patch", "networking.k8s.io", "networkpolicies", "x", 403)
    assert read_call("GET", "/version", {}, 200) is None
