"""`mlabhub doctor` on a real cluster: all that it looks at when all is well, then each thing broken by itself."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mlabhub.cluster.chart import CLUSTER_RULES, NAMESPACE_RULES
from mlabhub.settings import Settings, load_settings
from tests.cluster.accounts import account
from tests.cluster.kubectl import create, get, kubectl
from tests.cluster.site import CLAIM, Site
from tests.installation import MLABHUB, free_port

OF_CLUSTER = {
    "cluster",
    "rights",
    "GPUs",
    "namespace",
    f"claim {CLAIM}",
    "StorageClasses",
    "image base",
    "pods reached from here",
    "hub reached from pods",
    "network policies",
}


def doctor(state: Path) -> dict[str, dict[str, Any]]:
    """Return what doctor finds, by name."""
    argv = [MLABHUB, "doctor", "--state", str(state), "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout, done.stderr
    return {check["name"]: check for check in json.loads(done.stdout)}


@pytest.fixture
def broken(site: Site, tmp_path: Path) -> Any:
    """Return a function that makes a state folder like the site's with other settings, and other kubernetes.yaml."""

    def make(spec: dict[str, Any] | None = None, **settings: Any) -> Path:
        config = tmp_path / "config"
        subprocess.run(["cp", "-r", site.settings["config_dir"], str(config)], check=True)
        if spec is not None:
            (config / "kubernetes.yaml").write_text(json.dumps(spec))
        state = tmp_path / "state"
        values = {**site.settings, "state_dir": state, "config_dir": config, "port": free_port(), **settings}
        Settings.model_validate(values).save()
        return state

    return make


def test_all_is_well(site: Site) -> None:
    found = doctor(site.state)
    assert set(found) >= OF_CLUSTER
    assert {name: found[name]["status"] for name in OF_CLUSTER if name != "StorageClasses"} == dict.fromkeys(
        OF_CLUSTER - {"StorageClasses"}, "ok"
    ), found
    assert found["StorageClasses"]["status"] == "info", "kubernetes.yaml asks for none"
    assert f":{site.port}" in found["hub reached from pods"]["found"]
    assert "container engine" not in found, "nothing runs in containers of this machine"
    assert not get("pods", site.namespace), "the probes are gone"
    assert all(site.instance in one["metadata"]["name"] for one in get("networkpolicies", site.namespace))


def test_a_cluster_that_does_not_answer(broken: Any, tmp_path: Path) -> None:
    config = json.loads(kubectl("config", "view", "--raw", "--minify", "-o", "json"))
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{free_port()}"
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    found = doctor(broken(kubeconfig=tmp_path / "kubeconfig"))
    assert found["cluster"]["status"] == "missing"
    assert "refused" in found["cluster"]["fix"]
    assert "image base" not in found, "what cannot be asked is not guessed"


def test_an_account_without_one_of_our_rights(broken: Any, narrow: str, tmp_path: Path) -> None:
    rules = [rule for rule in (*CLUSTER_RULES, *NAMESPACE_RULES) if rule["resources"] != ["persistentvolumeclaims"]]
    state = broken(kubeconfig=account(narrow, tmp_path, rules))
    load_settings(state_dir=state).ca_file.write_text("")
    found = doctor(state)
    assert found["site's files"]["status"] == "missing"
    assert found["rights"]["status"] == "missing"
    assert "persistentvolumeclaims" in found["rights"]["found"]
    assert found["network policies"]["status"] == "info"
    assert found["network policies"]["found"].startswith("not known: this account may not apply them")


def test_an_image_that_no_node_has(broken: Any) -> None:
    found = doctor(broken({"registry": "registry.invalid/nowhere", "pull_policy": "Never"}))
    assert found["image base"]["status"] == "missing"
    assert "registry.invalid/nowhere/base:latest" in found["image base"]["found"]
    assert "mlabhub image push" in found["image base"]["fix"]
    assert found["hub reached from pods"]["status"] == "info"


def test_a_namespace_that_is_not_there_or_too_strict(broken: Any, namespace: str) -> None:
    found = doctor(broken({"allow": ["host_path"]}, namespace=namespace))
    assert found["namespace"]["found"] == f"{namespace} enforces restricted, kubernetes.yaml needs privileged"


def test_claims_and_classes_that_are_not_there(broken: Any, site: Site, namespace: str) -> None:
    volumes = [
        {"folder": "/srv/a", "claim": "lost"},
        {"folder": "/srv/b", "claim_per_folder": {"storage_class": "no-such-class", "size_gib": 1}},
    ]
    found = doctor(broken({"volumes": volumes, "make_folders": "nobody"}, namespace=namespace))
    assert (found["claim lost"]["status"], found["claim lost"]["found"]) == ("missing", "is not there")
    assert "there is no no-such-class" in found["StorageClasses"]["found"]


@pytest.mark.parametrize(("mode", "status"), [("WaitForFirstConsumer", "ok"), ("Immediate", "missing")])
def test_a_claim_without_a_volume(broken: Any, namespace: str, mode: str, status: str) -> None:
    """It lacks one only if its class does not wait for a server."""
    storage_class = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": namespace},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": mode,
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "nas", "namespace": namespace},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": namespace,
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    try:
        create(storage_class, claim)
        spec = {"volumes": [{"folder": "/srv/a", "claim": "nas"}], "make_folders": "nobody"}
        found = doctor(broken(spec, namespace=namespace))
        assert found["claim nas"]["status"] == status, found["claim nas"]
    finally:
        kubectl("delete", "storageclass", namespace, "--ignore-not-found")


def test_a_hub_that_pods_do_not_reach(broken: Any) -> None:
    found = doctor(broken(hub_host="192.0.2.1"))
    assert found["hub reached from pods"]["status"] == "missing"
    assert "192.0.2.1" in found["hub reached from pods"]["found"]
    assert "--hub-host" in found["hub reached from pods"]["fix"]
    assert found["pods reached from here"]["status"] == "ok", "this machine's own addresses are let in as well"
