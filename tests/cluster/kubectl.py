"""kubectl, as tests look at a cluster: what there is, what the API says, and what it takes to change something."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from typing import Any

KUBECTL = "kubectl"


def kubectl(*arguments: str, stdin: str | None = None, seconds: float = 60) -> str:
    """Run kubectl and return its output; fail with its words."""
    done = try_kubectl(*arguments, stdin=stdin, seconds=seconds)
    assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}{done.stdout}"
    return done.stdout


def try_kubectl(*arguments: str, stdin: str | None = None, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    """Run kubectl and return what became of it."""
    return subprocess.run(
        [KUBECTL, *arguments], input=stdin, capture_output=True, text=True, timeout=seconds, check=False, env=os.environ
    )


def get(kind: str, namespace: str = "", *arguments: str) -> list[dict[str, Any]]:
    """Return all objects of a kind, in a namespace or on the whole cluster; further arguments as kubectl has them."""
    where = ("-n", namespace) if namespace else ("-A",)
    items: list[dict[str, Any]] = json.loads(kubectl("get", kind, *where, "-o", "json", *arguments))["items"]
    return items


def create(*manifests: Mapping[str, Any]) -> None:
    """Create objects, or change them to what the manifests say."""
    whole = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
    kubectl("apply", "-f", "-", stdin=json.dumps(whole))
