"""Storage as people meet it: their homes on a cluster that was not told anything, and what they read if one is away."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlabhub.catalog.folder import BASE_IMAGE
from mlabhub.cluster import labels
from mlabhub.cluster.volumes import get_claim_manifest
from mlabhub.core.kubernetes import ClaimPerFolder
from mlabhub.core.names import claim_slug
from tests.cluster.kubectl import create, get, kubectl
from tests.cluster.site import Site, make_name, make_site, start_site
from tests.installation import wait_for

OTHER = "/srv/other"
DISKS = "/srv/disks"
DISK = ClaimPerFolder(size_gib=1, storage_class=make_name("disk"))
HOSTNAME = "kubernetes.io/hostname"
OURS = "mlabhub/part=storage"
SOON = 60.0


@pytest.fixture(scope="module")
def site(kubeconfig: str, nas: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a hub whose storage.yaml names roots for three groups that get no further, and nothing else."""
    other = {"user_root": f"{OTHER}/user", "user_target": "/mnt2/user"}
    slow = {"user_root": "/srv/slow", "user_target": "/mnt3/user"}
    single = {"user_root": "/srv/single", "user_target": "/mnt4/user"}
    disk = {"user_root": DISKS, "user_target": "/mnt5/user"}
    storage = {"groups": {"away": other, "slow": slow, "single": single, "disk": disk}}
    missing = {"size_gib": 1, "storage_class": make_name("no-class")}
    volumes = [
        {"folder": OTHER, "claim": "other"},
        {"folder": "/srv/slow", "claim_per_folder": missing},
        {"folder": "/srv/single", "claim_per_folder": {"size_gib": 1, "access_mode": "ReadWriteOncePod"}},
        {"folder": DISKS, "claim_per_folder": DISK.model_dump()},
    ]
    here = {"cpu": {"node_selector": {HOSTNAME: nodes_of_two()[1]}}}
    kubernetes = {"volumes": volumes, "make_folders": "nobody", "unschedulable_seconds": 20, "mount_seconds": 30}
    kubernetes["profiles"] = here
    files = {"storage.yaml": json.dumps(storage)}
    site = make_site(tmp_path_factory.mktemp("homes"), nas, kubernetes=kubernetes, files=files, name="homes")
    start_site(site)
    try:
        yield site
    finally:
        site.close()


def nodes_of_two() -> tuple[str, str]:
    """Return two nodes that take pods. Fails where there is one."""
    ready = [node for node in get("nodes") if not node["spec"].get("unschedulable") and not node["spec"].get("taints")]
    first, second, *_ = sorted(node["metadata"]["labels"][HOSTNAME] for node in ready)
    return first, second


def words_of(site: Site, user: str, server: str = "") -> str:
    """Launch, and return what the person reads last. Fails if that takes more than a minute."""
    began = time.monotonic()
    launched = site.launch(user, server, profile="cpu")
    path = f"hub/api/users/{user}/servers/{server}/progress" if server else f"hub/api/users/{user}/server/progress"
    if launched.status_code == 409:
        return str(launched.json()["error"]["message"])
    assert launched.status_code == 201, launched.text
    with (
        site.api(site.first_admin()[0]) as client,
        client.stream("GET", path, timeout=SOON + 60) as answer,
    ):
        for line in answer.iter_lines():
            event = json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else {}
            if event.get("failed") or event.get("ready"):
                assert time.monotonic() - began < SOON
                return str(event["message"])
    raise AssertionError("the progress ended without a word")


def test_a_home_is_there_without_configuration_and_stays(site: Site) -> None:
    site.stop_all()
    site.add_user("alice")
    site.start_server("alice", profile="cpu")
    code = "import os, pathlib; p = pathlib.Path.home() / 'kept'; p.write_text('x'); print(p, os.stat(p).st_uid)"
    home, uid = site.run_code("alice", code).split()
    assert (home, int(uid) >= 1000) == ("/mnt/user/alice/kept", True)
    site.stop_server("alice")
    site.wait_clean()
    [claim] = get("persistentvolumeclaims", site.namespace, "-l", OURS)
    assert claim["metadata"]["annotations"]["mlabhub/folder"] == "user/alice"
    assert claim["metadata"].get("ownerReferences") is None
    site.start_server("alice", profile="cpu")
    assert site.run_code("alice", f"print(open({home!r}).read())").strip() == "x"
    site.stop_server("alice")


def test_a_home_that_was_deleted_is_made_anew(site: Site) -> None:
    site.stop_all()
    site.add_user("dora")
    site.start_server("dora", profile="cpu")
    site.stop_server("dora")
    site.wait_clean()
    kubectl("delete", "persistentvolumeclaims", "-l", OURS, "-n", site.namespace)
    assert "mlabhub-" in words_of(site, "dora")
    site.wait_clean()
    site.start_server("dora", profile="cpu")
    site.stop_server("dora")


def test_a_claim_that_is_missing_is_told(site: Site) -> None:
    site.stop_all()
    site.add_user("bob", "away")
    words = words_of(site, "bob")
    assert f"The claim other for {OTHER} is not in the namespace {site.namespace}" in words
    site.wait_clean()


def test_a_class_that_is_missing_is_told(site: Site) -> None:
    site.stop_all()
    site.add_user("carol", "slow")
    words = words_of(site, "carol")
    assert "mlabhub-" in words
    assert "class" in words.lower() or "not bound" in words
    site.wait_clean()


def test_a_claim_without_a_volume_is_told(site: Site) -> None:
    site.stop_all()
    spec = {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "",
        "resources": {"requests": {"storage": "1Gi"}},
    }
    metadata = {"name": "other", "namespace": site.namespace}
    create({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec})
    site.add_user("ben", "away")
    words = words_of(site, "ben")
    assert "/mnt2/user/ben cannot be mounted: no volume is bound to the claim other" in words
    site.wait_clean()


def test_a_disk_that_another_server_has_is_told(site: Site) -> None:
    site.stop_all()
    site.add_user("erin", "single")
    site.start_server("erin", profile="cpu")
    words = words_of(site, "erin", "second")
    assert "in use" in words
    assert site.run_code("erin", "print(1)").strip() == "1"
    site.stop_server("erin")


@pytest.fixture
def attached_elsewhere(site: Site) -> Iterator[str]:
    """Return the name of somebody whose home is a disk that a pod on the other node has.

    There is no driver, so no disk: that it is attached is what its attacher would write down.
    """
    driver = str(DISK.storage_class)
    create({"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": driver}, "spec": {}})
    disk = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": driver,
        "csi": {"driver": driver, "volumeHandle": driver},
    }
    create({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": driver}, "spec": disk})
    name = labels.object_name(site.instance, claim_slug(DISKS, "frank"))
    claim = get_claim_manifest(name, DISK, instance=site.instance, folder=f"{DISKS}/frank")
    create({**claim, "metadata": {**claim["metadata"], "namespace": site.namespace}})
    holder = {
        "nodeSelector": {HOSTNAME: nodes_of_two()[0]},
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": "holder",
                "image": BASE_IMAGE.reference,
                "volumeMounts": [{"name": "disk", "mountPath": "/disk"}],
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }
        ],
        "volumes": [{"name": "disk", "persistentVolumeClaim": {"claimName": name}}],
    }
    metadata = {"name": "holder", "namespace": site.namespace}
    create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": holder})

    def attachment() -> str:
        every = json.loads(kubectl("get", "volumeattachments", "-o", "json"))["items"]
        found = [one["metadata"]["name"] for one in every if one["spec"]["attacher"] == driver]
        return str(found[0]) if found else ""

    written = '{"status": {"attached": true}}'
    attached = wait_for(attachment, 60, "an attachment")
    kubectl("patch", "volumeattachment", attached, "--subresource=status", "--type=merge", "-p", written)
    yield "frank"
    kubectl("delete", "pod", "holder", "-n", site.namespace, "--grace-period=0", "--force")
    kubectl("delete", "persistentvolumeclaim", name, "-n", site.namespace, "--wait=false")
    kubectl("delete", "persistentvolume", driver, "--wait=false")
    kubectl("delete", "csidriver", driver)


def test_a_disk_that_is_attached_to_another_node_is_told(site: Site, attached_elsewhere: str) -> None:
    site.stop_all()
    site.add_user(attached_elsewhere, "disk")
    words = words_of(site, attached_elsewhere)
    assert "/mnt5/user/frank cannot be mounted: the volume is in use on another node" in words
    site.wait_clean()
