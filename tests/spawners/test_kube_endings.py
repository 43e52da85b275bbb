"""Why a pod has ended, as a real cluster told of it."""

from __future__ import annotations

from typing import Any

import pytest

from mlabhub.spawners.endings import say_ending
from mlabhub.spawners.kube.endings import DELETED, ending_of, ending_when_gone
from tests.spawners.kube_recorded import last, looks


def said(name: str) -> str:
    """Return how the end of a recorded pod is told; empty if it has none."""
    look = last(name)
    ending = ending_of(look.pod, look.events)
    return str(say_ending(ending)) if ending else ""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("oom", "It used more than the 32 MiB of memory that it has"),
        ("init-oom", "It used more than the 32 MiB of memory that it has"),
        ("crash", "a fault of its own (exit status 3)"),
        ("ended-well", "shut down from inside"),
        ("startup-fails", "from outside of the hub (signal 9)"),
        ("evicted-api", "It was taken off its node node2"),
        ("evicted-emptydir", "It wrote more than 1Mi into its folder /x"),
        ("evicted-ephemeral", "It wrote more than 1Mi outside of its mounted folders"),
        ("preempted", "something of higher priority"),
        ("deleted", "It was deleted on the cluster, not by this hub"),
        ("deadline", "It ran for longer than the cluster lets it"),
        ("admission-gpu", "did not have the GPUs that the cluster had counted on"),
        ("admission-cpu", "no more room for it (cpu)"),
        ("admission-affinity", "no longer of the kind that it needs"),
        ("entry-missing", "The image has no program /opt/mlabhub/entry, which starts the server."),
        ("well", ""),
        ("no-gpu", ""),
        ("image-missing", ""),
        ("mount-nfs", ""),
        ("not-ready", ""),
    ],
)
def test_endings(name: str, words: str) -> None:
    assert words in said(name)
    assert bool(words) == bool(said(name))


def pod(node: str = "node1", **status: Any) -> dict[str, Any]:
    """Return a pod that the shared cluster cannot show, as Kubernetes' sources say that it looks."""
    return {"metadata": {"name": "p", "uid": "u"}, "spec": {"nodeName": node}, "status": {"phase": "Failed", **status}}


@pytest.mark.parametrize(("code", "words"), [(0, "deleted"), (143, "deleted"), (137, "deleted"), (3, "status 3")])
def test_a_process_that_was_told_to_end_with_its_pod(code: int, words: str) -> None:
    terminated = {"exitCode": code, "reason": "Completed" if code == 0 else "Error"}
    ended = pod(containerStatuses=[{"name": "notebook", "state": {"terminated": terminated}}])
    ended["spec"]["containers"] = [{"name": "notebook"}]
    ended["metadata"]["deletionTimestamp"] = "2026-11-26T19:00:00Z"
    ending = ending_of(ended)
    assert ending is not None
    assert words in str(say_ending(ending))


def disrupted(reason: str, message: str = "") -> dict[str, Any]:
    return pod(conditions=[{"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}])


LOW = "The node was low on resource: {}. Threshold quantity: 100Mi, available: 80Mi. Container notebook was using 8Gi."


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (pod(reason="Evicted", message=LOW.format("memory")), "Its node node1 ran short of memory"),
        (pod(reason="Evicted", message=LOW.format("ephemeral-storage")), "Its node node1 ran short of disk"),
        (pod(reason="Evicted", message=LOW.format("pids")), "ran short of process numbers"),
        (pod(reason="Evicted", message="Something\nnew"), "The cluster ended it: Something new."),
        (
            pod(reason="Evicted", message='Container notebook exceeded its local ephemeral storage limit "2Gi". '),
            "It wrote more than 2Gi outside",
        ),
        (pod(reason="NodeLost"), "Its node node1 no longer answered"),
        (
            pod(reason="Terminated", message="Pod was terminated in response to imminent node shutdown."),
            "was shut down",
        ),
        (disrupted("DeletionByTaintManager"), "Its node node1 no longer answered"),
        (disrupted("DeletionByPodGC"), "Its node node1 is no longer part of the cluster"),
        (disrupted("TerminationByKubelet", LOW.format("memory")), "ran short of memory"),
        (disrupted("SomethingNew", "for a reason"), "The cluster ended it: for a reason."),
    ],
)
def test_what_the_shared_cluster_cannot_show(data: dict[str, Any], words: str) -> None:
    ending = ending_of(data)
    assert ending is not None
    assert words in str(say_ending(ending))


def test_one_that_is_gone_was_ended_as_was_seen_last() -> None:
    evicted = last("evicted-api")
    assert "taken off its node" in str(say_ending(ending_when_gone(evicted.pod, evicted.events)))
    running = [look for look in looks("deleted") if "deletionTimestamp" not in look.pod["metadata"]][-1]
    assert ending_when_gone(running.pod).why == DELETED
    assert ending_when_gone(None).why == DELETED


def test_events_tell_of_one_that_is_gone() -> None:
    seen_running = pod(phase="Running")
    events = [{"reason": "Evicted", "message": LOW.format("memory"), "involvedObject": {"name": "p"}}]
    gone = {**seen_running, "metadata": {"name": "p", "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    assert "ran short of memory" in str(say_ending(ending_when_gone(gone, events)))


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"exitCode": 143, "reason": "Error"}, "It was deleted on the cluster"),
        ({"exitCode": 137, "reason": "Error"}, "It was deleted on the cluster"),
        ({"exitCode": 0, "reason": "Completed"}, "It was deleted on the cluster"),
        ({"exitCode": 137, "reason": "OOMKilled"}, "It used more memory than it has"),
        ({"exitCode": 1, "reason": "Error"}, "a fault of its own (exit status 1)"),
    ],
)
def test_one_that_was_deleted_ended_as_it_was_told(state: dict[str, Any], words: str) -> None:
    status = {"name": "notebook", "state": {"terminated": state}, "restartCount": 0}
    data = pod(phase="Failed", containerStatuses=[status])
    data["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    data["spec"]["containers"] = [{"name": "notebook"}]
    assert words in str(say_ending(ending_when_gone(data)))


def test_events_of_an_earlier_pod_tell_nothing() -> None:
    events = [{"reason": "Evicted", "message": LOW.format("memory"), "involvedObject": {"name": "p", "uid": "earlier"}}]
    gone = {"metadata": {"name": "p", "uid": "u", "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    assert ending_when_gone(gone, events).why == DELETED
    assert ending_when_gone(None, events).why == DELETED


def test_a_node_that_came_back_ends_nothing() -> None:
    running = {"name": "notebook", "state": {"running": {}}, "restartCount": 0}
    data = pod(phase="Running", containerStatuses=[running])
    data["spec"]["containers"] = [{"name": "notebook"}]
    assert ending_of(data, [{"reason": "NodeNotReady", "message": "Node is not ready"}]) is None
    cancelled = {"reason": "TaintManagerEviction", "message": "Cancelling deletion of Pod a/p"}
    assert ending_of(data, [cancelled]) is None


@pytest.mark.parametrize("broken", [{}, {"status": None}, {"status": {"conditions": "x", "reason": 3}}])
def test_a_pod_that_is_not_as_it_should_be_has_no_ending(broken: dict[str, Any]) -> None:
    assert ending_of(broken) is None
