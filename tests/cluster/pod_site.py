"""A site whose hub, proxy and service are pods too: what `helm-values/base.yaml` makes, without the chart.

Guarantees: as `tests.cluster.site.Site`; what is asked of the hub's machine there is asked of the hub's pod here.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from mlabhub import chart
from mlabhub.cluster.chart import get_chart_manifests, make_instance
from tests.cluster.kubectl import KUBECTL, create, get, kubectl, try_kubectl
from tests.cluster.release import get_release_manifests
from tests.cluster.site import Site, make_name, remove_namespace
from tests.helm.overlays import merge
from tests.installation import free_port, wait_for

PROXY_IMAGE = os.environ.get("MLABHUB_TEST_PROXY_IMAGE", "quay.io/jupyterhub/configurable-http-proxy:5.3.0")
RELEASE = "mlabhub"
FIRST_RUN = "/srv/mlabhub/first-run.json"


@dataclass
class PodSite(Site):
    """A hub in pods, reached by `kubectl port-forward` to its proxy."""

    forward: subprocess.Popen[bytes] | None = None

    @property
    def instance(self) -> str:
        """The installation's id."""
        return make_instance(self.namespace, RELEASE)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that hub and service came to."""
        values: dict[str, Any] = json.loads(self.run_in_hub("cat", "/srv/mlabhub/run/settings.json"))
        return values

    def run_in_hub(self, *command: str, container: str = "hub") -> str:
        """Run a command in the hub's pod and return its output."""
        return kubectl("exec", "-n", self.namespace, "deploy/hub", "-c", container, "--", *command, seconds=120)

    def hub_pod(self) -> dict[str, Any]:
        """Return the one pod of the hub that is not on its way out."""
        pods = get("pods", self.namespace, "-l", "component=hub")
        (pod,) = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        return pod

    def start(self, seconds: float = 120) -> None:
        """Wait for hub and proxy, and make their address reachable from here."""
        for name in ("hub", "proxy"):
            kubectl(
                "rollout", "status", "-n", self.namespace, f"deploy/{name}", f"--timeout={seconds:.0f}s", seconds=150
            )
        command = ["port-forward", "-n", self.namespace, "service/proxy-public", f"{self.port}:80"]
        self.forward = subprocess.Popen([KUBECTL, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self._answers, seconds, f"hub and service at {self.url}")

    def _answers(self) -> bool:
        try:
            answers = [httpx.get(f"{self.url}{path}", timeout=5) for path in ("hub/login", "services/mlabhub/health")]
        except httpx.HTTPError:
            return False
        return all(answer.status_code == 200 for answer in answers)

    def stop(self) -> None:
        """End the way to it; its pods go with their namespace."""
        if self.forward is not None:
            self.forward.terminate()
            self.forward.wait(20)

    def first_admin(self) -> tuple[str, str]:
        """Return name and password of the first administrator, as the how-to says to find them."""
        values = json.loads(self.run_in_hub("cat", FIRST_RUN))
        return values["admin"], values["password"]

    def add_user(self, name: str, *groups: str, admin: bool = False) -> str:
        """Open an account and return its password."""
        more = [*(["--admin"] if admin else []), *(part for group in groups for part in ("--group", group))]
        password: str = json.loads(self.run_in_hub("mlabhub", "user", "add", name, "--json", *more))["password"]
        return password

    def log(self, name: str) -> str:
        """Return the log of a container of the hub's pod: hub, or mlabhub, the service."""
        return kubectl("logs", "-n", self.namespace, "deploy/hub", "-c", name)

    def routes(self) -> dict[str, Any]:
        """Return what the proxy leads where, as far as the hub knows."""
        with self.api(self.first_admin()[0]) as client:
            found: dict[str, Any] = client.get("hub/api/proxy").json()
        return found

    def close(self) -> None:
        """Stop, and remove every trace."""
        self.stop()
        remove_namespace(self.namespace)
        for kind in ("clusterrolebinding", "clusterrole"):
            try_kubectl("delete", kind, f"mlabhub-{self.namespace}", "--ignore-not-found")


def make_values(custom: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the values of base.yaml, and more of ``custom.mlabhub``."""
    values = merge(("base", "one-node"))
    for key, more in (custom or {}).items():
        values["custom"]["mlabhub"][key] = more
    return values


def start_pod_site(folder: Path, values: Mapping[str, Any], files: Mapping[str, str]) -> PodSite:
    """Make a namespace with hub, service and proxy, and wait until they answer; remove all if they do not.

    ``files`` are what the site's ConfigMap has.
    """
    site = PodSite(folder / "state", free_port(), namespace=make_name("pods"))
    custom = chart.Custom.model_validate(values["custom"]["mlabhub"])
    try:
        create(*get_chart_manifests(chart.make_spec(custom), namespace=site.namespace, release=RELEASE))
        config = {"name": "mlabhub-config", "namespace": site.namespace}
        create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": config, "data": dict(files)})
        create(*get_release_manifests(values, namespace=site.namespace, release=RELEASE, proxy_image=PROXY_IMAGE))
        site.start()
    except BaseException:
        site.close()
        raise
    return site
