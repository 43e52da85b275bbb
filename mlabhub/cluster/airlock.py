"""The airlock: the one pod through which files come to servers that reach nothing.

Guarantees: pure; the pod has the labels by which the network policies know it, passes the baseline Pod Security
standard, and sees of the cluster its own folder and its Secrets.
"""

from __future__ import annotations

from typing import Any

from mlabhub.cluster import labels
from mlabhub.cluster.policies import AIRLOCK_PORT

Manifest = dict[str, Any]

IMAGE = "localhost/mlabhub/airlock:latest"
CLAIM = "airlock"
ACCOUNTS = "airlock-accounts"
"""The Secret with a key for each account: NAME its public keys, NAME.password a crypt(3) hash."""
HOST_KEY = "airlock-host-key"
"""The Secret with ``host_key``."""
DROP = "/srv/airlock/drop"
CAPABILITIES = ("CHOWN", "SETGID", "SETUID", "SYS_CHROOT")
"""What sshd needs to shut a session into a folder, and to own a new one."""


def get_airlock_manifests(
    *, namespace: str, instance: str, image: str = IMAGE, claim: str = CLAIM, folder: str = ""
) -> tuple[Manifest, Manifest]:
    """Return Deployment and Service of an airlock whose folder is a claim, or a ``folder`` in it."""
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(namespace, instance),
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": _marks(instance)},
            "template": {"metadata": {"labels": _marks(instance)}, "spec": _pod(image, claim, folder)},
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(namespace, instance),
        "spec": {
            "type": "LoadBalancer",
            "selector": _marks(instance),
            "ports": [{"name": "sftp", "port": AIRLOCK_PORT, "targetPort": "sftp"}],
        },
    }
    return deployment, service


def _marks(instance: str) -> dict[str, str]:
    return {labels.INSTANCE: instance, labels.PART: labels.PART_AIRLOCK}


def _metadata(namespace: str, instance: str) -> Manifest:
    return {"name": labels.object_name(instance, "airlock"), "namespace": namespace, "labels": _marks(instance)}


def _pod(image: str, claim: str, folder: str) -> Manifest:
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container(image, folder)],
        "volumes": [
            {"name": "drop", "persistentVolumeClaim": {"claimName": claim}},
            {"name": "accounts", "secret": {"secretName": ACCOUNTS, "optional": True}},
            {"name": "host", "secret": {"secretName": HOST_KEY, "optional": True, "defaultMode": 0o400}},
        ],
    }


def _container(image: str, folder: str) -> Manifest:
    return {
        "name": "airlock",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"name": "sftp", "containerPort": AIRLOCK_PORT}],
        "startupProbe": {"tcpSocket": {"port": "sftp"}, "periodSeconds": 1, "failureThreshold": 60},
        # Seldom, as sshd notes each in its log.
        "livenessProbe": {"tcpSocket": {"port": "sftp"}, "periodSeconds": 60},
        "resources": {
            "requests": {"cpu": "50m", "memory": "64Mi"},
            "limits": {"cpu": "1", "memory": "512Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"], "add": list(CAPABILITIES)},
        },
        "volumeMounts": [
            {"name": "drop", "mountPath": DROP, **({"subPath": folder} if folder else {})},
            {"name": "accounts", "mountPath": "/etc/airlock", "readOnly": True},
            {"name": "host", "mountPath": "/etc/airlock-host", "readOnly": True},
        ],
    }
