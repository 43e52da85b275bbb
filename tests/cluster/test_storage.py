"""Storage on a real cluster: claims, people's folders on a NAS, and whoever tries to get at somebody else's.

The NAS is a volume of a folder that this machine and all nodes see, behind a claim, as NFS or CephFS would be.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kubernetes_asyncio import client, config

from mlabhub.catalog.folder import BASE_IMAGE
from mlabhub.cluster.volumes import PodVolumes
from mlabhub.core.identity import GroupId, Identity
from mlabhub.core.mounts import MountChoice
from mlabhub.errors import MLabError
from mlabhub.messages import Message
from mlabhub.spawners.kube.storage import Prepared, StorageKeeper, prepare_storage
from tests.cluster.kubectl import create, get, kubectl
from tests.cluster.site import CLAIM, make_name, make_nas
from tests.volumes.examples import ALICE, STATE, example_of

BOB = Identity("bob", 200009, 200009, (GroupId("vision", 200001),))
NAS = {"user_root": "/srv/nas/user", "share_root": "/srv/nas/share"}
ON_NAS = {"volumes": [{"folder": "/srv/nas", "claim": CLAIM}]}
ENFORCE = "pod-security.kubernetes.io/enforce"
SOON = 60.0


@pytest.fixture
async def api(kubeconfig: str) -> AsyncIterator[Any]:
    await config.load_kube_config(kubeconfig)
    async with client.ApiClient() as connection:
        yield client.CoreV1Api(connection)


@pytest.fixture
def folder(namespace: str, nas: Path) -> Iterator[Path]:
    """Return the NAS's folder; the claim on it is in the namespace."""
    folder = nas / namespace
    make_nas(namespace, folder)
    yield folder
    kubectl("delete", "pods", "--all", "-n", namespace, "--grace-period=0", "--force")
    kubectl("delete", "persistentvolume", namespace, "--wait=false")
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    folder.rmdir()


def allow(namespace: str, level: str = "baseline") -> None:
    kubectl("label", "--overwrite", "namespace", namespace, f"{ENFORCE}={level}")


def keeper_of(namespace: str) -> StorageKeeper:
    return StorageKeeper(namespace, "i1", BASE_IMAGE.reference, Path(STATE))


async def prepare(api: Any, namespace: str, *args: Any, keeper: StorageKeeper | None = None, **more: Any) -> Prepared:
    plan, spec = example_of(*args, **more)
    return await prepare_storage(api, namespace, plan, spec, keeper or keeper_of(namespace))


async def refusal(api: Any, namespace: str, *args: Any, **more: Any) -> str:
    began = time.monotonic()
    with pytest.raises(MLabError) as caught:
        await prepare(api, namespace, *args, **more)
    assert time.monotonic() - began < SOON
    return str(caught.value)


def run_in_server(namespace: str, volumes: PodVolumes, script: str, identity: Identity = ALICE) -> str:
    """Run a shell script in a pod like a server's, restricted, and return what it printed."""
    name = make_name("server")
    security = {"runAsUser": identity.uid, "runAsGroup": identity.gid, "runAsNonRoot": True}
    security["supplementalGroups"] = [group.gid for group in identity.groups]  # type: ignore[assignment]
    if volumes.fs_group is not None:
        security["fsGroup"] = volumes.fs_group
    container = {
        "name": "server",
        "image": BASE_IMAGE.reference,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/sh", "-c", script],
        "volumeMounts": list(volumes.mounts),
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {**security, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": list(volumes.volumes),
    }
    create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": spec})
    give_up = time.monotonic() + SOON
    while True:
        pod = next(one for one in get("pods", namespace) if one["metadata"]["name"] == name)
        if pod["status"]["phase"] in ("Succeeded", "Failed"):
            return kubectl("logs", name, "-n", namespace)
        for container in pod["status"].get("containerStatuses", []):
            waiting = container["state"].get("waiting", {})
            if waiting.get("reason") == "CreateContainerConfigError":
                return str(waiting["message"])
        if time.monotonic() > give_up:
            return kubectl("get", "events", "-n", namespace, "--field-selector", f"involvedObject.name={name}")
        time.sleep(0.3)


def status(path: Path) -> tuple[int, int, int]:
    found = path.lstat()
    return found.st_uid, found.st_gid, found.st_mode & 0o7777


def said(notes: tuple[Message, ...]) -> list[str]:
    return [str(note) for note in notes]


# -- a claim for each person


async def test_a_claim_of_somebody_else_is_left_alone(api: Any, namespace: str) -> None:
    plan, spec = example_of()
    keeper = keeper_of(namespace)
    await prepare_storage(api, namespace, plan, spec, keeper)
    [claim] = get("persistentvolumeclaims", namespace)
    name = claim["metadata"]["name"]
    for change in ("mlabhub/instance=other", "mlabhub/instance-"):
        kubectl("label", "--overwrite", "persistentvolumeclaim", name, "-n", namespace, change)
        text = await refusal(api, namespace)
        assert text == (
            f"The claim {name} in the namespace {namespace} was not made by this hub, so it is left alone. "
            "Ask an administrator to rename or delete it."
        )
    kubectl("label", "persistentvolumeclaim", name, "-n", namespace, "mlabhub/instance=i1")
    kubectl("annotate", "--overwrite", "persistentvolumeclaim", name, "-n", namespace, "mlabhub/folder=user/bob")
    assert "was not made by this hub" in await refusal(api, namespace)


async def test_a_claim_that_is_being_deleted_is_not_used(api: Any, namespace: str) -> None:
    await prepare(api, namespace)
    [claim] = get("persistentvolumeclaims", namespace)
    name = claim["metadata"]["name"]
    patch = '{"metadata": {"finalizers": ["example.org/held"]}}'
    kubectl("patch", "persistentvolumeclaim", name, "-n", namespace, "--type=merge", "-p", patch)
    kubectl("delete", "persistentvolumeclaim", name, "-n", namespace, "--wait=false")
    try:
        assert "is being deleted" in await refusal(api, namespace)
    finally:
        patch = '{"metadata": {"finalizers": null}}'
        kubectl("patch", "persistentvolumeclaim", name, "-n", namespace, "--type=merge", "-p", patch)


async def test_a_quota_without_room_for_it_is_told(api: Any, namespace: str) -> None:
    kubectl("create", "quota", "few", "-n", namespace, "--hard=persistentvolumeclaims=0")
    text = await refusal(api, namespace)
    assert text.startswith("The namespace's quota has no room for the volume mlabhub-i1-user-alice---")


async def test_many_at_once_make_one_claim(api: Any, namespace: str) -> None:
    found = await asyncio.gather(*(prepare(api, namespace) for _ in range(5)))
    assert len({one.volumes.claims[0].name for one in found}) == 1
    assert len(get("persistentvolumeclaims", namespace)) == 1


# -- a NAS


async def test_folders_on_a_nas_are_made_once_by_a_pod(api: Any, namespace: str, folder: Path) -> None:
    allow(namespace)
    keeper = keeper_of(namespace)
    prepared = await prepare(api, namespace, NAS, ON_NAS, keeper=keeper)
    assert prepared.notes == ()
    assert status(folder / "user") == (0, 0, 0o711)
    assert status(folder / "user" / "alice") == (200000, 200000, 0o700)
    assert status(folder / "share" / "vision") == (0, 200001, 0o2770)
    assert get("pods", namespace) == []
    began = time.monotonic()
    await prepare(api, namespace, NAS, ON_NAS, keeper=keeper)
    assert time.monotonic() - began < 0.2
    allow(namespace, "restricted")  # the server's own pod needs nothing more
    script = "echo mine >/mnt/user/alice/a && echo ours >/mnt/share/vision/b && ls /mnt/user /mnt/share"
    assert run_in_server(namespace, prepared.volumes, script).split() == [
        "/mnt/share:",
        "vision",
        "/mnt/user:",
        "alice",
    ]
    assert status(folder / "user" / "alice" / "a")[:2] == (200000, 200000)
    assert status(folder / "share" / "vision" / "b")[:2] == (200000, 200001)
    both = await prepare(api, namespace, NAS, {**ON_NAS, "make_folders": "nobody"}, keeper=keeper)
    assert both.volumes == prepared.volumes


async def test_a_standard_that_forbids_the_pod_is_told_with_what_to_do(api: Any, namespace: str, folder: Path) -> None:
    text = await refusal(api, namespace, NAS, ON_NAS)
    assert f"The namespace {namespace} does not let the hub make folders" in text
    assert "label it pod-security.kubernetes.io/enforce=baseline, or set make_folders to hub or nobody" in text
    assert os.listdir(folder) == []


async def test_where_nobody_makes_folders_a_missing_one_is_told(api: Any, namespace: str, folder: Path) -> None:
    nobody = {**ON_NAS, "make_folders": "nobody"}
    (folder / "user").mkdir(mode=0o711)
    missing = "/srv/nas/user/alice is missing, so it cannot be mounted. Ask an administrator to look at it."
    assert await refusal(api, namespace, NAS, nobody) == missing
    assert list((folder / "user").iterdir()) == []
    (folder / "user" / "alice").mkdir(mode=0o700)
    assert "belongs to user 0, not to user 200000, and is left as it is" in await refusal(api, namespace, NAS, nobody)
    os.chown(folder / "user" / "alice", 200000, 200000)
    (folder / "share").mkdir(mode=0o711)
    (folder / "share" / "vision").mkdir()
    os.chown(folder / "share" / "vision", 0, 200001)
    assert (await prepare(api, namespace, NAS, nobody)).notes == ()


async def test_the_hub_makes_folders_where_it_sees_the_nas(api: Any, namespace: str, folder: Path) -> None:
    for name in ("user", "share"):
        (folder / name).mkdir(mode=0o711)
    storage = {"user_root": str(folder / "user"), "share_root": str(folder / "share")}
    spec = {"volumes": [{"folder": str(folder), "claim": CLAIM}], "make_folders": "hub"}
    prepared = await prepare(api, namespace, storage, spec)
    assert run_in_server(namespace, prepared.volumes, "touch /mnt/user/alice/x && echo done") == "done\n"
    assert status(folder / "user" / "alice") == (200000, 200000, 0o700)


async def test_extra_shares_are_never_made_and_left_out_with_a_note(api: Any, namespace: str, folder: Path) -> None:
    allow(namespace)
    (folder / "data" / "coco").mkdir(parents=True)
    (folder / "data" / "coco" / "cat").write_text("meow")
    share = {"display_name": "x", "read_only": True}
    shares = {
        "coco": {**share, "source": "/srv/nas/data/coco", "target": "/mnt/data/coco"},
        "gone": {**share, "source": "/srv/nas/data/gone", "target": "/mnt/data/gone"},
        "claimless": {**share, "source": "/srv/other", "target": "/mnt/data/other"},
        "nowhere": {**share, "source": "/srv/nowhere", "target": "/mnt/data/nowhere"},
    }
    spec = {"volumes": [*ON_NAS["volumes"], {"folder": "/srv/other", "claim": "other"}]}
    prepared = await prepare(api, namespace, {**NAS, "shares": shares}, spec)
    assert said(prepared.notes) == [
        "Without /mnt/data/nowhere: kubernetes.yaml names no volume for /srv/nowhere. Ask an administrator.",
        f"Without /mnt/data/other: The claim other for /srv/other is not in the namespace {namespace}. "
        "Ask an administrator to make it, or to correct kubernetes.yaml.",
        "Without /mnt/data/gone: /srv/nas/data/gone is missing, so it cannot be mounted. "
        "Ask an administrator to look at it.",
    ]
    assert not (folder / "data" / "gone").exists()
    script = "cat /mnt/data/coco/cat; touch /mnt/data/coco/dog 2>&1; ls /mnt/data"
    printed = run_in_server(namespace, prepared.volumes, script)
    assert printed == "meowtouch: cannot touch '/mnt/data/coco/dog': Read-only file system\ncoco\n"


async def test_a_home_of_ones_own_beside_a_nas(api: Any, namespace: str, folder: Path) -> None:
    """The new volume is handed over without root; the kubelet is not let at what others have on the NAS."""
    allow(namespace)
    (folder / "share" / "others").mkdir(parents=True)
    os.chown(folder / "share" / "others", 4711, 4711)
    before = status(folder / "share"), status(folder / "share" / "others")
    prepared = await prepare(api, namespace, {"share_root": "/srv/nas/share"}, ON_NAS)
    assert prepared.volumes.fs_group is None
    allow(namespace, "restricted")
    script = "touch /mnt/user/alice/x /mnt/share/vision/x && echo done"
    assert run_in_server(namespace, prepared.volumes, script) == "done\n"
    assert (status(folder / "share"), status(folder / "share" / "others")) == before


# -- what is not there


async def test_a_home_whose_claim_is_missing_is_refused_at_once(api: Any, namespace: str) -> None:
    began = time.monotonic()
    assert await refusal(api, namespace, NAS, ON_NAS) == (
        f"The claim nas for /srv/nas is not in the namespace {namespace}. Ask an administrator to make it, or to "
        "correct kubernetes.yaml."
    )
    assert time.monotonic() - began < 5


async def test_a_folder_that_the_node_does_not_have_is_told(api: Any, namespace: str) -> None:
    allow(namespace, "privileged")
    spec = {"allow": ["host_path"], "volumes": [{"folder": "/srv/nas", "host_path": "/nowhere/nas"}]}
    text = await refusal(api, namespace, NAS, spec)
    assert text.startswith("/mnt/user/alice, /mnt/share/vision cannot be mounted: ")
    assert "hostPath type check failed: /nowhere/nas is not a directory" in text
    assert get("pods", namespace) == []


async def test_an_extra_share_that_cannot_be_mounted_keeps_nobody_from_their_home(
    api: Any, namespace: str, folder: Path
) -> None:
    allow(namespace, "privileged")
    shares = {"fast": {"display_name": "Fast", "source": "/ssd/scratch", "target": "/mnt/fast", "tier": "scratch"}}
    broken = {"folder": "/ssd", "host_path": "/nowhere/ssd"}
    spec = {"allow": ["host_path"], "volumes": [*ON_NAS["volumes"], broken]}
    prepared = await prepare(api, namespace, {**NAS, "shares": shares}, spec)
    [note] = said(prepared.notes)
    assert note.startswith("Without /mnt/fast: /mnt/fast cannot be mounted: ")
    assert status(folder / "user" / "alice") == (200000, 200000, 0o700)
    assert [mount["mountPath"] for mount in prepared.volumes.mounts] == ["/mnt/user/alice", "/mnt/share/vision"]


# -- people who want more than theirs


def followed_by_kubelet(volumes: PodVolumes, path: str) -> PodVolumes:
    """Return volumes with a mount that we never make: below a folder that its person can change."""
    [first, *_] = volumes.mounts
    return replace(volumes, mounts=({**first, "mountPath": "/stolen", "subPath": path},))


async def test_a_link_in_ones_folder_leads_nowhere(api: Any, namespace: str, folder: Path) -> None:
    """A kubelet does follow links within a volume: that is why no folder below a person's own is named to it."""
    allow(namespace)
    prefixes = {"mount_prefixes": ["/data"]}
    prepared = await prepare(api, namespace, {**NAS, **prefixes}, ON_NAS)
    await prepare(api, namespace, NAS, ON_NAS, identity=BOB)
    secret = folder / "user" / "bob" / "open"
    secret.mkdir()
    (secret / "diary").write_text("bob's")  # readable for all, but for bob's own folder around it
    run_in_server(namespace, prepared.volumes, "ln -s ../bob/open /mnt/user/alice/x; ln -s /etc /mnt/user/alice/out")
    assert (folder / "user" / "alice" / "x").is_symlink()

    stolen = followed_by_kubelet(prepared.volumes, "user/alice/x")
    assert run_in_server(namespace, stolen, "cat /stolen/diary") == "bob's"
    outside = followed_by_kubelet(prepared.volumes, "user/alice/out")
    assert "failed to prepare subPath" in run_in_server(namespace, outside, "ls /stolen")

    for share, subfolder in (("user", "x"), ("user", "out"), ("group:vision", "x")):
        text = await refusal(
            api, namespace, {**NAS, **prefixes}, ON_NAS, chosen=[MountChoice(share, "/data/x", subfolder)]
        )
        assert "a link in it could lead to folders that are closed to you" in text


async def test_a_link_in_place_of_a_folder_is_told(api: Any, namespace: str, folder: Path) -> None:
    """Somebody who may write to the root of the NAS, from elsewhere, does not get at bob's files in alice's name."""
    allow(namespace)
    (folder / "user" / "bob").mkdir(parents=True)
    (folder / "user" / "alice").symlink_to("bob")
    assert "/srv/nas/user/alice is a link, so it cannot be mounted" in await refusal(api, namespace, NAS, ON_NAS)
    assert status(folder / "user" / "bob")[:2] == (0, 0)


async def test_a_subfolder_of_a_home_that_is_a_volume_of_its_own(api: Any, namespace: str) -> None:
    prefixes = {"mount_prefixes": ["/data"]}
    prepared = await prepare(api, namespace)
    script = "cd /mnt/user/alice && mkdir -p work/a && echo found >work/a/x && ln -s work link && mkfifo pipe"
    run_in_server(namespace, prepared.volumes, script)

    def choose(subfolder: str) -> dict[str, Any]:
        return {"chosen": [MountChoice("user", "/data/x", subfolder)]}

    prepared = await prepare(api, namespace, prefixes, **choose("work/a"))
    assert run_in_server(namespace, prepared.volumes, "cat /data/x/x") == "found\n"
    for subfolder, reason in (("link/a", "a link"), ("nothing", "missing"), ("pipe", "not a folder")):
        text = await refusal(api, namespace, prefixes, **choose(subfolder))
        assert f"/user/alice/{subfolder} is {reason}, so it cannot be mounted" in text
    assert run_in_server(namespace, prepared.volumes, "ls /mnt/user/alice").split() == ["link", "pipe", "work"]


async def test_names_that_would_lead_elsewhere(api: Any, namespace: str, folder: Path) -> None:
    allow(namespace)
    identity = Identity("../bob", 200010, 200010, (GroupId("..", 200011), GroupId("$(HOME) {username}", 200012)))
    prepared = await prepare(api, namespace, NAS, ON_NAS, identity=identity)
    assert sorted(os.listdir(folder)) == ["share", "user"]
    [home] = (folder / "user").iterdir()
    groups = sorted((folder / "share").iterdir())
    assert len(groups) == 2
    for path in (home, *groups):
        assert ".." not in path.name
    targets = " ".join(f"'{mount['mountPath']}'" for mount in prepared.volumes.mounts)
    assert run_in_server(namespace, prepared.volumes, f"ls -d {targets} | wc -l", identity).strip() == "3"
