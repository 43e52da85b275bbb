"""Bring an object of the cluster to what a manifest says, whether it is there or not.

Guarantees: one call of the API; fields that the manifest does not name are left to whoever set them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlabhub.cluster.client import TOKEN

FIELD_MANAGER = "mlabhub"
SECONDS = 30.0
CLUSTER_WIDE = ("Namespace", "ClusterRole", "ClusterRoleBinding", "PersistentVolume", "PriorityClass", "StorageClass")


def object_path(manifest: Mapping[str, Any]) -> str:
    """Return the path of a manifest's object in the API; kinds whose plural is no simple one are not meant."""
    group, kind, metadata = manifest["apiVersion"], manifest["kind"], manifest["metadata"]
    root = f"/apis/{group}" if "/" in group else f"/api/{group}"
    place = "" if kind in CLUSTER_WIDE else f"/namespaces/{metadata['namespace']}"
    plural = kind.lower()
    plural = f"{plural[:-1]}ies" if plural.endswith("y") else f"{plural}es" if plural.endswith("s") else f"{plural}s"
    return f"{root}{place}/{plural}/{metadata['name']}"


async def apply(api: Any, manifest: Mapping[str, Any]) -> None:
    """Create the object, or change the fields that the manifest names. Raises the client's `ApiException`."""
    await api.call_api(
        object_path(manifest),
        "PATCH",
        query_params=[("fieldManager", FIELD_MANAGER), ("force", "true")],
        header_params={"Accept": "application/json", "Content-Type": "application/apply-patch+yaml"},
        body=dict(manifest),
        auth_settings=[TOKEN],
        _request_timeout=SECONDS,
    )
