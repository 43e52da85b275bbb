"""What a pod, as the cluster describes it, says about its server.

Guarantees: pure; total over what a cluster may answer; a pod that nobody can tell ended has not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlabhub.cluster import labels
from mlabhub.spawners.endings import Ending
from mlabhub.spawners.kube.manifest import CONTAINER

Pod = Mapping[str, Any]


def uid_of(pod: Pod) -> str:
    """Return what no two pods share, also of one name."""
    return str(pod["metadata"].get("uid", ""))


def launch_of(pod: Pod) -> str:
    """Return the label of the launch that a pod is of; empty for any other pod."""
    return str((pod["metadata"].get("labels") or {}).get(labels.LAUNCH, ""))


def node_of(pod: Pod) -> str:
    """Return the node that a pod is bound to; empty before that."""
    return str((pod.get("spec") or {}).get("nodeName") or "")


def is_leaving(pod: Pod) -> bool:
    """Whether somebody has asked for its end."""
    return bool(pod["metadata"].get("deletionTimestamp"))


def is_running(pod: Pod) -> bool:
    """Whether its container runs, at an address."""
    status = pod.get("status") or {}
    state = _container(pod).get("state") or {}
    return bool(status.get("phase") == "Running" and status.get("podIP") and "running" in state and not is_leaving(pod))


def ended(pod: Pod) -> str | None:
    """Return how a server ended; None while it runs, or will."""
    status = pod.get("status") or {}
    terminated = (_container(pod).get("state") or {}).get("terminated")
    if terminated:
        memory = ", out of memory" if terminated.get("reason") == "OOMKilled" else ""
        return f"exit code {terminated.get('exitCode')}{memory}"
    if status.get("phase") in ("Failed", "Succeeded"):
        return str(status.get("reason") or status["phase"])
    return None


def ending_of(pod: Pod) -> Ending | None:
    """Return how a server's process ended, if its pod still says."""
    terminated = (_container(pod).get("state") or {}).get("terminated")
    if not terminated or not isinstance(terminated.get("exitCode"), int):
        return None
    return Ending(terminated["exitCode"], terminated.get("reason") == "OOMKilled")


def _container(pod: Pod) -> Mapping[str, Any]:
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return next((status for status in statuses if status.get("name") == CONTAINER), {})
