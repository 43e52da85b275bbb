"""What a person reads of a launch: the hub's progress stream, and Home."""

from __future__ import annotations

import html
import json
import re
import time
from typing import Any

import httpx

from tests.cluster.kubectl import get
from tests.cluster.site import Site
from tests.installation import wait_for


def launch(site: Site, user: str, server: str = "", **user_options: Any) -> None:
    """Launch a server that will be admitted."""
    answer = site.launch(user, server, **user_options)
    assert answer.status_code == 201, answer.text


def follow(site: Site, user: str, server: str = "", seconds: float = 120) -> list[dict[str, Any]]:
    """Return all that the hub's progress stream says, until it says how the start ended."""
    path = f"hub/api/users/{user}/servers/{server}/progress" if server else f"hub/api/users/{user}/server/progress"
    told: list[dict[str, Any]] = []
    timeout = httpx.Timeout(30, read=seconds)
    with site.api(user) as client, client.stream("GET", path, timeout=timeout) as stream:
        assert stream.status_code == 200, stream.read()
        for line in stream.iter_lines():
            if line.startswith("data:"):
                told.append(json.loads(line.removeprefix("data:")))
                if told[-1].get("failed") or told[-1].get("ready"):
                    break
    return told


def messages(told: list[dict[str, Any]]) -> list[str]:
    """Return the sentences of a progress stream."""
    return [str(one["message"]) for one in told]


def failure(told: list[dict[str, Any]]) -> str:
    """Return the last sentence of a start that failed."""
    assert told[-1].get("failed"), told
    return str(told[-1]["message"])


def wait_told(site: Site, user: str, password: str, words: str, seconds: float = 60) -> None:
    """Wait until Home says why a server ended."""
    give_up = time.monotonic() + seconds
    with site.log_in(user, password) as client:
        while True:
            page = client.get("services/mlabhub/")
            assert page.status_code == 200, page.text[:500]
            seen = html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.text)))
            if words in seen:
                return
            assert time.monotonic() < give_up, f"Home does not say {words!r}: {seen[:3000]}"
            time.sleep(1)


def wait_agreed(site: Site, seconds: float = 120) -> None:
    """Wait until hub, cluster and ledger agree that nothing runs."""

    def agreed() -> bool:
        with site.api(site.first_admin()[0]) as client:
            users = client.get("hub/api/users", params={"state": "active"}).json()
        return site.is_clean() and not users

    wait_for(agreed, seconds, f"hub, cluster and ledger agree: {site.reservations()} {list(site.pods())}")


def nodes() -> list[str]:
    """Return the names of all nodes that take everybody's pods."""
    closed = ("unschedulable", "taints")
    return [node["metadata"]["name"] for node in get("nodes") if not any(node["spec"].get(one) for one in closed)]


def make_pod(name: str, namespace: str, node: str, gpus: int = 0, **spec: Any) -> dict[str, Any]:
    """Return a pod of somebody else on a node: it was put there, nobody asks the scheduler."""
    security = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "runAsUser": 65534,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container: dict[str, Any] = {
        "name": "foreign",
        "image": "localhost/mlabhub/base:latest",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "600"],
        "securityContext": security,
    }
    if gpus:
        container["resources"] = {"limits": {"nvidia.com/gpu": str(gpus)}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"t": "foreign"}},
        "spec": {"nodeName": node, "containers": [container], "terminationGracePeriodSeconds": 1, **spec},
    }
