"""`mlabhub up --backend kube`: what it sets up on a cluster, and what it says where something is in the way."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from mlabhub.cluster.namespace import ENFORCE
from tests.cluster.accounts import account
from tests.cluster.kubectl import get, kubectl
from tests.cluster.site import Site, make_name, remove_namespace
from tests.installation import MLABHUB, free_port


def up(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `mlabhub up` where it is to end by itself."""
    argv = [MLABHUB, "up", "--backend", "kube", "--state", str(folder / "state"), "--port", str(free_port())]
    return subprocess.run([*argv, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_the_cluster_is_ready_for_servers(site: Site) -> None:
    settings = site.settings
    assert settings["backend"] == "kube"
    assert settings["namespace"] == site.namespace
    assert settings["kube_context"], "decided at the start"
    addresses = json.loads(subprocess.run(["ip", "-j", "address"], capture_output=True, text=True, check=True).stdout)
    assert settings["hub_host"] in {entry["local"] for link in addresses for entry in link["addr_info"]}
    policies = get("networkpolicies", site.namespace, "-l", f"mlabhub/instance={site.instance}")
    assert {"all", "servers"} <= {policy["metadata"]["name"].rpartition("-")[2] for policy in policies}
    said = " ".join(site.output().replace("│", " ").split())
    assert "does not reach pods" not in said
    assert "may not" not in said


def test_an_account_that_sees_no_nodes(narrow: str, tmp_path: Path) -> None:
    done = up(tmp_path, "--kubeconfig", str(account(narrow, tmp_path, [])), "--namespace", narrow)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "does not let the account list its nodes" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_account_that_may_make_no_namespace(narrow: str, tmp_path: Path) -> None:
    rules = [{"apiGroups": [""], "resources": ["nodes", "namespaces"], "verbs": ["get", "list"]}]
    file, missing = account(narrow, tmp_path, rules), make_name("missing")
    done = up(tmp_path, "--kubeconfig", str(file), "--namespace", missing)
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"There is no namespace {missing}" in done.stderr
    assert f"kubectl create namespace {missing}" in done.stderr


def test_credentials_that_nobody_knows(kubeconfig: str, tmp_path: Path) -> None:
    config = json.loads(kubectl("config", "view", "--raw", "--minify", "-o", "json"))
    config["users"][0]["user"] = {"token": "wrong"}
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    done = up(tmp_path, "--kubeconfig", str(tmp_path / "kubeconfig"))
    assert (done.returncode, "401" in done.stderr) == (3, True), done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_context_that_is_not_there(kubeconfig: str, tmp_path: Path) -> None:
    done = up(tmp_path, "--context", "elsewhere")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "no context 'elsewhere'" in done.stderr
    assert not (tmp_path / "state" / "run" / "settings.json").exists()


def test_a_namespace_is_made_with_the_strictest_standard(kubeconfig: str, tmp_path: Path) -> None:
    name = make_name("made")
    site = Site(tmp_path / "state", free_port(), ("--backend", "kube", "--namespace", name), namespace=name)
    try:
        site.start()
        [found] = [entry for entry in get("namespaces") if entry["metadata"]["name"] == name]
        assert found["metadata"]["labels"][ENFORCE] == "restricted"
    finally:
        site.stop()
        remove_namespace(name)
