"""Whatever people, groups and servers are called and whatever is sent: a pod of the usual form, or a sentence."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlabhub.core.gate import KEYS
from mlabhub.errors import MLabError
from tests.spawners.hostile import CLAIMS, LAUNCH, NAS, make_pod

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
LABEL = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
SUB_PATH = re.compile(r"(user|share)/[^/]+|imagenet")
EXPANDED = re.compile(r"(?<!\$)(\$\$)*\$\(")
"""What Kubernetes would expand: ``$(NAME)`` behind an even number of dollars."""

NAMES = st.one_of(
    st.text(min_size=1, max_size=60),
    st.sampled_from(
        [
            *(
                "user-a",
                "user",
                "a-b",
                "b",
                "{username}",
                "{}",
                "$(PATH)",
                "$$(PATH)",
                "../../etc",
                "a/../b",
                "..",
                ".",
            ),
            *("a" * 255, "-", "--", "---", "A", "a", "Ä", "ａ", "root", "a\nb: c", "a,b=c", "mlabhub/part", "\u202e"),
        ]
    ),
)
SERVERS = st.one_of(st.just(""), NAMES)


def assert_is_usual(pod: dict[str, Any], claims: bool) -> None:
    """See that a pod is as every pod of ours is."""
    metadata, spec = pod["metadata"], pod["spec"]
    assert set(pod) == {"apiVersion", "kind", "metadata", "spec"}
    assert NAME.fullmatch(metadata["name"])
    assert NAME.fullmatch(spec["hostname"])
    assert set(metadata["labels"]) == {"mlabhub/instance", "mlabhub/launch", "mlabhub/part", "mlabhub/egress"}
    assert all(LABEL.fullmatch(value) for value in metadata["labels"].values())
    assert metadata["labels"]["mlabhub/part"] == "server"
    assert metadata["labels"]["mlabhub/egress"] in ("closed", "lab")
    assert not {"hostNetwork", "hostPID", "hostIPC", "nodeName", "nodeSelector", "serviceAccountName"} & set(spec)
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsUser"] == 200000
    assert spec["securityContext"]["runAsNonRoot"] is True
    (container,) = spec["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    for one in container["env"]:
        assert set(one) == {"name", "value"}
        assert not EXPANDED.search(one["value"]), one
    assert not any(EXPANDED.search(argument) for argument in container["args"])
    assert_volumes_are_usual(spec, container, claims)


def assert_volumes_are_usual(spec: dict[str, Any], container: dict[str, Any], claims: bool) -> None:
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    for name, volume in volumes.items():
        if name in ("shm", "accounts"):
            assert set(volume) == {"name", "emptyDir"}
            continue
        claim = volume["persistentVolumeClaim"]["claimName"]
        assert NAME.fullmatch(claim)
        assert claim.startswith("mlabhub-abc12-") or claim == ("imagenet" if claims else "nas")
    targets = [mount["mountPath"] for mount in container["volumeMounts"]]
    assert len(set(targets)) == len(targets)
    for mount in container["volumeMounts"]:
        assert mount["name"] in volumes
        assert mount["mountPath"].startswith(("/mnt/", "/data/", "/dev/shm", "/var/lib/extrausers"))
        assert ".." not in mount["mountPath"].split("/")
        assert "subPathExpr" not in mount
        if "subPath" in mount:
            assert SUB_PATH.fullmatch(mount["subPath"]), mount
            assert ".." not in mount["subPath"]
        elif not claims:
            assert mount["name"] in ("shm", "accounts"), "the NAS as a whole is nobody's"


@settings(max_examples=200)
@given(NAMES, SERVERS, st.lists(NAMES, max_size=3, unique=True), st.text(max_size=30), st.booleans())
def test_names(user: str, server: str, groups: list[str], display_name: str, claims: bool) -> None:
    try:
        pod = make_pod(user, server, groups=tuple(groups), display_name=display_name, spec=CLAIMS if claims else NAS)
    except MLabError:
        return
    assert_is_usual(pod, claims)


@settings(max_examples=200)
@given(st.tuples(NAMES, SERVERS), st.tuples(NAMES, SERVERS))
def test_two_servers_never_share_a_pod_and_two_people_never_a_folder(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    if one == other:
        return
    pods = []
    for user, server in (one, other):
        try:
            pods.append(make_pod(user, server, spec=CLAIMS))
        except MLabError:
            return
    names = [pod["metadata"]["name"] for pod in pods]
    assert names[0] != names[1]
    if one[0] != other[0]:
        homes = [own_folders(pod) for pod in pods]
        assert not homes[0] & homes[1]
        assert not own_folders(make_pod(*one)) & own_folders(make_pod(*other))


def own_folders(pod: dict[str, Any]) -> set[str]:
    claims = {
        volume["name"]: volume["persistentVolumeClaim"]["claimName"]
        for volume in pod["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    }
    mounts = pod["spec"]["containers"][0]["volumeMounts"]
    return {
        f"{claims[mount['name']]}/{mount.get('subPath', '')}"
        for mount in mounts
        if mount["name"] in claims and "imagenet" not in mount["mountPath"]
    }


PATHS = st.sampled_from(
    ["/etc", "/data/x", "/data/../etc", "/mnt/user/bob", "/var/run/secrets", "nas", "/", "", "..", "/data/$(X)", "a/b"]
)
MOUNT = st.fixed_dictionaries(
    {"share": st.one_of(st.sampled_from(["home", "imagenet", "nas", "secret"]), PATHS), "target": PATHS},
    optional={"subfolder": PATHS, "read_only": st.booleans(), "claim": PATHS, "subPath": PATHS},
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10), PATHS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=10), inner, max_size=3)),
    max_leaves=6,
)
OVERRIDES = (
    *("image", "environment", "env", "volumes", "volume_mounts", "extra_pod_config", "extra_container_config", "uid"),
    *("node_selector", "fs_gid", "run_as_uid", "service_account", "privileged", "cmd", "args", "namespace", "pod_name"),
    *("kubespawner_override", "profile_list", "image--unlisted-choice", "extra_labels", "tolerations", "egress"),
    *("mem_limit", "extra_resource_limits", "gpu_products", "identity", "mounts_raw", "sudo", "node", "placement"),
)


@settings(max_examples=300)
@given(
    st.dictionaries(st.one_of(st.sampled_from(KEYS), st.sampled_from(OVERRIDES), st.text(max_size=10)), JSON),
    st.one_of(st.none(), st.lists(MOUNT, max_size=3)),
)
def test_options(options: dict[str, Any], mounts: list[dict[str, Any]] | None) -> None:
    """Nothing that is sent is in a pod, but choices that the catalogue has."""
    options = {**options, "profile": "cpu"} if mounts is not None else options
    if mounts is not None:
        options["mounts"] = mounts
    try:
        pod = make_pod("alice", groups=("vision",), options=options)
    except MLabError:
        return
    assert_is_usual(pod, claims=False)
    assert pod["spec"]["containers"][0]["image"] == "localhost/mlabhub/base:latest"


@pytest.mark.parametrize("key", OVERRIDES)
@pytest.mark.parametrize("value", ["x", {"x": "y"}, [{"name": "x", "hostPath": {"path": "/"}}], 0, True])
def test_no_key_leads_around_the_gate(key: str, value: object) -> None:
    """Alone, or among the profile's options, or as KubeSpawner's own forms send it."""
    for options in (
        {key: value},
        {"profile": "gpu", "options": {key: value}},
        {"profile": "gpu", f"gpu--{key}": value},
    ):
        with pytest.raises(MLabError):
            make_pod("alice", options=options)


@pytest.mark.parametrize("value", ["all", "0", "none", "GPU-1", ["all"], 3])
def test_nobody_names_their_gpus_by_a_variable(value: object) -> None:
    for options in (
        {"profile": "gpu", "options": {"NVIDIA_VISIBLE_DEVICES": value}},
        {"profile": "gpu", "environment": {"NVIDIA_VISIBLE_DEVICES": value}},
        {"profile": "gpu", "gpu_ids": value},
    ):
        with pytest.raises(MLabError):
            make_pod("alice", options=options)


def test_without_gpus_images_that_ask_for_all_get_none() -> None:
    env = {one["name"]: one["value"] for one in make_pod("alice")["spec"]["containers"][0]["env"]}
    assert env["NVIDIA_VISIBLE_DEVICES"] == "void"
    with_gpu = make_pod("alice", options={"profile": "gpu", "gpus": 1})
    names = [one["name"] for one in with_gpu["spec"]["containers"][0]["env"]]
    assert "NVIDIA_VISIBLE_DEVICES" not in names, "the device plugin says it, and a variable of ours would win"
    assert with_gpu["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"


@pytest.mark.parametrize(
    "reference",
    [
        "registry.example.org.evil.org/lab/x:1",
        "registry.example.org:5000/lab/x:1",
        "registry.example.org/lab/../other/x:1",
        "registry.example.org/LAB/x:1",
        "registry.example.org/other/x:1",
        "user@registry.example.org/lab/x:1",
        "https://registry.example.org/lab/x:1",
        "registry.example.org/lab/x:1 ",
        "registry.example.org/lab/x:1\nhostPath: /",
        "registry.example.org/lab/x@sha256:abc",
        "registry.example.org/lab/$(HOME):1",
        "registry.example.org/lab/{username}:1",
        "lab/x:1",
        "localhost/mlabhub/hub:latest",
    ],
)
def test_image_references_that_are_not_allowed(reference: str) -> None:
    with pytest.raises(MLabError):
        make_pod("alice", options={"profile": "gpu", "image": reference})


def test_templates_stay_text() -> None:
    pod = make_pod("{username}$(JUPYTERHUB_API_TOKEN)", "a{}", groups=("{servername}",), display_name="{x}")
    text = json.dumps(pod)
    assert pod["metadata"]["annotations"]["mlabhub/user"] == "{username}$(JUPYTERHUB_API_TOKEN)"
    env = {one["name"]: one["value"] for one in pod["spec"]["containers"][0]["env"]}
    assert env["JUPYTERHUB_USER"] == "{username}$$(JUPYTERHUB_API_TOKEN)"
    assert LAUNCH in text
