"""Accounts of a cluster that may do less than an administrator."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.cluster.kubectl import kubectl


def account(namespace: str, folder: Path, rules: Iterable[Mapping[str, Any]]) -> Path:
    """Return a kubeconfig of an account in the namespace that may do what the rules say on the whole cluster.

    `forget` removes what outlives the namespace.
    """
    kubectl("create", "serviceaccount", "narrow", "-n", namespace)
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": namespace}}
    kubectl("create", "-f", "-", stdin=json.dumps({**role, "rules": list(rules)}))
    who = f"--serviceaccount={namespace}:narrow"
    kubectl("create", "clusterrolebinding", namespace, f"--clusterrole={namespace}", who)
    config = json.loads(kubectl("config", "view", "--raw", "--minify", "-o", "json"))
    config["users"][0]["user"] = {"token": kubectl("create", "token", "narrow", "-n", namespace).strip()}
    file = folder / "kubeconfig"
    file.write_text(json.dumps(config))
    return file


def forget(namespace: str) -> None:
    """Remove the role and the binding of an account."""
    for kind in ("clusterrolebinding", "clusterrole"):
        kubectl("delete", kind, namespace, "--ignore-not-found")
