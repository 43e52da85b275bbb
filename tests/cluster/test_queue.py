"""The queue on a real cluster: what waits starts where there is room; the ledger follows the scheduler, and not it us.

These tests cordon and taint a node for some seconds, so nothing else runs meanwhile.
"""

from __future__ import annotations

import contextlib
import functools
import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from mlabhub.cluster import labels
from tests.cluster.kubectl import create, get, kubectl
from tests.cluster.site import T4, Site, make_site, start_site
from tests.cluster.words import make_pod
from tests.installation import wait_for

pytestmark = [pytest.mark.alone, pytest.mark.timeout(200)]
API = "services/mlabhub/api/v1/"
ALL = 4
"""So many GPUs each of the two nodes has."""
NOTICE_S = 12
ROUND_S, SOON_S = 5, 15
"""How often it is looked at what there is while somebody waits; within what time a pod is made for whose turn it is."""
SMALL = {"images": ["base"], "cpu": 1, "memory_gib": 1}
GPUS = {**SMALL, "gpus": [1, ALL], "gpu_types": ["any"]}
PROFILES = {
    "cpu": {"display_name": "CPU", **SMALL},
    "gpu": {"display_name": "GPU", **GPUS},
    "lent": {"display_name": "Lent", **GPUS, "notice_seconds": NOTICE_S},
}
QUOTAS = {
    "groups": {"vision": {"guaranteed": {"gpu:t4": ALL}}, "nlp": {"limit": {"gpu": 2 * ALL}}},
    "users": {"default": {"gpu": 2 * ALL}},
    "notice_seconds": 600,
}
WHOLE_NODE = {"gpus": ALL, "gpu_type": T4}


@pytest.fixture(scope="module")
def site(kubeconfig: str, nas: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a hub with three people: vera is of the group with a guarantee."""
    files = {"profiles.yaml": json.dumps({"profiles": PROFILES}), "quotas.yaml": json.dumps(QUOTAS)}
    folder = tmp_path_factory.mktemp("queue")
    site = make_site(folder, nas, kubernetes={"unschedulable_seconds": 8}, files=files, name="queue")
    start_site(site)
    try:
        for name, group in (("ann", "nlp"), ("ben", "nlp"), ("vera", "vision")):
            site.add_user(name, group)
        yield site
    finally:
        site.close()


@pytest.fixture(autouse=True)
def nothing_there(site: Site) -> None:
    """Begin with nobody who waits, and with no server."""
    admin = site.first_admin()[0]
    for entry in ask(site, admin, "queue")["entries"]:
        with site.api(admin) as client:
            client.delete(f"{API}launches/{entry['launch_id']}")
    site.stop_all()


def ask(site: Site, user: str, what: str) -> Any:
    """Return what the API says to somebody."""
    with site.api(user) as client:
        return client.get(API + what).raise_for_status().json()


def queue_for(site: Site, user: str, **user_options: Any) -> dict[str, Any]:
    """Ask for what does not start now, and return the answer: it waits."""
    body = {"server_name": "", "display_name": "", "user_options": user_options, "queue": True}
    with site.api(user) as client:
        answer = client.post(API + "launches", json=body)
    assert answer.status_code == 202, answer.text
    told: dict[str, Any] = answer.json()
    assert told["state"] == "queued"
    return told


def said(entry: dict[str, Any]) -> str:
    """Return why an entry does not start now."""
    return " ".join(reason["message"] for reason in entry["reasons"])


def entry_of(site: Site, user: str) -> dict[str, Any] | None:
    """Return the one entry of somebody's that waits."""
    return next((one for one in ask(site, user, "queue")["entries"] if one["own"]), None)


def node_of(site: Site, name: str) -> dict[str, Any]:
    """Return a node and its GPUs, as the service sees them."""
    [found] = [one for one in ask(site, site.first_admin()[0], "gpus")["nodes"] if one["name"] == name]
    return dict(found)


def holders(site: Site, node: str) -> list[str]:
    """Return who holds the GPUs of a node, one name for each, as the ledger has it."""
    return [gpu["user"] for gpu in node_of(site, node)["gpus"] if gpu["held"]]


def wait_started(site: Site, user: str, seconds: float = SOON_S) -> dict[str, Any]:
    """Wait until somebody's pod is there, for which nobody asked but the queue, and their server answers."""
    wait_for(lambda: site.pod(user), seconds, f"{user}'s pod")
    site.wait_ready(user)
    pod = site.pod(user)
    assert pod is not None
    return pod


def made_at(pod: dict[str, Any]) -> float:
    """Return when a pod was made, in whole seconds."""
    return datetime.fromisoformat(pod["metadata"]["creationTimestamp"].replace("Z", "+00:00")).timestamp()


def preferred_of(pod: dict[str, Any]) -> list[str]:
    """Return the nodes that a pod says it would best run on: the place of its plan."""
    node = pod["spec"]["affinity"]["nodeAffinity"]
    [term] = node["preferredDuringSchedulingIgnoredDuringExecution"]
    [field] = term["preference"]["matchFields"]
    assert (field["key"], field["operator"]) == ("metadata.name", "In")
    assert "nodeName" not in json.dumps(node.get("requiredDuringSchedulingIgnoredDuringExecution", {}))
    return list(field["values"])


def audit(site: Site, user: str) -> list[tuple[str, str]]:
    """Return what was done about somebody's servers and why, the last first."""
    rows = ask(site, site.first_admin()[0], f"audit?user={user}&limit=50")["entries"]
    return [(row["act"], str(row["message"])) for row in rows]


@contextlib.contextmanager
def changed(*do: str, undo: tuple[str, ...]) -> Iterator[Callable[[], object]]:
    """Change something by kubectl, and give what changes it back, which is done at the end at the latest."""
    back = functools.cache(functools.partial(kubectl, *undo))
    kubectl(*do)
    try:
        yield back
    finally:
        back()


def test_who_waits_starts_when_somebody_stops(site: Site, two_nodes: dict[str, str]) -> None:
    node = two_nodes[T4]
    site.start_server("ann", profile="gpu", **WHOLE_NODE)
    told = queue_for(site, "ben", profile="gpu", **WHOLE_NODE)
    assert (told["position"], said(told)) == (1, "4 T4 wait: none is free.")
    assert told["wait"]["say"]
    assert site.pod("ben") is None, "what waits is no pending pod"
    assert not site.server("ben")

    site.stop_server("ann")
    stopped = time.time()
    pod = wait_started(site, "ben")
    assert made_at(pod) < stopped + SOON_S
    assert pod["metadata"]["annotations"][labels.LAUNCH_ID] == told["launch_id"]
    assert (pod["spec"]["nodeName"], preferred_of(pod)) == (node, [node])
    assert holders(site, node) == ["ben"] * ALL

    site.stop_server("ben")
    wait_for(lambda: "claim" in [act for act, _ in audit(site, "ben")], SOON_S, "it is over: who stops it has had it")
    assert entry_of(site, "ben") is None


def test_a_cordoned_node_does_not_count(site: Site, two_nodes: dict[str, str]) -> None:
    node = two_nodes[T4]
    with changed("cordon", node, undo=("uncordon", node)) as uncordon:
        wait_for(lambda: not node_of(site, node)["schedulable"], 20, "the service sees the cordon")
        told = queue_for(site, "ben", profile="gpu", **WHOLE_NODE)
        assert f"These take no new servers: {node}." in said(told)
        time.sleep(ROUND_S + 1)
        entry = entry_of(site, "ben")
        assert entry is not None
        assert f"These take no new servers: {node}." in said(entry)
        uncordon()
        pod = wait_started(site, "ben")
    assert pod["spec"]["nodeName"] == node


def test_gpus_that_somebody_else_takes_at_its_turn(site: Site, two_nodes: dict[str, str]) -> None:
    """Pods that are not ours are faster than the pod of whose turn has come: who waited has lost nothing."""
    node = two_nodes[T4]
    thief = make_pod("t-queue-thief", "default", node, gpus=1)
    end = ("delete", "pod", "t-queue-thief", "-n", "default", "--grace-period=0", "--force", "--ignore-not-found")
    gone = ("delete", "quota", "gate", "-n", site.namespace, "--ignore-not-found")
    create(thief)
    try:
        wait_for(lambda: any(gpu["taken"] for gpu in node_of(site, node)["gpus"]), 20, "the service sees the pod")
        first = queue_for(site, "ben", profile="gpu", **WHOLE_NODE)
        assert f"Pods that are not this hub's hold: {node} 1 T4." in said(first)
        with changed("create", "quota", "gate", "-n", site.namespace, "--hard=pods=0", undo=gone):
            wait_for(lambda: "hard" in get("quota", site.namespace)[0].get("status", {}), 20, "no pod is made")
            kubectl(*end)
            wait_for(site.reservations, SOON_S, "its turn has come")
            create(thief)
        wait_for(lambda: entry_of(site, "ben"), 40, "it waits again")
        again = entry_of(site, "ben")
        assert again is not None
        assert (again["launch_id"] != first["launch_id"], again["position"]) == (True, 1)
        assert any("No node took the server within 8 seconds." in why for _, why in audit(site, "ben"))
        kubectl(*end)
        pod = wait_started(site, "ben", 2 * SOON_S)
    finally:
        kubectl(*end)
    assert pod["metadata"]["annotations"][labels.LAUNCH_ID] == again["launch_id"]
    assert holders(site, node) == ["ben"] * ALL


def test_the_ledger_follows_the_scheduler(site: Site, two_nodes: dict[str, str]) -> None:
    """A node that pods would rather not go to is not closed, so that servers are planned there; nobody insists."""
    first = site.start_server("ann", profile="cpu")
    planned = first["spec"]["nodeName"]
    assert preferred_of(first) == [planned]
    site.stop_server("ann")
    site.wait_clean()
    taint = "mlabhub-test=rather-not:PreferNoSchedule"
    with changed("taint", "node", planned, taint, undo=("taint", "node", planned, f"{taint}-")):
        pod = site.start_server("ann", profile="cpu")
    [other] = set(two_nodes.values()) - {planned}
    assert (pod["spec"]["nodeName"], preferred_of(pod)) == (other, [planned])
    moves = [why for act, why in audit(site, "ann") if act == "move"]
    assert moves == [f"the cluster put it on {other}, where {planned} was planned"]


def test_an_owner_comes_back_and_the_borrower_is_told_in_full(site: Site, two_nodes: dict[str, str]) -> None:
    node = two_nodes[T4]
    borrowed = site.start_server("ann", profile="lent", **WHOLE_NODE)
    queue_for(site, "vera", profile="gpu", **WHOLE_NODE)
    wait_for(lambda: ask(site, "ann", "notices")["notices"], SOON_S, "ann is told")
    [notice] = ask(site, "ann", "notices")["notices"]
    assert notice["deadline"] - notice["at"] == pytest.approx(NOTICE_S, abs=0.5), "the profile's own"

    def is_ending() -> bool:
        pod = site.pod("ann")
        return pod is None or "deletionTimestamp" in pod["metadata"]

    wait_for(is_ending, NOTICE_S + 45, "ann's server is stopped")
    assert time.time() >= notice["deadline"], "not before its time"
    pod = wait_started(site, "vera", 2 * SOON_S)
    assert (pod["spec"]["nodeName"], preferred_of(pod), holders(site, node)) == (node, [node], ["vera"] * ALL)
    assert made_at(pod) >= int(notice["deadline"])

    entry = entry_of(site, "ann")
    assert entry is not None
    assert (entry["reclaims"], entry["launch_id"]) != (0, borrowed["metadata"]["annotations"][labels.LAUNCH_ID])
    [row] = [one for one in ask(site, "ann", "servers")["servers"] if one["server_name"] == ""]
    assert row["ended"] is None, "an end that was told is no fault"
    assert [act for act, _ in audit(site, "ann")][:4] == ["release", "queue", "reclaim", "notice"]
