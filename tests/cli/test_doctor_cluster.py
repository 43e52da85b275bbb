"""What doctor makes of what it finds on a cluster; the finding itself is tried in tests/cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from mlabhub.cli.doctor_cluster import (
    Node,
    Right,
    assess_claim,
    assess_classes,
    assess_gpus,
    assess_probes,
    assess_prometheus,
    assess_rights,
    assess_site_rights,
    assess_version,
    wanted_rights,
)
from mlabhub.cli.findings import Check
from mlabhub.cluster.chart import SITE_RULES
from mlabhub.cluster.probe import Told, Wanted, get_probe_manifest
from mlabhub.core.kubernetes import KubernetesSpec

SPEC = KubernetesSpec()
PRODUCT = "nvidia.com/gpu.product"


def node(name: str, gpus: Mapping[str, int], *, takes_pods: bool = True, **labels: str) -> Node:
    """Return a node."""
    return Node(name, gpus, {key.replace("__", "/"): value for key, value in labels.items()}, frozenset(), takes_pods)


@pytest.mark.parametrize(
    ("version", "status"), [("v1.34.4", "ok"), ("v1.25.0+k3s1", "ok"), ("v1.24.17", "missing"), ("v0.0.0", "ok")]
)
def test_old_clusters_are_too_old(version: str, status: str) -> None:
    found = assess_version(version, "context lab")
    assert (found.status, found.found) == (status, f"Kubernetes {version}, context lab")
    assert bool(found.fix) == (status == "missing")


def test_rights_are_named_one_by_one() -> None:
    rules = [{"apiGroups": ["", "apps"], "resources": ["pods"], "verbs": ["get", "list"]}]
    rights = tuple(wanted_rights(rules, "lab"))
    assert [str(right) for right in rights] == [
        "get pods in lab",
        "list pods in lab",
        "get pods.apps in lab",
        "list pods.apps in lab",
    ]
    assert str(Right("list", "", "nodes")) == "list nodes"
    assert assess_rights(()).status == "ok"
    lacking = assess_rights(rights)
    assert lacking.status == "missing"
    assert lacking.found == "it may not get pods in lab, list pods in lab, get pods.apps in lab and 1 more"
    assert "docs/how-to/kubernetes.md" in lacking.fix


def test_the_sites_files_take_rights_of_their_own() -> None:
    rights = tuple(wanted_rights(SITE_RULES, "lab"))
    assert assess_site_rights(()).status == "ok"
    lacking = assess_site_rights(rights)
    assert lacking.status == "missing"
    assert lacking.found == "servers get none: it may not create configmaps in lab, patch configmaps in lab"


@pytest.mark.parametrize(
    ("phase", "mode", "status", "said"),
    [
        pytest.param("Bound", "Immediate", "ok", "bound to pv-1", id="bound"),
        pytest.param("Pending", "WaitForFirstConsumer", "ok", "with the first server that mounts it", id="waits"),
        pytest.param("Pending", "Immediate", "missing", "is Pending", id="pending"),
        pytest.param("Pending", "", "info", "is Pending", id="of-a-class-that-is-not-known"),
        pytest.param("Lost", "WaitForFirstConsumer", "missing", "is Lost", id="lost"),
        pytest.param("Lost", "", "missing", "is Lost", id="lost-of-any-class"),
    ],
)
def test_a_claim_that_waits_for_its_first_server_lacks_nothing(phase: str, mode: str, status: str, said: str) -> None:
    found = assess_claim("nas", "lab", phase, volume="pv-1", mode=mode)
    assert found.status == status
    assert said in found.found
    assert ("kubectl describe pvc nas -n lab" in found.fix) == (status != "ok")


def test_gpus_by_product() -> None:
    nodes = [
        Node("n1", {"nvidia.com/gpu": 4}, {PRODUCT: "A100"}, frozenset(), True),
        Node("n2", {"nvidia.com/mig-1g.5gb": 7, "example.com/nic": 2}, {PRODUCT: "A100"}, frozenset(), True),
        Node("n3", {}, {}, frozenset(), True),
    ]
    assert assess_gpus(nodes, SPEC) == Check("GPUs", "ok", "11 A100")
    assert assess_gpus([node("n3", {})], SPEC).status == "info"
    unnamed = assess_gpus([node("n1", {"nvidia.com/gpu": 4})], SPEC)
    assert (unnamed.status, unnamed.found) == ("missing", "no label says which GPUs n1 has")
    assert f"kubectl label node n1 {PRODUCT}=" in unnamed.fix


def test_nodes_that_are_all_left_out() -> None:
    found = assess_gpus([node("n1", {}, takes_pods=False)], SPEC)
    assert (found.status, found.found) == ("missing", "none of 1 takes people's servers")
    assert assess_gpus([], SPEC).status == "missing"


@pytest.mark.parametrize(
    ("wanted", "there", "usual", "status", "words"),
    [
        ([], ["local-path"], ["local-path"], "info", "default: local-path"),
        ([None], ["local-path"], ["local-path"], "ok", "default: local-path"),
        ([None], ["rbd"], [], "missing", "no default one"),
        (["rbd"], ["local-path"], ["local-path"], "missing", "there is no rbd"),
        (["rbd"], ["rbd"], [], "ok", "no default one"),
    ],
)
def test_storage_classes(wanted: list[str | None], there: list[str], usual: list[str], status: str, words: str) -> None:
    found = assess_classes(wanted, there, usual)
    assert found.status == status
    assert words in found.found
    assert bool(found.fix) == (status == "missing")


FINE = Told("n1", False, "", True, "", "")
CLOSED = Told("n1", True, "", True, "", "no answer")


def status_of(*told: Told) -> dict[str, tuple[str, str]]:
    """Return the findings by name."""
    checks = assess_probes(told, "lab/base", "10.0.0.1:8000")
    return {check.name: (check.status, check.found) for check in checks}


def test_all_is_well() -> None:
    assert status_of(FINE, CLOSED) == {
        "image base": ("ok", "lab/base starts on n1"),
        "pods reached from here": ("ok", "n1"),
        "hub reached from pods": ("ok", "10.0.0.1:8000"),
        "network policies": ("ok", "enforced"),
    }


@pytest.mark.parametrize(
    ("told", "name", "status", "words"),
    [
        ([Told("n1", False, "ErrImagePull: not\nfound")], "image base", "missing", "on n1: ErrImagePull: not found"),
        ([Told("n1", False, "x")], "network policies", "info", "not known"),
        ([Told("n2", False, "", False, "", ""), CLOSED], "pods reached from here", "missing", "not those on n2"),
        ([FINE, Told("n1", True, "", False, "", "no")], "pods reached from here", "missing", "our network policies"),
        ([Told("n1", False, "", True, "no answer", "")], "hub reached from pods", "missing", "from n1: no answer"),
        ([FINE, Told("n1", True, "", True, "no", "no")], "hub reached from pods", "missing", "through our network"),
        ([FINE, Told("n1", True, "", True, "", "")], "network policies", "better", "not enforced"),
        ([FINE], "network policies", "info", "may not apply"),
        ([Told("n1", False, "", True)], "hub reached from pods", "info", "may read no logs"),
        ([FINE, Told("n1", True, "", True)], "network policies", "info", "may read no logs"),
        ([Told("n1", False, "", True, "", "no"), CLOSED], "network policies", "info", "no pod reaches"),
    ],
)
def test_what_is_broken_is_named(told: list[Told], name: str, status: str, words: str) -> None:
    found = status_of(*told)[name]
    assert found[0] == status
    assert words in found[1]


def test_a_probe_is_made_to_the_restricted_standard() -> None:
    wanted = Wanted("lab", "reg/base:latest", "10.0.0.1", 8000, KubernetesSpec(pull_secrets=("cred",)))
    pod: dict[str, Any] = get_probe_manifest(wanted, name="p", instance="i", node="n1", closed=True)
    assert pod["metadata"] == {
        "name": "p",
        "namespace": "lab",
        "labels": {"mlabhub/instance": "i", "mlabhub/part": "server"},
    }
    [container] = pod["spec"].pop("containers")
    assert pod["spec"] == {
        "nodeName": "n1",
        "restartPolicy": "Never",
        "activeDeadlineSeconds": 120,
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "imagePullSecrets": [{"name": "cred"}],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65534,
            "runAsGroup": 65534,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    assert "$(" not in container["command"][-1], "the kubelet would expand it"
    assert {key: container[key] for key in ("image", "imagePullPolicy", "args", "securityContext")} == {
        "image": "reg/base:latest",
        "imagePullPolicy": "IfNotPresent",
        "args": ["10.0.0.1", "8000", "6.0"],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    open_one = get_probe_manifest(wanted, name="p", instance="i", node="n1", closed=False)
    assert open_one["metadata"]["labels"] == {"mlabhub/part": "probe"}, "no policy selects it"


def test_without_a_prometheus_nothing_is_known() -> None:
    assert assess_prometheus(SPEC).status == "better"
    named = KubernetesSpec.model_validate({"prometheus": {"url": "http://prometheus.monitoring:9090"}})
    assert assess_prometheus(named).status == "info"
