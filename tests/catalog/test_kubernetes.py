"""``kubernetes.yaml``: every fault at its line, with what would be right; notes; the file as it is shipped."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mlabhub.catalog import default_directory, read_folder
from tests.catalog.conftest import PROFILES, faults_of

Write = Callable[..., Path]

FAULTS = {
    "profile": (
        "profiles:\n  gpu: {priority_class: high}\n  cpus: {}",
        [
            'kubernetes.yaml:2: profiles.gpu: there is no profile "gpu"; did you mean cpu? There are: cpu',
            'kubernetes.yaml:3: profiles.cpus: there is no profile "cpus"; did you mean cpu? There are: cpu',
        ],
    ),
    "namespace": (
        "namespace: My.Lab",
        [
            "kubernetes.yaml:1: namespace: must be a namespace's name: lower-case letters, digits and hyphens, such as "
            'mlabhub; it is "My.Lab"'
        ],
    ),
    "the cluster's own namespace": (
        "namespace: kube-system",
        ["kubernetes.yaml:1: namespace: is the cluster's own namespace; name another one"],
    ),
    "registry": (
        "registry: https://harbor.lab/mlabhub",
        [
            "kubernetes.yaml:1: registry: must be a registry and a folder in it, such as harbor.lab:5000/mlabhub, not "
            '"https://harbor.lab/mlabhub"'
        ],
    ),
    "registry without a host": (
        "registry: mlabhub",
        [
            "kubernetes.yaml:1: registry: must be a registry and a folder in it, such as harbor.lab:5000/mlabhub, not "
            '"mlabhub"'
        ],
    ),
    "a secret's name": (
        "pull_secrets: [harbor, Harbor_2, harbor]",
        [
            "kubernetes.yaml:1: pull_secrets[1]: must be a name as Kubernetes takes it: lower-case letters, digits, - "
            'and ., such as rook-ceph-block; it is "Harbor_2"',
        ],
    ),
    "a secret twice": (
        "pull_secrets:\n- harbor\n- harbor",
        ["kubernetes.yaml:3: pull_secrets[1]: stands in the list already"],
    ),
    "labels": (
        'node_selector: {pool: users, "a b": x, gpu: true, c: "x y"}',
        [
            'kubernetes.yaml:1: node_selector.a b: must be a label\'s key, such as nvidia.com/gpu.product; it is "a b"',
            "kubernetes.yaml:1: node_selector.gpu: must be text; put it in quotes if it looks like a number; "
            "it is true",
            'kubernetes.yaml:1: node_selector.c: must be a label\'s value: letters, digits, -, _ and ., such as "true" '
            'in quotes; it is "x y"',
        ],
    ),
    "tolerations": (
        "tolerations:\n- {key: a, operator: Exists, value: x}\n- {effect: NoSchedule}\n- {key: a, effect: Never}",
        [
            "kubernetes.yaml:2: tolerations[0].value: is not compared where the operator is Exists; leave it out, or "
            "say Equal",
            "kubernetes.yaml:3: tolerations[1]: needs a key, or operator: Exists for every taint",
            "kubernetes.yaml:4: tolerations[2].effect: must be one of 'NoSchedule', 'PreferNoSchedule' or 'NoExecute'; "
            'it is "Never"',
        ],
    ),
    "resources": (
        "gpu_resources: [nvidia.com/gpu, gpu]",
        [
            'kubernetes.yaml:1: gpu_resources[1]: must be a resource of nodes, such as nvidia.com/gpu; it is "gpu"',
        ],
    ),
    "no volume, and two at once": (
        "volumes:\n- {folder: /srv/a}\n- {folder: /srv/b, claim: b, claim_per_folder: {size_gib: 1}}",
        [
            "kubernetes.yaml:2: volumes[0]: needs one of claim, claim_per_folder and host_path",
            "kubernetes.yaml:3: volumes[1]: needs one of claim, claim_per_folder and host_path",
        ],
    ),
    "a folder in another": (
        "volumes:\n- {folder: /srv/nas, claim: nas}\n- {folder: /srv/nas/user, claim: home}",
        [
            "kubernetes.yaml:3: volumes[1].folder: /srv/nas/user and /srv/nas lie in one another; "
            "give each a folder of its own"
        ],
    ),
    "one claim behind two folders": (
        "volumes:\n- {folder: /srv/a, claim: nas}\n- {folder: /srv/b, claim: nas}",
        [
            "kubernetes.yaml:3: volumes[1].claim: the claim nas is behind /srv/a already; "
            "name a folder around both there"
        ],
    ),
    "one folder of the node behind two": (
        "allow: [host_path]\nvolumes:\n- {folder: /srv/a, host_path: /nas}\n- {folder: /srv/b, host_path: /nas/b}",
        ["kubernetes.yaml:4: volumes[1].host_path: /nas/b and /nas lie in one another; give each a folder of its own"],
    ),
    "a folder of the node that is not allowed": (
        "volumes:\n- {folder: /srv/a, host_path: /srv/a}",
        [
            "kubernetes.yaml:2: volumes[0].host_path: needs host_path in allow: a server then sees a folder of its "
            "node itself"
        ],
    ),
    "a folder that is the node's own": (
        "allow: [host_path]\nvolumes:\n- {folder: /a, host_path: /var/lib}\n- {folder: /b, host_path: /proc}",
        [
            "kubernetes.yaml:3: volumes[0].host_path: overlaps /var/lib/containerd, which belongs to the node itself; "
            "name another one, such as /srv/nas",
            "kubernetes.yaml:4: volumes[1].host_path: is in /proc, a folder of the system; name another one",
        ],
    ),
    "sizes": (
        "home_claim: {size_gib: 0}\ngroup_claim: {access_mode: ReadOnlyMany}",
        [
            "kubernetes.yaml:1: home_claim.size_gib: must be 0.01 or more; it is 0",
            "kubernetes.yaml:2: group_claim.size_gib: is missing; add it",
            "kubernetes.yaml:2: group_claim.access_mode: must be one of 'ReadWriteOnce', 'ReadWriteOncePod' or "
            "'ReadWriteMany'; it is \"ReadOnlyMany\"",
        ],
    ),
    "a key that is not known": (
        "volume: []",
        [
            "kubernetes.yaml:1: volume: is not a known key; did you mean volumes? Known: namespace, registry, "
            "pull_policy, pull_secrets, volumes, home_claim, group_claim, make_folders, allow, network, gpu_resources, "
            "product_labels, node_selector, tolerations, priority_class, lost_node_seconds, unschedulable_seconds, "
            "mount_seconds, prometheus, profiles"
        ],
    ),
}


@pytest.mark.parametrize(("text", "faults"), FAULTS.values(), ids=FAULTS.keys())
def test_faults(folder: Write, text: str, faults: list[str]) -> None:
    assert faults_of(folder(kubernetes=text)) == faults


def test_a_fault_in_profiles_hides_none_here(folder: Write) -> None:
    path = folder(PROFILES.replace("memory_gib: 4", "memory_gib: x"), kubernetes="profiles: {gpu: {}}")
    assert [fault.split(": ")[1] for fault in faults_of(path)] == ["profiles.cpu.memory_gib", "profiles.gpu"]


NAS = "user_root: /srv/nas/user\nshares:\n  data: {display_name: D, source: /srv/data, target: /mnt/data}\n"
HOMES = "volumes: [{folder: /srv/nas, claim: nas}, {folder: /srv/data, claim: data}]"
GROUPS = "volumes: [{folder: /srv/nas, claim_per_folder: {size_gib: 1}}]"
ONE_NODE = "only servers on one and the same node can use a group's claim at the same time; ReadWriteMany is usual"
NOTES = {
    "nothing is said of the cluster": (NAS, "", "", []),
    "all is well": (NAS, "", HOMES, []),
    "no volume": (
        NAS,
        "",
        "pull_secrets: [harbor]",
        [
            "kubernetes.yaml:1: volumes: no volume is behind /srv/nas/user (user_root of storage.yaml), so it cannot "
            "be mounted on a cluster",
            "kubernetes.yaml:1: volumes: no volume is behind /srv/data (shares.data.source of storage.yaml), so it "
            "cannot be mounted on a cluster",
        ],
    ),
    "a volume that nothing is on": (
        NAS,
        "",
        "volumes:\n- {folder: /srv/nas, claim: nas}\n- {folder: /srv/data, claim: data}\n- {folder: /ssd, claim: ssd}",
        ["kubernetes.yaml:4: volumes[2].folder: no root and no source of storage.yaml is in it"],
    ),
    "a share without a claim": (
        NAS,
        "",
        "volumes:\n- {folder: /srv/nas, claim: nas}\n- {folder: /srv/data, claim_per_folder: {size_gib: 1}}",
        [
            "kubernetes.yaml:3: volumes[1].claim_per_folder: makes claims for people and groups; the share data needs "
            "one that is there"
        ],
    ),
    "a group's claim for one node": (
        "share_root: /srv/nas\n",
        "",
        GROUPS,
        [f"kubernetes.yaml:1: volumes[0].claim_per_folder: {ONE_NODE}"],
    ),
    "a group's default claim for one node": (
        "share_root: null\n",
        "",
        "group_claim: {size_gib: 1}",
        [f"kubernetes.yaml:1: group_claim.access_mode: {ONE_NODE}"],
    ),
    "sudo that is not allowed": (
        "user_root: null\n",
        "    sudo: true\n",
        "pull_secrets: [harbor]",
        ["kubernetes.yaml:1: allow: does not have sudo, so servers of these profiles are refused on a cluster: cpu"],
    ),
    "sudo that nobody has": (
        "user_root: null\n",
        "",
        "allow: [sudo]",
        ["kubernetes.yaml:1: allow: has sudo, and no profile in profiles.yaml does"],
    ),
}


@pytest.mark.parametrize(("storage", "profile", "kubernetes", "notes"), NOTES.values(), ids=NOTES.keys())
def test_notes(folder: Write, storage: str, profile: str, kubernetes: str, notes: list[str]) -> None:
    images = "images: {base: {display_name: B, reference: localhost/base}}"
    path = folder(PROFILES + profile, storage=storage, kubernetes=kubernetes, images=images, quotas="groups: {}")
    loaded = read_folder(path)
    assert loaded.faults == ()
    assert [str(note).replace(f"{path}/", "") for note in loaded.notes] == notes


def test_the_comments_of_the_shipped_file_are_right(folder: Write) -> None:
    """What is commented out is valid once it is not."""
    text = (default_directory() / "kubernetes.yaml").read_text().replace("volumes: []\n", "volumes:\n")
    text = re.sub(r"^# ?(?=[a-z_]+: |  - )", "", text, flags=re.MULTILINE)
    path = folder(PROFILES.replace("cpu:\n", "gpu:\n", 1), kubernetes=text)
    loaded = read_folder(path)
    assert loaded.faults == ()
    assert loaded.catalog is not None
    spec = loaded.catalog.kubernetes
    assert (spec.namespace, spec.registry, spec.pull_secrets) == ("mlabhub", "harbor.lab:5000/mlabhub", ("harbor",))
    assert [volume.folder for volume in spec.volumes] == ["/srv/nas", "/srv/home", "/ssd"]
    assert spec.home_claim.size_gib == 20
    assert spec.group_claim is not None
    assert spec.group_claim.access_mode == "ReadWriteMany"
    assert set(spec.allow) == {"host_path", "sudo", "airlock"}
    assert spec.profiles["gpu"].priority_class == "lab-gpu"
