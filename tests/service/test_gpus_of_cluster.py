"""`mlabhub gpus` on a cluster: slots, who holds them with which server, pods of others, closed and lost nodes."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from mlabhub.core.capacity import Capacity, Gpu, Node, Taker
from mlabhub.core.kubernetes import KubernetesSpec
from mlabhub.inventory.kube.nodes import CapacityMaker
from mlabhub.inventory.kube.records import read_node, read_pod
from mlabhub.inventory.kube.servers import Ours
from tests.core.examples import judge, make_request
from tests.kube_api import make_node, make_pod
from tests.service.conftest import Running
from tests.service.test_gpus import launch, run

SPEC = KubernetesSpec.model_validate({"profiles": {"gpu": {"tolerations": [{"key": "gpu", "operator": "Exists"}]}}})


def make_capacity() -> Capacity:
    """Return a cluster with one node of each kind."""
    nodes = [
        make_node("n1", gpus=4),
        make_node("n2", gpus=2, product="Tesla-T4", cordoned=True),
        make_node("n3", gpus=1, ready="Unknown", reason="NodeStatusUnknown"),
        make_node("n4", gpus=1, taints=[{"key": "gpu", "effect": "NoSchedule"}]),
    ]
    requests = {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "2"}
    pods = [make_pod("train", namespace="ml-batch", requests=requests)]
    return CapacityMaker().make(map(read_node, nodes), map(read_pod, pods), SPEC, Ours("cafe0123", "mlabhub"))


@pytest.fixture
def cluster(running: Running) -> Running:
    running.backend.nodes = make_capacity().nodes
    return running


async def test_all_that_an_administrator_sees(cluster: Running) -> None:
    await launch(cluster)
    shown = await run(cluster)
    assert shown.exit_code == 0, shown.output
    lines = [" ".join(line.split()) for line in shown.output.splitlines()]
    assert lines[0] == "n1: 60 of 64 CPU, 496 of 512 GiB memory, 2 of 4 GPUs free"
    text = " ".join(lines)
    for told in (
        "0 A100 ? ? held alice/Train_VGG (gpu) 0 min",
        "0 A100 ? ? free 1 A100 ? ? free",
        "2 A100 ? ? taken pods of others",
        "3 A100 ? ? taken pods of others",
        "Pods of others in the namespace ml-batch hold 2 A100.",
        "It is cordoned: it takes no new servers until somebody uncordons it.",
        "1 of 1 GPUs free; it takes no new servers",
        "It does not answer any more (NodeStatusUnknown).",
        "It is tainted with gpu:NoSchedule. It is only for servers of gpu.",
    ):
        assert told in text, text


async def test_what_others_see(cluster: Running) -> None:
    nodes = (await cluster.call("GET", "api/v1/gpus", "alice")).json()["nodes"]
    assert [gpu["taken"] for gpu in nodes[0]["gpus"]] == [False, False, True, True]
    assert (nodes[0]["gpus_taken"], nodes[0]["takers"], nodes[0]["counted"]) == ({"a100": 2}, [], True)
    assert nodes[2]["notes"] == ["It does not answer any more (NodeStatusUnknown)."]
    told = (await cluster.call("GET", "api/v1/gpus", "admin")).json()["nodes"][0]["takers"]
    assert told == [{"namespace": "ml-batch", "gpus": {"a100": 2}}]


SHORT = [
    ({"gpus": 3}, r"n1 2, n4 1\).* Pods that are not this hub's hold: n1 2 A100\."),
    ({"gpus": 3, "profile": "x"}, 'These are not for servers of the profile "x": n4. Pods that'),
    ({"gpus": 5}, "No machine has 5 A100: the most is 4, on n1"),
    ({"gpus": 1, "gpu_ids": ("n1/nvidia.com/gpu/1",)}, "the cluster decides ..n1/nvidia.com/gpu/1. was asked for"),
]


@pytest.mark.parametrize(("asked", "why"), SHORT)
def test_why_not(asked: dict[str, object], why: str) -> None:
    request = make_request(**{"gpu_type": "a100", "cpu": 1.0, "memory_gib": 1.0, "profile": "gpu", **asked})
    decision = judge(request, capacity=make_capacity())
    assert decision.verdict == "refuse"
    text = " ".join(str(reason.message) for reason in decision.reasons)
    assert re.search(why, text), text


def test_where_no_machine_is_for_a_profile() -> None:
    gpus = (Gpu("n1/nvidia.com/gpu/0", "a100", "n1", "A100"),)
    node = Node("n1", 8, 64, gpus, counted=True, for_all=False, exceptions=frozenset({"train"}))
    request = make_request(gpus=1, gpu_type="a100", cpu=1.0, memory_gib=1.0, profile="x")
    decision = judge(request, capacity=Capacity((node,)))
    assert decision.never
    assert 'No machine is for servers of the profile "x".' in str(decision.reasons[0].message)
    closed = replace(node, schedulable=False, takers=(Taker("a", {"a100": 1}),))
    train = make_request(gpus=1, gpu_type="a100", cpu=1.0, memory_gib=1.0, profile="train")
    told = judge(train, capacity=Capacity((closed,)))
    assert not told.never
    assert "No machine is ready to run servers. These take no new servers: n1." in str(told.reasons[0].message)
