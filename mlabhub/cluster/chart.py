"""What stands beside a release of the Zero to JupyterHub chart: the rights of its hub, a volume, network policies.

Guarantees: pure; the rights are those that hub and service use, and no more. The hub's own service account has them;
the chart's own role for it, which may read every Secret of the namespace, is not needed.
"""

from __future__ import annotations

import hashlib
from typing import Any

from mlabhub.cluster.namespace import get_namespace_manifest
from mlabhub.cluster.policies import get_network_policy_manifests, hub_of_chart
from mlabhub.core.kubernetes import KubernetesSpec

Manifest = dict[str, Any]

NAME = "mlabhub"
STATE_CLAIM = "mlabhub-state"
SERVICE_ACCOUNT = "hub"
GROUP = "rbac.authorization.k8s.io"

CLUSTER_RULES: tuple[Manifest, ...] = (
    # What there is, and what of it is taken, by whomever.
    {"apiGroups": [""], "resources": ["nodes", "pods"], "verbs": ["list", "watch"]},
)
NAMESPACE_RULES: tuple[Manifest, ...] = (
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "create", "delete"]},
    # What a server wrote before it ended, for its owner.
    {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["persistentvolumeclaims"], "verbs": ["get", "create"]},
    # Why a server does not start, in the cluster's words.
    {"apiGroups": [""], "resources": ["events"], "verbs": ["list", "watch"]},
)
SITE_RULES: tuple[Manifest, ...] = (
    # `mlabhub up` with a site.conf or TLS hands its files to servers; a hub in the chart has neither.
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "patch"]},
)


def make_instance(namespace: str, release: str) -> str:
    """Return what marks the objects of one release: the same wherever it is asked."""
    return hashlib.sha256(f"{namespace}/{release}".encode()).hexdigest()[:8]


def get_chart_manifests(spec: KubernetesSpec, *, namespace: str, release: str) -> tuple[Manifest, ...]:
    """Return all that is applied beside the release."""
    return (
        get_namespace_manifest(namespace, spec),
        *get_rbac_manifests(namespace),
        get_state_manifest(namespace),
        *get_network_policy_manifests(
            spec,
            namespace=namespace,
            instance=make_instance(namespace, release),
            hub=hub_of_chart(release),
        ),
    )


def get_rbac_manifests(namespace: str, account: str = SERVICE_ACCOUNT) -> tuple[Manifest, ...]:
    """Return roles and bindings for the hub's service account; the cluster's have the namespace in their names."""
    subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    wide = f"{NAME}-{namespace}"
    return (
        _role("ClusterRole", {"name": wide}, CLUSTER_RULES),
        _binding("ClusterRole", {"name": wide}, subject),
        _role("Role", {"name": NAME, "namespace": namespace}, NAMESPACE_RULES),
        _binding("Role", {"name": NAME, "namespace": namespace}, subject),
    )


def get_state_manifest(namespace: str, size: str = "2Gi") -> Manifest:
    """Return the claim for the ledger. It must be a disk, not NFS: SQLite's WAL does not work there."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": STATE_CLAIM, "namespace": namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}},
    }


def _role(kind: str, metadata: Manifest, rules: tuple[Manifest, ...]) -> Manifest:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": kind,
        "metadata": dict(metadata),
        "rules": [dict(one) for one in rules],
    }


def _binding(kind: str, metadata: Manifest, subject: Manifest) -> Manifest:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": f"{kind}Binding",
        "metadata": dict(metadata),
        "subjects": [dict(subject)],
        "roleRef": {"apiGroup": GROUP, "kind": kind, "name": metadata["name"]},
    }
