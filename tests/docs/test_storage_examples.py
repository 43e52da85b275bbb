"""What the page on storage shows is valid, and its parts fit together."""

from __future__ import annotations

from typing import Any

import pytest
from ruamel.yaml import YAML

from mlabhub.core.kubernetes import KubernetesSpec
from mlabhub.core.paths import is_within
from mlabhub.core.storage import Storage
from tests.docs.pages import DOCS, blocks

PAGE = DOCS / "how-to" / "storage-on-kubernetes.md"
API_OF = {"PersistentVolume": "v1", "PersistentVolumeClaim": "v1", "ObjectBucketClaim": "objectbucket.io/v1alpha1"}


def documents() -> list[dict[str, Any]]:
    """Return every document of every YAML block of the page."""
    yaml = YAML(typ="safe")
    return [document for one in blocks(PAGE) if one.language == "yaml" for document in yaml.load_all(one.text)]


MANIFESTS = [one for one in documents() if "kind" in one]
STORAGE = [one for one in documents() if "user_root" in one]
KUBERNETES = [one for one in documents() if "kind" not in one and "user_root" not in one]


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_a_manifest_is_whole(manifest: dict[str, Any]) -> None:
    assert set(manifest) == {"apiVersion", "kind", "metadata", "spec"}
    assert manifest["apiVersion"] == API_OF[manifest["kind"]]
    assert ("namespace" in manifest["metadata"]) == (manifest["kind"] != "PersistentVolume")
    spec = manifest["spec"]
    if manifest["kind"] == "PersistentVolume":
        [claim] = [one for one in MANIFESTS if one["spec"].get("volumeName") == manifest["metadata"]["name"]]
        assert claim["spec"]["accessModes"] == spec["accessModes"]
        assert claim["spec"]["storageClassName"] == spec["storageClassName"]
        assert claim["spec"]["resources"]["requests"]["storage"] == spec["capacity"]["storage"]
        assert spec["persistentVolumeReclaimPolicy"] == "Retain"
    elif manifest["kind"] == "PersistentVolumeClaim":
        assert spec["accessModes"] == ["ReadWriteMany"]


@pytest.mark.parametrize("spec", KUBERNETES, ids=[" ".join(one) + f"-{n}" for n, one in enumerate(KUBERNETES)])
def test_what_is_said_of_the_cluster_is_valid(spec: dict[str, Any]) -> None:
    read = KubernetesSpec.model_validate(spec)
    claims = {one["metadata"]["name"] for one in MANIFESTS if one["kind"] == "PersistentVolumeClaim"}
    assert {volume.claim for volume in read.volumes if volume.claim} <= claims


def test_the_folders_shown_are_on_a_volume_that_is_shown() -> None:
    [given] = STORAGE
    storage = Storage.model_validate(given)
    folders = [storage.user_root, storage.share_root, *(share.source for share in storage.shares.values())]
    volumes = [volume for spec in KUBERNETES for volume in KubernetesSpec.model_validate(spec).volumes]
    for folder in folders:
        assert folder is not None
        assert any(is_within(folder, volume.folder) and volume.claim == "nas" for volume in volumes)


def test_all_that_the_page_promises_is_shown() -> None:
    assert len(MANIFESTS) == 4
    assert len(KUBERNETES) == 7
