"""From mounts to volumes of a pod: pure."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlabhub.cluster import labels
from mlabhub.cluster.volumes import PodVolumes, UnmountableShare, get_pod_volumes, part_in
from mlabhub.core.identity import GroupId, Identity
from mlabhub.core.mounts import MountChoice
from mlabhub.core.names import server_slug
from tests.volumes.examples import ALICE, example_of

NAS = {"user_root": "/srv/nas/user", "share_root": "/srv/nas/share"}
ON_CLAIM = {"volumes": [{"folder": "/srv/nas", "claim": "nas"}]}
HOME_CLAIM = "mlabhub-i1-user-alice---bx5xyjndg4oobcxh"


def volumes_of(*args: object, **more: object) -> PodVolumes:
    plan, spec = example_of(*args, **more)  # type: ignore[arg-type]
    return get_pod_volumes(plan, spec, "i1")


def said(volumes: PodVolumes) -> list[str]:
    return [str(note) for note in volumes.notes]


def test_without_a_word_of_configuration_a_home_is_a_claim_of_its_own() -> None:
    volumes = volumes_of()
    assert volumes.volumes == ({"name": "share-0", "persistentVolumeClaim": {"claimName": HOME_CLAIM}},)
    assert volumes.mounts == ({"name": "share-0", "mountPath": "/mnt/user/alice"},)
    assert volumes.fs_group == ALICE.gid
    [claim] = volumes.claims
    assert claim.manifest == {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": HOME_CLAIM,
            "labels": {"mlabhub/instance": "i1", "mlabhub/part": "storage"},
            "annotations": {"mlabhub/folder": "user/alice"},
        },
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10240Mi"}}},
    }
    assert said(volumes) == [
        "Without /mnt/share/vision: kubernetes.yaml names no volume for /var/lib/mlabhub/nas/share/vision. "
        "Ask an administrator."
    ]


def test_home_and_group_on_one_claim() -> None:
    volumes = volumes_of(NAS, ON_CLAIM)
    assert volumes.volumes == ({"name": "share-0", "persistentVolumeClaim": {"claimName": "nas"}},)
    assert volumes.mounts == (
        {"name": "share-0", "mountPath": "/mnt/user/alice", "subPath": "user/alice"},
        {"name": "share-0", "mountPath": "/mnt/share/vision", "subPath": "share/vision"},
    )
    assert (volumes.claims, volumes.notes) == ((), ())


def test_a_kubelet_is_never_asked_to_hand_over_what_others_have() -> None:
    """An fsGroup is for all volumes of a pod, and for every file on them."""
    mixed = {**NAS, "user_root": "/srv/home"}
    per_folder = {"folder": "/srv/home", "claim_per_folder": {"size_gib": 5}}
    volumes = [per_folder, {"folder": "/srv/nas", "claim": "nas"}]
    assert volumes_of(NAS, ON_CLAIM).fs_group is None
    assert volumes_of(mixed, {"volumes": volumes}).fs_group is None
    assert volumes_of(mixed, {"volumes": [per_folder]}).fs_group == ALICE.gid
    groups = {"group_claim": {"size_gib": 5, "access_mode": "ReadWriteMany"}}
    assert volumes_of({}, groups).fs_group is None


READ_ONLY = {"readOnly": True, "recursiveReadOnly": "IfPossible"}


def test_read_only_data_is_mounted_so_as_a_whole() -> None:
    """Also what the node, or the NAS, has mounted below it."""
    shares = {
        "imagenet": {"display_name": "I", "source": "/srv/data/in", "target": "/mnt/data/in", "read_only": True},
        "coco": {"display_name": "C", "source": "/srv/data/coco", "target": "/mnt/data/coco", "read_only": True},
    }
    volumes = volumes_of({"shares": shares}, {"volumes": [{"folder": "/srv/data", "claim": "data"}]})
    assert volumes.volumes[1] == {
        "name": "share-1",
        "persistentVolumeClaim": {"claimName": "data", "readOnly": True},
    }
    assert volumes.mounts[1:] == (
        {"name": "share-1", "mountPath": "/mnt/data/in", "subPath": "in", **READ_ONLY},
        {"name": "share-1", "mountPath": "/mnt/data/coco", "subPath": "coco", **READ_ONLY},
    )
    assert volumes.fs_group == ALICE.gid  # a kubelet leaves alone what it mounts read-only


def test_one_writable_share_leaves_the_other_read_only_by_its_mount() -> None:
    shares = {
        "in": {"display_name": "I", "source": "/srv/data/in", "target": "/mnt/data/in", "read_only": True},
        "fast": {"display_name": "F", "source": "/srv/data/fast", "target": "/mnt/fast", "tier": "scratch"},
    }
    volumes = volumes_of({"shares": shares}, {"volumes": [{"folder": "/srv/data", "claim": "data"}]})
    assert volumes.volumes[1]["persistentVolumeClaim"] == {"claimName": "data"}
    assert [mount.get("readOnly") for mount in volumes.mounts] == [None, True, None]
    assert volumes.fs_group is None


def test_a_folder_of_the_node() -> None:
    volumes = volumes_of(NAS, {"allow": ["host_path"], "volumes": [{"folder": "/srv/nas", "host_path": "/export"}]})
    assert volumes.volumes == ({"name": "share-0", "hostPath": {"path": "/export", "type": "Directory"}},)
    assert volumes.mounts[0]["subPath"] == "user/alice"  # a kubelet lets no link lead out of the volume's folder


def test_a_group_has_a_claim_where_that_is_asked_for() -> None:
    group = {"size_gib": 100, "access_mode": "ReadWriteMany", "storage_class": "cephfs"}
    volumes = volumes_of({}, {"group_claim": group})
    assert [claim.folder for claim in volumes.claims] == ["user/alice", "share/vision"]
    assert volumes.claims[1].manifest["spec"] == {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": "102400Mi"}},
        "storageClassName": "cephfs",
    }


def test_roots_of_a_group_have_volumes_of_their_own() -> None:
    own = {"user_root": "/nas2/user", "user_target": "/mnt2/user", "share_root": "/nas2/g", "share_target": "/mnt2/g"}
    volumes = volumes_of({"groups": {"vision": own}}, {"volumes": [{"folder": "/nas2", "claim": "nas2"}]})
    assert volumes.mounts == (
        {"name": "share-0", "mountPath": "/mnt2/user/alice", "subPath": "user/alice"},
        {"name": "share-0", "mountPath": "/mnt2/g/vision", "subPath": "g/vision"},
    )


def test_a_claim_keeps_its_name_wherever_the_state_folder_is() -> None:
    [claim] = volumes_of().claims
    plan, spec = example_of()
    moved = spec.model_copy(update={"volumes": (spec.volumes[0].model_copy(update={"folder": "/elsewhere/user"}),)})
    mounts = (replace(plan.mounts[0], source="/elsewhere/user/alice"),)
    [again] = get_pod_volumes(replace(plan, mounts=mounts), moved, "i1").claims
    assert again == claim


def test_a_home_without_a_volume_is_refused_in_words() -> None:
    with pytest.raises(UnmountableShare) as caught:
        volumes_of(NAS)
    assert str(caught.value) == "kubernetes.yaml names no volume for /srv/nas/user/alice. Ask an administrator."


CHOSEN = [
    pytest.param("user", "", None, id="whole home"),
    pytest.param("user", "work", None, id="subfolder of a home that is a volume of its own"),
    pytest.param("group:vision", "", None, id="whole share"),
    pytest.param("group:vision", "work", 'The subfolder "work" of "group:vision" cannot be mounted', id="subfolder"),
]


@pytest.mark.parametrize(("share", "subfolder", "refusal"), CHOSEN)
def test_chosen_mounts(share: str, subfolder: str, refusal: str | None) -> None:
    choice = MountChoice(share, "/data/x", subfolder)
    storage = {"share_root": "/srv/nas/share", "mount_prefixes": ["/data"]}
    if refusal is not None:
        with pytest.raises(UnmountableShare, match=refusal):
            volumes_of(storage, ON_CLAIM, chosen=[choice])
        return
    volumes = volumes_of(storage, ON_CLAIM, chosen=[choice])
    [made] = [mount for mount in volumes.mounts if mount["mountPath"] == "/data/x"]
    expected = {"user": subfolder, "group:vision": "share/vision"}[share]
    assert made.get("subPath", "") == expected


def test_a_subfolder_of_a_home_among_others_is_refused() -> None:
    """Alice may replace it by a link to bob's folder at any moment; a kubelet would follow it as root."""
    storage = {**NAS, "mount_prefixes": ["/data"]}
    with pytest.raises(UnmountableShare, match="a link in it could lead to folders that are closed to you"):
        volumes_of(storage, ON_CLAIM, chosen=[MountChoice("user", "/data/x", "work")])


def test_who_is_root_has_nothing_writable_that_is_others_too() -> None:
    data = {"display_name": "D", "source": "/srv/nas/data", "target": "/mnt/data"}
    shares = {"fast": data, "safe": {**data, "source": "/srv/nas/safe", "target": "/mnt/safe", "read_only": True}}
    plan, spec = example_of({**NAS, "shares": shares}, ON_CLAIM)
    volumes = get_pod_volumes(replace(plan, sudo=True), spec, "i1")
    assert [mount["mountPath"] for mount in volumes.mounts] == ["/mnt/user/alice", "/mnt/safe"]
    reason = "people are root in this server, and on a cluster that would be so for others' files, too."
    assert said(volumes) == [f"Without {target}: {reason}" for target in ("/mnt/share/vision", "/mnt/data")]
    choice = MountChoice("group:vision", "/data/x")
    plan, spec = example_of({**NAS, "mount_prefixes": ["/data"]}, ON_CLAIM, chosen=[choice])
    with pytest.raises(UnmountableShare, match="people are root in this server"):
        get_pod_volumes(replace(plan, sudo=True), spec, "i1")


def test_events_name_shares() -> None:
    [part] = volumes_of().parts
    bound = replace(part, bound="pvc-9bf0")
    for text in (
        'MountVolume.SetUp failed for volume "pvc-9bf0" : rpc error',
        "Unable to attach or mount volumes: unmounted volumes=[share-0], unattached volumes=[]",
        f'persistentvolumeclaim "{HOME_CLAIM}" not found',
        'Multi-Attach error for volume "pvc-9bf0" Volume is already used by pod(s) x',
    ):
        found = part_in([bound], text)
        assert found is not None
        assert found.targets == ("/mnt/user/alice",)
    assert part_in([bound], 'MountVolume.SetUp failed for volume "pvc-9bf01" : other') is None


NAMES = st.text(min_size=1, max_size=60).filter(lambda name: "/" not in name)
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")


@given(st.lists(st.tuples(NAMES, NAMES), min_size=2, max_size=6, unique=True))
def test_whatever_people_are_called_no_claim_is_somebody_elses(people: list[tuple[str, str]]) -> None:
    group = {"group_claim": {"size_gib": 1}}
    seen: dict[str, str] = {}
    for user, group_name in people:
        identity = Identity(user, 200000, 200000, (GroupId(group_name, 200001),))
        for claim in volumes_of({}, group, identity=identity).claims:
            assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", claim.name)
            assert len(claim.name) <= 63
            assert seen.setdefault(claim.name, claim.folder) == claim.folder
            assert LABEL_VALUE.fullmatch(claim.manifest["metadata"]["labels"][labels.INSTANCE])
    folders = set(seen.values())
    assert len(folders) == len(seen)
    # No claim has the name that a server's pod could have, either.
    pods = {labels.object_name("i1", server_slug(user, server)) for user, server in itertools.product(folders, [""])}
    assert not pods & set(seen)
