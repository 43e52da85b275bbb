"""`make test-helm CHART=DIR`: helm renders the real chart with every combination of our overlays, and the API takes it.

Not among the tests that pytest finds by itself: the chart is not kept here. DIR is a checkout of the chart, or its
folder `jupyterhub`. With KUBECONFIG, everything is shown to the cluster, which changes nothing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.cluster.kubectl import kubectl, try_kubectl
from tests.cluster.release import get_release_manifests
from tests.cluster.site import make_name
from tests.helm.chart import make_chart, render
from tests.helm.overlays import FOLDER, combinations, merge

COMBINATIONS = tuple(combinations())


@pytest.fixture(scope="session")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the chart, ready for helm."""
    source = os.environ.get("CHART", "")
    assert Path(source or "/nowhere").is_dir(), "CHART names no folder: make test-helm CHART=CHECKOUT-OF-THE-CHART"
    assert shutil.which("helm"), "helm is not on PATH"
    return make_chart(Path(source), tmp_path_factory.mktemp("chart") / "jupyterhub")


@pytest.fixture(scope="session")
def namespace() -> Iterator[str]:
    """Return a namespace that is there while objects are shown to the cluster."""
    name = make_name("helm")
    kubectl("create", "namespace", name)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


def read(text: str) -> list[dict[str, Any]]:
    return [one for one in YAML(typ="safe").load_all(text) if one]


@pytest.mark.parametrize("names", COMBINATIONS, ids=lambda names: "+".join(names[1:]) or "base")
def test_helm_takes_it(chart: Path, names: tuple[str, ...]) -> None:
    objects = read(render(chart, names))
    (hub,) = [one for one in objects if one["kind"] == "Deployment" and one["metadata"]["name"] == "hub"]
    containers = hub["spec"]["template"]["spec"]["containers"]
    assert [container["name"] for container in containers] == ["hub", "mlabhub"]
    assert not [one for one in objects if one["kind"] in ("ClusterRole", "Role")], "more rights than ours"


def test_an_image_is_set_without_repeating_the_list(chart: Path) -> None:
    objects = read(render(chart, ("base", "harbor"), "--set", "hub.extraContainers[0].image=harbor/hub:1"))
    (hub,) = [one for one in objects if one["kind"] == "Deployment" and one["metadata"]["name"] == "hub"]
    service = hub["spec"]["template"]["spec"]["containers"][1]
    assert service["image"] == "harbor/hub:1"
    assert service["command"][-1] == "mlabhub.chart"


def test_a_typing_error_is_told(chart: Path) -> None:
    with pytest.raises(AssertionError, match="consecutiveFailureLimits"):
        render(chart, ("base",), "--set", "hub.consecutiveFailureLimits=1")


def test_our_own_renderer_makes_what_the_chart_makes(chart: Path) -> None:
    """Of what tests/cluster relies on: containers with their volumes, ports of services, who reaches what."""
    theirs = {(one["kind"], one["metadata"]["name"]): one for one in read(render(chart, ("base", "one-node")))}
    values = merge(("base", "one-node"), YAML(typ="safe").load((chart / "values.yaml").read_text()))
    ours = get_release_manifests(values, namespace="mlabhub", release="mlabhub", proxy_image="chp")
    for one in ours:
        other = theirs[one["kind"], one["metadata"]["name"]]
        assert essence(one) == essence(other), one["metadata"]["name"]


def essence(one: dict[str, Any]) -> Any:
    """Return what of an object has to be the same."""
    if one["kind"] == "Service":
        return sorted((port["port"], str(port.get("targetPort"))) for port in one["spec"]["ports"])
    if one["kind"] == "NetworkPolicy":
        return sorted(str(port["port"]) for rule in one["spec"]["ingress"] for port in rule["ports"])
    if one["kind"] != "Deployment":
        return None
    pod = one["spec"]["template"]["spec"]
    mounts = {
        container["name"]: sorted(
            (mount["mountPath"].rstrip("/"), mount["name"]) for mount in container["volumeMounts"]
        )
        for container in pod["containers"]
        if "volumeMounts" in container and container["name"] != "chp"
    }
    for paths in mounts.values():
        paths[:] = [pair for pair in paths if not pair[0].endswith("z2jh.py")]
    return mounts, sorted(volume["name"] for volume in pod["volumes"]) if mounts else None


if os.environ.get("KUBECONFIG"):

    @pytest.mark.parametrize("names", [("base",), ("base", "one-node"), max(COMBINATIONS, key=len)], ids=len)
    def test_the_cluster_takes_it(chart: Path, namespace: str, names: tuple[str, ...]) -> None:
        port = "proxy.service.nodePorts.http=null"  # that of one-node.yaml is taken where one has it installed
        text = render(chart, names, "--set", port, namespace=namespace)
        done = try_kubectl("apply", "--dry-run=server", "-n", namespace, "-f", "-", stdin=text)
        assert done.returncode == 0, done.stderr

    @pytest.mark.parametrize("file", sorted((FOLDER / "manifests").glob("*.yaml")), ids=lambda file: file.stem)
    def test_the_cluster_takes_what_is_beside_the_chart(namespace: str, file: Path) -> None:
        text = file.read_text().replace("namespace: mlabhub", f"namespace: {namespace}")
        done = try_kubectl("apply", "--dry-run=server", "-f", "-", stdin=text)
        if file.stem == "monitoring" and done.returncode:
            assert 'no matches for kind "ServiceMonitor"' in done.stderr, "not only the Prometheus operator is missing"
        else:
            assert done.returncode == 0, done.stderr
