"""From nodes and pods to what is there and what is taken: tables, and that never more is free than there is."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlabhub.core.capacity import Capacity, Node
from mlabhub.core.gpu_types import GpuTypeSpec, with_types
from mlabhub.core.holdings import Holdings
from mlabhub.core.kubernetes import KubernetesSpec
from mlabhub.core.placement import free_rooms
from mlabhub.inventory.kube.nodes import CapacityMaker, type_of
from mlabhub.inventory.kube.quantities import parse_quantity
from mlabhub.inventory.kube.records import read_node, read_pod
from mlabhub.inventory.kube.servers import Ours
from tests.core.examples import make_request
from tests.kube_api import Json, make_node, make_pod, make_server_pod

OURS = Ours("0123abcd", "mlabhub")
SPEC = KubernetesSpec()


def capacity(nodes: list[Json], pods: list[Json] | None = None, spec: KubernetesSpec = SPEC) -> Capacity:
    return CapacityMaker().make(map(read_node, nodes), map(read_pod, pods or []), spec, OURS)


def only(nodes: list[Json], pods: list[Json] | None = None, spec: KubernetesSpec = SPEC) -> Node:
    (node,) = capacity(nodes, pods, spec).nodes
    return node


def words(node: Node) -> list[str]:
    return [str(note) for note in node.notes]


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("2", 2),
        ("250m", Fraction(1, 4)),
        ("0.5", Fraction(1, 2)),
        (".5", Fraction(1, 2)),
        ("1.", 1),
        ("24581692Ki", 24581692 * 1024),
        ("1Gi", 2**30),
        ("1.5Gi", 3 * 2**29),
        ("100M", 100_000_000),
        ("1e3", 1000),
        ("12E2", 1200),
        ("3E", 3 * 10**18),
        ("1Ei", 2**60),
        ("500n", Fraction(1, 2_000_000)),
        ("7u", Fraction(7, 10**6)),
        ("0", 0),
    ],
)
def test_quantities(text: str, amount: Any) -> None:
    assert parse_quantity(text) == amount


@pytest.mark.parametrize("text", ["", "x", "1 Gi", "1KiB", "--1", "1e3Ki", "1.2.3", "0x10", "١"])
def test_no_quantities(text: str) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        parse_quantity(text)


def test_a_node_with_gpus() -> None:
    node = only([make_node("n1", gpus=2, marks={"nvidia.com/gpu.memory": "81920"})])
    assert (node.cpu, node.memory_gib, node.schedulable, node.counted, node.notes) == (64, 512, True, True, ())
    assert [(gpu.uuid, gpu.type, gpu.name, gpu.memory_gib, gpu.index, gpu.usable) for gpu in node.gpus] == [
        ("n1/nvidia.com/gpu/0", "a100", "NVIDIA-A100-SXM4-80GB", 80.0, 0, True),
        ("n1/nvidia.com/gpu/1", "a100", "NVIDIA-A100-SXM4-80GB", 80.0, 1, True),
    ]
    assert node.gpus_taken == {}


MIG_PRODUCT = "NVIDIA-A100-SXM4-80GB-MIG-1g.10gb"


@pytest.mark.parametrize(
    ("product", "resource", "found"),
    [
        ("NVIDIA-A100-SXM4-80GB", "nvidia.com/gpu", ("a100", "")),
        ("Tesla-T4", "nvidia.com/gpu", ("t4", "")),
        ("Tesla-T4-SHARED", "nvidia.com/gpu", ("t4-shared", "")),
        ("NVIDIA-A100-SXM4-80GB", "nvidia.com/mig-1g.10gb", ("a100-1g.10gb", "1g.10gb")),
        ("NVIDIA-A100-SXM4-80GB", "nvidia.com/mig-3g.40gb", ("a100-3g.40gb", "3g.40gb")),
        (MIG_PRODUCT, "nvidia.com/gpu", ("a100-1g.10gb", "1g.10gb")),
        ("NVIDIA-H100-80GB-HBM3-MIG-1c.3g.40gb", "nvidia.com/gpu", ("h100-1c.3g.40gb", "1c.3g.40gb")),
        ("AMD-Instinct-MI300X", "amd.com/gpu", ("amd-instinct-mi300x", "")),
        ("", "nvidia.com/gpu", ("gpu", "")),
        ("", "nvidia.com/mig-1g.5gb", ("gpu-1g.5gb", "1g.5gb")),
    ],
)
def test_types(product: str, resource: str, found: tuple[str, str]) -> None:
    assert type_of(product, resource) == found


def test_slices_beside_whole_gpus() -> None:
    node = only([make_node("n1", gpus=1, resources={"nvidia.com/mig-1g.10gb": "2", "example.com/fpga": "9"})])
    assert {gpu.uuid: gpu.type for gpu in node.gpus} == {
        "n1/nvidia.com/gpu/0": "a100",
        "n1/nvidia.com/mig-1g.10gb/0": "a100-1g.10gb",
        "n1/nvidia.com/mig-1g.10gb/1": "a100-1g.10gb",
    }
    specs = {"big": GpuTypeSpec(products=("A100-SXM4-80GB",))}
    typed = with_types(Capacity((node,)), specs)
    assert [gpu.type for gpu in typed.nodes[0].gpus] == ["big", "big-1g.10gb", "big-1g.10gb"]


def test_two_vendors_have_each_their_own_label() -> None:
    marks = {"amd.com/gpu.product-name": "MI300X"}
    node = only([make_node("n1", gpus=1, product="Tesla-T4", resources={"amd.com/gpu": "1"}, marks=marks)])
    assert {gpu.uuid: gpu.name for gpu in node.gpus} == {
        "n1/nvidia.com/gpu/0": "Tesla-T4",
        "n1/amd.com/gpu/0": "MI300X",
    }


def test_what_others_take_follows_the_catalogues_types() -> None:
    node = only([make_node("n1", gpus=4)], [make_pod("a", requests={"nvidia.com/gpu": "3"}, namespace="ml")])
    typed = with_types(Capacity((node,)), {"big": GpuTypeSpec(products=("A100",))}).nodes[0]
    assert (typed.gpus_taken, typed.takers[0].gpus) == ({"big": 3}, {"big": 3})


def test_gpus_that_are_not_healthy_are_listed_and_not_handed_out() -> None:
    node = only([make_node("n1", gpus=3, sick=1)])
    assert [gpu.usable for gpu in node.gpus] == [True, True, True, False]
    assert "not healthy" in str(node.gpus[3].health[0])


CLOSED = [
    ({"cordoned": True}, ["It is cordoned: it takes no new servers until somebody uncordons it."]),
    ({"ready": "False", "reason": "KubeletNotReady"}, ["It is not ready (KubeletNotReady)."]),
    ({"ready": "Unknown", "reason": "NodeStatusUnknown"}, ["It does not answer any more (NodeStatusUnknown)."]),
    (
        {"taints": [{"key": "dedicated", "value": "ml", "effect": "NoSchedule"}]},
        ["It is tainted with dedicated=ml:NoSchedule."],
    ),
    ({"taints": [{"key": "drain", "effect": "NoExecute"}]}, ["It is tainted with drain:NoExecute."]),
    (
        {"cordoned": True, "taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]},
        ["It is cordoned: it takes no new servers until somebody uncordons it."],
    ),
]


@pytest.mark.parametrize(("about", "notes"), CLOSED)
def test_closed_nodes(about: dict[str, Any], notes: list[str]) -> None:
    node = only([make_node("n1", gpus=1, **about)])
    assert (node.schedulable, words(node)) == (False, notes)


def test_a_taint_that_only_discourages_closes_nothing() -> None:
    assert only([make_node("n1", taints=[{"key": "a", "effect": "PreferNoSchedule"}])]).schedulable


TAINT = [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        ({"key": "gpu", "operator": "Equal", "value": "yes"}, True),
        ({"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}, True),
        ({"key": "gpu", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "gpu", "value": "no"}, False),
        ({"key": "gpu"}, False),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_tolerations(toleration: dict[str, str], tolerated: bool) -> None:
    spec = KubernetesSpec.model_validate({"tolerations": [toleration]})
    assert only([make_node("n1", taints=TAINT)], spec=spec).schedulable is tolerated
    profile = KubernetesSpec.model_validate({"profiles": {"train": {"tolerations": [toleration]}}})
    node = only([make_node("n1", taints=TAINT)], spec=profile)
    assert (node.is_for("train"), node.is_for("other"), node.schedulable) == (tolerated, False, tolerated)


def test_a_node_for_one_profile() -> None:
    spec = KubernetesSpec.model_validate(
        {"profiles": {"train": {"tolerations": [{"key": "gpu", "operator": "Exists"}]}, "cpu": {}}}
    )
    found = capacity([make_node("n1", gpus=1, taints=TAINT), make_node("n2", gpus=1)], spec=spec)
    assert words(found.nodes[0]) == ["It is tainted with gpu=yes:NoSchedule.", "It is only for servers of train."]

    def places(profile: str) -> list[str]:
        request = make_request(gpus=1, gpu_type="a100", cpu=1, memory_gib=1, profile=profile)
        return [room.node.name for room in free_rooms(request, ["a100"], 1.0, Holdings(), found)]

    assert places("train") == ["n1", "n2"]
    assert places("cpu") == ["n2"]


def test_a_profile_that_must_not_go_everywhere() -> None:
    spec = KubernetesSpec.model_validate({"profiles": {"train": {"node_selector": {"pool": "gpu"}}}})
    nodes = capacity([make_node("n1", marks={"pool": "gpu"}), make_node("n2")], spec=spec).nodes
    assert [(node.is_for("train"), node.is_for("x"), words(node)) for node in nodes] == [
        (True, True, []),
        (False, True, ["It is not for servers of train."]),
    ]


def test_nodes_that_are_not_for_people_are_left_out_unless_somebody_is_there() -> None:
    spec = KubernetesSpec.model_validate({"node_selector": {"pool": "people"}})
    nodes = [make_node("n1", marks={"pool": "people"}), make_node("n2"), make_node("n3")]
    found = capacity(nodes, [make_server_pod("alice", node="n3"), make_pod("a", "n2")], spec).nodes
    assert [(node.name, node.schedulable) for node in found] == [("n1", True), ("n3", False)]


PODS: list[tuple[dict[str, Any], tuple[float, float, dict[str, int]]]] = [
    # a pod, and what is taken: CPU, GiB, GPUs
    ({"requests": {"cpu": "500m", "memory": "1Gi", "nvidia.com/gpu": "2"}}, (0.5, 1, {"a100": 2})),
    ({}, (0, 0, {})),
    ({"requests": {"cpu": "1"}, "phase": "Pending"}, (1, 0, {})),
    ({"requests": {"cpu": "1"}, "phase": "Unknown"}, (1, 0, {})),
    ({"requests": {"cpu": "1"}, "deletionTimestamp": "2026-01-01T00:00:00Z"}, (1, 0, {})),
    ({"requests": {"cpu": "1", "nvidia.com/gpu": "1"}, "phase": "Succeeded"}, (0, 0, {})),
    ({"requests": {"cpu": "1", "nvidia.com/gpu": "1"}, "phase": "Failed"}, (0, 0, {})),
    ({"requests": {"cpu": "1", "nvidia.com/gpu": "1"}, "node": ""}, (0, 0, {})),
    ({"requests": {"cpu": "1", "nvidia.com/gpu": "1"}, "node": "elsewhere"}, (0, 0, {})),
    (
        {
            "requests": {"cpu": "1", "memory": "2Gi"},
            "spec": {
                "initContainers": [{"name": "i", "resources": {"requests": {"cpu": "3", "memory": "1Gi"}}}],
                "overhead": {"cpu": "250m", "memory": "64Mi"},
            },
        },
        (3.25, 2.0625, {}),
    ),
    (
        {
            "requests": {"cpu": "1"},
            "spec": {
                "initContainers": [
                    {"name": "a", "resources": {"requests": {"cpu": "5"}}},
                    {"name": "side", "restartPolicy": "Always", "resources": {"requests": {"cpu": "2"}}},
                    {"name": "b", "resources": {"requests": {"cpu": "4"}}},
                ]
            },
        },
        (6, 0, {}),
    ),
    (
        {
            "requests": {"cpu": "3"},
            "spec": {
                "initContainers": [{"name": "side", "restartPolicy": "Always", "resources": {"requests": {"cpu": "2"}}}]
            },
        },
        (5, 0, {}),
    ),
    ({"requests": {"cpu": "1"}, "spec": {"resources": {"requests": {"cpu": "7"}}}}, (7, 0, {})),
    (
        {
            "requests": {"cpu": "2"},
            "status": {"containerStatuses": [{"name": "main", "allocatedResources": {"cpu": "6"}}]},
        },
        (6, 0, {}),
    ),
]


@pytest.mark.parametrize(("pod", "taken"), PODS)
def test_pods_of_others(pod: dict[str, Any], taken: tuple[float, float, dict[str, int]]) -> None:
    node = only([make_node("n1", gpus=4)], [make_pod("a", **{"node": "n1", **pod})])
    assert (node.cpu_taken, node.memory_gib_taken, node.gpus_taken) == taken
    assert (node.cpu, node.memory_gib, len(node.gpus)) == (64, 512, 4)


@pytest.mark.parametrize("owner", ["DaemonSet", "Node"])
def test_what_belongs_to_a_node_makes_it_smaller(owner: str) -> None:
    requests = {"cpu": "1", "memory": "2Gi", "nvidia.com/gpu": "1"}
    node = only([make_node("n1", gpus=4)], [make_pod("a", requests=requests, owner=owner)])
    assert (node.cpu, node.memory_gib, node.cpu_taken, node.gpus_taken) == (63, 510, 0, {"a100": 1})


def test_takers_are_told_by_namespace() -> None:
    one = {"nvidia.com/gpu": "1"}
    pods = [
        make_pod("a", namespace="ml-batch", requests=one),
        make_pod("b", namespace="ml-batch", requests=one),
        make_pod("c", namespace="other", requests=one),
        make_pod("d", namespace="nothing", requests={"cpu": "1"}),
    ]
    node = only([make_node("n1", gpus=4)], pods)
    assert [(taker.namespace, taker.gpus) for taker in node.takers] == [
        ("ml-batch", {"a100": 2}),
        ("other", {"a100": 1}),
    ]
    assert node.gpus_taken == {"a100": 3}


FORGED: list[tuple[str, dict[str, Any]]] = [
    ("another installation's", {"instance": "ffffffff"}),
    ("in another namespace", {"namespace": "others"}),
    ("under another name", {"name": "mlabhub-0123abcd-bob"}),
    ("not a server", {"part": "airlock"}),
]


def test_our_servers_are_counted_by_the_ledger_alone() -> None:
    node = only([make_node("n1", gpus=4)], [make_server_pod("alice", gpus=2)])
    assert (node.cpu_taken, node.memory_gib_taken, node.gpus_taken) == (0, 0, {})


@pytest.mark.parametrize(("what", "about"), FORGED, ids=[what for what, _ in FORGED])
def test_a_pod_that_only_looks_like_ours_is_somebody_elses(what: str, about: dict[str, Any]) -> None:
    pod = make_server_pod("alice", gpus=2, **about)
    assert not OURS.has(read_pod(pod))
    assert only([make_node("n1", gpus=4)], [pod]).gpus_taken == {"a100": 2}


def test_a_node_that_is_full_of_pods_takes_no_more() -> None:
    pods = [make_pod(str(number)) for number in range(3)]
    node = only([make_node("n1", pods="3")], pods)
    assert (node.schedulable, words(node)) == (False, ["It runs as many pods as it may (3)."])
    assert only([make_node("n1", pods="4")], pods).schedulable


def test_what_has_not_changed_stays_the_same_value() -> None:
    maker = CapacityMaker()
    nodes = [read_node(make_node(name, gpus=1)) for name in ("n2", "n1")]
    pods = [read_pod(make_pod("a", requests={"cpu": "1"}))]
    first = maker.make(nodes, pods, SPEC, OURS)
    assert [node.name for node in first.nodes] == ["n1", "n2"]
    assert maker.make(nodes, pods, SPEC, OURS) is first
    second = maker.make(nodes, [*pods, read_pod(make_pod("b", "n2", requests={"cpu": "1"}))], SPEC, OURS)
    assert second is not first
    assert second.nodes[0] is first.nodes[0]
    assert second.nodes[1] is not first.nodes[1]
    closed = KubernetesSpec.model_validate({"node_selector": {"a": "b"}})
    assert maker.make(nodes, pods, closed, OURS).nodes == ()


@st.composite
def clusters(draw: st.DrawFn) -> tuple[Json, list[Json]]:
    node = make_node("n1", gpus=draw(st.integers(0, 8)), cpu=f"{draw(st.integers(0, 9000))}m", memory="16Gi")
    pods = []
    for number in range(draw(st.integers(0, 6))):
        requests = {
            "cpu": f"{draw(st.integers(0, 4000))}m",
            "memory": f"{draw(st.integers(0, 2**33))}",
            "nvidia.com/gpu": str(draw(st.integers(0, 4))),
        }
        more: dict[str, Any] = {
            "phase": draw(st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown"])),
            "node": draw(st.sampled_from(["n1", "n1", "n1", "n2", ""])),
            "owner": draw(st.sampled_from(["", "DaemonSet"])),
        }
        pods.append(make_pod(str(number), requests=requests, **more))
    return node, pods


@given(clusters())
def test_never_more_is_free_than_there_is(cluster: tuple[Json, list[Json]]) -> None:
    raw, pods = cluster
    found = capacity([raw], pods)
    request = make_request(gpus=1, gpu_type="a100", cpu=1, memory_gib=1)
    rooms = list(free_rooms(request, ["a100"], 1.0, Holdings(), found))
    there = [pod for pod in pods if pod["spec"].get("nodeName") == "n1" and pod["status"]["phase"] not in OVER]
    left = {
        key: parse_quantity(raw["status"]["allocatable"].get(key, "0"))
        - sum(parse_quantity(pod["spec"]["containers"][0]["resources"]["requests"][key]) for pod in there)
        for key in ("cpu", "memory", "nvidia.com/gpu")
    }
    assert len(rooms) == 1
    assert len(rooms[0].gpus) <= max(0, left["nvidia.com/gpu"])
    assert Fraction(rooms[0].cpu, 1_000_000) <= max(0, left["cpu"]) + Fraction(1, 1_000_000)
    assert Fraction(rooms[0].memory, 1_000_000) <= max(0, left["memory"] / 2**30) + Fraction(2, 1_000_000)
    if left["nvidia.com/gpu"] > 0:
        assert len(rooms[0].gpus) == left["nvidia.com/gpu"], "what is free is free"


OVER = ("Succeeded", "Failed")
