"""The airlock's manifests, whole."""

import pytest

from mlabhub.cluster.airlock import get_airlock_manifests

MARKS = {"mlabhub/instance": "abc12", "mlabhub/part": "airlock"}
METADATA = {"name": "mlabhub-abc12-airlock", "namespace": "people", "labels": MARKS}


@pytest.mark.parametrize(("folder", "part"), [("", {}), ("public/airlock", {"subPath": "public/airlock"})])
def test_deployment_and_service(folder, part):
    container = {
        "name": "airlock",
        "image": "harbor.lab/mlabhub/airlock:1",
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"name": "sftp", "containerPort": 2022}],
        "startupProbe": {"tcpSocket": {"port": "sftp"}, "periodSeconds": 1, "failureThreshold": 60},
        "livenessProbe": {"tcpSocket": {"port": "sftp"}, "periodSeconds": 60},
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"], "add": ["CHOWN", "SETGID", "SETUID", "SYS_CHROOT"]},
        },
        "volumeMounts": [
            {"name": "drop", "mountPath": "/srv/airlock/drop", **part},
            {"name": "accounts", "mountPath": "/etc/airlock", "readOnly": True},
            {"name": "host", "mountPath": "/etc/airlock-host", "readOnly": True},
        ],
    }
    pod = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [
            {"name": "drop", "persistentVolumeClaim": {"claimName": "nas"}},
            {"name": "accounts", "secret": {"secretName": "airlock-accounts", "optional": True}},
            {"name": "host", "secret": {"secretName": "airlock-host-key", "optional": True, "defaultMode": 0o400}},
        ],
    }
    made = get_airlock_manifests(
        namespace="people", instance="abc12", image="harbor.lab/mlabhub/airlock:1", claim="nas", folder=folder
    )
    assert made == (
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": METADATA,
            "spec": {
                "replicas": 1,
                "strategy": {"type": "Recreate"},
                "selector": {"matchLabels": MARKS},
                "template": {"metadata": {"labels": MARKS}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": METADATA,
            "spec": {
                "type": "LoadBalancer",
                "selector": MARKS,
                "ports": [{"name": "sftp", "port": 2022, "targetPort": "sftp"}],
            },
        },
    )
