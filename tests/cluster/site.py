"""A running hub whose servers are pods: `tests.installation.Installation` with ``--backend kube``.

Guarantees: own state folder, port, namespace and NAS; when it is closed its namespace and its volume are gone.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from mlabhub.catalog import default_directory
from mlabhub.cluster import labels
from mlabhub.core.names import server_slug
from tests.cluster.kubectl import create, get, kubectl, try_kubectl
from tests.installation import Installation, free_port, wait_for

CLAIM = "nas"
REGISTRY = os.environ.get("MLABHUB_TEST_REGISTRY", "")
A100, T4 = "a100", "t4"


def make_name(what: str) -> str:
    """Return a name for something of these tests that nothing else on the cluster has."""
    return f"t-{what}-{uuid.uuid4().hex[:8]}"


def make_nas(namespace: str, folder: Path) -> None:
    """Make a volume of a folder that all nodes see, and the claim `CLAIM` on it in the namespace, bound to it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o755)
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": namespace},
        "spec": {
            "capacity": {"storage": "1Ti"},
            "accessModes": ["ReadWriteMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
            "hostPath": {"path": str(folder), "type": "Directory"},
            "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": CLAIM},
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": CLAIM, "namespace": namespace},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "",
            "volumeName": namespace,
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    create(volume, claim)
    kubectl(
        "wait", "--for=jsonpath={.status.phase}=Bound", f"pvc/{CLAIM}", "-n", namespace, "--timeout=30s", seconds=40
    )


@dataclass
class Site(Installation):
    """One running hub on a cluster. ``nas`` is a folder that this machine and all nodes see."""

    namespace: str = ""
    nas: Path = Path("/nowhere")

    def pods(self) -> dict[str, dict[str, Any]]:
        """Return the pods of this installation by name."""
        found = get("pods", self.namespace, "-l", f"{labels.INSTANCE}={self.instance}")
        return {pod["metadata"]["name"]: pod for pod in found}

    def pod_name(self, user: str, server: str = "") -> str:
        """Return the name of a server's pod."""
        return labels.object_name(self.instance, server_slug(user, server))

    def pod(self, user: str, server: str = "") -> dict[str, Any] | None:
        """Return a server's pod."""
        return self.pods().get(self.pod_name(user, server))

    def start_server(self, user: str, server: str = "", seconds: float = 240, **user_options: Any) -> dict[str, Any]:
        """Launch, wait until it answers, and return its pod."""
        answer = self.launch(user, server, **user_options)
        assert answer.status_code == 201, answer.text
        self.wait_ready(user, server, seconds)
        pod = self.pod(user, server)
        assert pod is not None
        return pod

    def routes(self) -> dict[str, Any]:
        """Return what the proxy leads where."""
        settings = self.settings
        token = (self.state / "secrets" / "proxy-token").read_text()
        url = f"http://127.0.0.1:{settings['proxy_api_port']}/api/routes"
        found: dict[str, Any] = httpx.get(url, headers={"Authorization": f"token {token}"}).json()
        return found

    def is_clean(self) -> bool:
        """Tell whether nothing is left of any server: no pod, no reservation, no route."""
        return not self.pods() and not self.reservations() and not any("/user/" in path for path in self.routes())

    def wait_clean(self, seconds: float = 60) -> None:
        """Wait until nothing is left of any server."""
        wait_for(self.is_clean, seconds, f"nothing is left of servers in {self.namespace}")

    def stop_all(self) -> None:
        """Stop all servers and wait until nothing is left of them: how tests that share a site begin."""
        for row in self.reservations():
            with self.api(self.first_admin()[0]) as client:
                user, name = row["user"], row["server_name"]
                path = f"hub/api/users/{user}/servers/{name}" if name else f"hub/api/users/{user}/server"
                client.delete(path)
        self.wait_clean()

    def log(self, name: str) -> str:
        """Return a log of the installation: hub, service, proxy."""
        return (self.state / "log" / f"{name}.log").read_text(errors="replace")

    def close(self) -> None:
        """Stop, and remove every trace."""
        self.stop()
        remove_namespace(self.namespace)
        shutil.rmtree(self.nas, ignore_errors=True)


def remove_namespace(namespace: str) -> None:
    """Delete a namespace with all that is in it, and the volume of its NAS; wait until they are gone."""
    try_kubectl("delete", "pods", "--all", "-n", namespace, "--grace-period=1", "--wait=false")
    kubectl("delete", "namespace", namespace, "--ignore-not-found", "--timeout=100s", seconds=120)
    kubectl("delete", "persistentvolume", namespace, "--ignore-not-found", "--timeout=60s", seconds=80)


def make_site(
    folder: Path,
    nas: Path,
    *,
    kubernetes: Mapping[str, Any] | None = None,
    files: Mapping[str, str] | None = None,
    arguments: tuple[str, ...] = (),
    name: str = "site",
) -> Site:
    """Return a site that is not started, with the shipped configuration.

    ``kubernetes`` are further keys of kubernetes.yaml, ``files`` replace whole files of the configuration folder.
    People's and groups' folders are on the NAS, in ``user`` and ``share``, and made by the hub.
    """
    namespace = make_name(name)
    own = nas / namespace
    (own / "user").mkdir(parents=True)
    (own / "share").mkdir()
    config = folder / "config"
    shutil.copytree(default_directory(), config)
    (config / "storage.yaml").write_text(json.dumps({"user_root": f"{own}/user", "share_root": f"{own}/share"}))
    spec: dict[str, Any] = {"volumes": [{"folder": str(own), "claim": CLAIM}], "make_folders": "hub"}
    if REGISTRY:
        spec["registry"] = REGISTRY
    (config / "kubernetes.yaml").write_text(json.dumps({**spec, **(kubernetes or {})}))
    for file, text in (files or {}).items():
        (config / file).write_text(text)
    options = ("--backend", "kube", "--namespace", namespace, "--config", str(config), *arguments)
    return Site(folder / "state", free_port(), options, namespace=namespace, nas=own)


def start_site(site: Site) -> None:
    """Make its namespace and its NAS and run its hub; close it if that fails."""
    try:
        kubectl("create", "namespace", site.namespace)
        kubectl("label", "namespace", site.namespace, "pod-security.kubernetes.io/enforce=restricted")
        make_nas(site.namespace, site.nas)
        site.start()
    except BaseException:
        site.close()
        raise
