"""What a pod, as the cluster describes it, says about its server.

Guarantees: pure; total over what a cluster may answer; a pod that nobody can tell ended has not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlabhub.messages import N_, Message
from mlabhub.spawners.kube.manifest import CONTAINER
from mlabhub.spawners.kube.pods import Container, PodView, at

Pod = Mapping[str, Any]


def uid_of(pod: Pod) -> str:
    """Return what no two pods share, also of one name."""
    return PodView(pod).uid


def is_gone(uid: str, known: Pod | None, last: Pod | None) -> bool | None:
    """Return whether that very pod is gone, as a watch tells it; None where the watch says nothing of it.

    ``known`` is the pod of its name that there is, ``last`` the one that there was last: of a pod that a watch has not
    told of yet, or of which an earlier one has the name, it cannot tell that it went.
    """
    if known is not None:
        return False if uid_of(known) == uid else None
    return True if last is not None and uid_of(last) == uid else None


def is_running(pod: Pod) -> bool:
    """Whether its server runs, at an address, and nobody has asked for its end."""
    view, server = PodView(pod), _server(pod)
    has_address = bool(at(pod, "status", "podIP"))
    return view.phase == "Running" and has_address and not view.ending and server is not None and server.running


def ended(pod: Pod) -> str | None:
    """Return how a server ended, for the log; None while it runs, or will."""
    view, server = PodView(pod), _server(pod)
    terminated = at(server.status, "state", "terminated") if server is not None else None
    if terminated:
        memory = ", out of memory" if at(terminated, "reason") == "OOMKilled" else ""
        return f"exit code {at(terminated, 'exitCode')}{memory}"
    return view.reason or view.phase if view.phase in ("Failed", "Succeeded") else None


def still_there(pod: Pod) -> Message:
    """Return the sentence for a pod that does not go."""
    return Message.of(
        N_(
            "The server was told to end, and has not: its node {node} does not say that it is gone. Its place is kept "
            "until the node answers or an administrator removes it from the cluster."
        ),
        node=PodView(pod).node or "-",
    )


def _server(pod: Pod) -> Container | None:
    return next((one for one in PodView(pod).containers if one.name == CONTAINER and not one.initial), None)
