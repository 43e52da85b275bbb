"""Launches that cannot succeed on a real cluster: the person reads why, soon, and nothing is left of them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlabhub.cluster import labels
from tests.cluster.kubectl import create, get, kubectl
from tests.cluster.site import Site, make_site, start_site
from tests.cluster.words import failure, follow, make_pod, messages, nodes, wait_agreed
from tests.installation import wait_for

pytestmark = pytest.mark.timeout(300)

BASE = "localhost/mlabhub/base:latest"
SMALL = {"cpu": {"min": 1, "max": 2, "default": 1}, "memory_gib": {"min": 1, "max": 9000, "default": 1}}
IMAGES = {
    "base": {"display_name": "Base", "reference": BASE, "tools": ["lab"]},
    "absent": {"display_name": "Absent", "reference": "localhost/mlabhub/absent:1", "tools": ["lab"]},
}
REFERENCE = IMAGES["absent"]["reference"]
ABSENT = f"The image {REFERENCE} is not on the node"
PROFILES = {
    "cpu": {"display_name": "CPU", "images": list(IMAGES), **SMALL},
    "tiny": {"display_name": "Tiny", "images": ["base"], "cpu": 1, "memory_gib": 0.0625},
    "far": {"display_name": "Far", "images": ["base"], **SMALL},
    "gpu": {"display_name": "GPU", "images": ["base"], **SMALL, "gpus": [1, 2, 4], "gpu_types": ["any"]},
}
SPEC = {
    "unschedulable_seconds": 8,
    "mount_seconds": 15,
    "profiles": {"far": {"node_selector": {"mlabhub.example/room": "none"}}},
}


ALONE = {
    "podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            {
                "topologyKey": "kubernetes.io/hostname",
                "labelSelector": {"matchLabels": {labels.PART: labels.PART_SERVER}},
            }
        ]
    }
}


@pytest.fixture(scope="module")
def site(kubeconfig: str, nas: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a hub whose launches may fail in many ways."""
    files = {"images.yaml": json.dumps({"images": IMAGES}), "profiles.yaml": json.dumps({"profiles": PROFILES})}
    site = make_site(tmp_path_factory.mktemp("words"), nas, kubernetes=SPEC, files=files, name="words")
    start_site(site)
    try:
        site.add_user("alice", "vision")
        yield site
    finally:
        site.close()


@pytest.fixture(autouse=True)
def nothing_left(site: Site) -> Iterator[None]:
    """Begin and end with nothing."""
    site.stop_all()
    yield
    wait_agreed(site)


def failed(site: Site, words: str, **options: Any) -> list[str]:
    """Launch what cannot succeed; return all that was told, once the last sentence has these words."""
    answer = site.launch("alice", **options)
    if answer.status_code == 409:  # so soon that the hub still waited for it
        said = str(answer.json()["error"]["message"])
        assert words in said
        return [said]
    told = follow(site, "alice")
    assert words in failure(told), messages(told)
    return messages(told)


def test_an_image_that_cannot_be_fetched(site: Site) -> None:
    began = time.monotonic()
    told = failed(site, ABSENT, profile="cpu", image="absent")
    assert time.monotonic() - began < 75, "as soon as the node has tried a second time"
    assert any(said.startswith(f"Fetching the image {REFERENCE}") for said in told)
    assert len([said for said in told[:-1] if ABSENT in said]) == 1, "each sentence once"


def test_no_node_is_of_the_kind(site: Site) -> None:
    answer = site.launch("alice", profile="far")
    assert answer.status_code == 409
    assert "No machine is for servers of the profile" in answer.text


def test_what_only_the_scheduler_knows(site: Site) -> None:
    """Pods that tolerate no server beside them, on every node: our own count sees nothing of that."""
    for node in nodes():
        create(make_pod(f"alone-{node}", site.namespace, node, affinity=ALONE))
    try:
        began = time.monotonic()
        told = failed(site, "No node took the server within 8 seconds. No node can take", profile="cpu")
        assert 7 < time.monotonic() - began < 30
        assert any("must not run beside what is there" in said for said in told[:-1]), "while it waits"
    finally:
        kubectl("delete", "pods", "-n", site.namespace, "-l", "t=foreign", "--grace-period=0", "--force")


def test_too_little_memory_to_begin_with(site: Site) -> None:
    failed(site, "64 MiB of memory that it has, so the system ended it", profile="tiny")


def test_the_clusters_own_quota(site: Site) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "lab", "namespace": site.namespace},
        "spec": {"hard": {"requests.memory": "512Mi"}},
    }
    create(quota)
    try:
        wait_for(lambda: get("resourcequotas", site.namespace)[0].get("status", {}).get("hard"), 20, "the quota counts")
        began = time.monotonic()
        failed(site, "The cluster's own quota lab", profile="cpu")
        assert time.monotonic() - began < 30
    finally:
        kubectl("delete", "resourcequota", "lab", "-n", site.namespace)
    site.start_server("alice", profile="cpu")
    site.stop_server("alice")
