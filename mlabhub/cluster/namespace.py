"""The namespace of people's servers, and the Pod Security standard that it enforces.

Guarantees: pure. The standard is the strictest one that lets pass what ``kubernetes.yaml`` asks for; people's own pods
are made to the restricted one in any case, unless ``allow`` says otherwise.
"""

from __future__ import annotations

from typing import Any, Literal

from mlabhub.core.kubernetes import KubernetesSpec

ENFORCE = "pod-security.kubernetes.io/enforce"
DEFAULT_NAMESPACE = "mlabhub"

Level = Literal["restricted", "baseline", "privileged"]
LEVELS: tuple[Level, ...] = ("restricted", "baseline", "privileged")


def pod_security_level(spec: KubernetesSpec) -> Level:
    """Return the standard that the namespace may enforce: host paths need the last, root inside the one before."""
    if "host_path" in spec.allow:
        return "privileged"
    makes_folders = spec.make_folders == "pod" and any(volume.claim for volume in spec.volumes)
    return "baseline" if makes_folders or {"sudo", "airlock"} & set(spec.allow) else "restricted"


def is_too_strict(enforced: str | None, needed: Level) -> bool:
    """Tell whether a namespace would refuse pods that are needed; one without the label refuses none."""
    return enforced in LEVELS and LEVELS.index(enforced) < LEVELS.index(needed)


def get_namespace_manifest(name: str, spec: KubernetesSpec) -> dict[str, Any]:
    """Return the namespace."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {ENFORCE: pod_security_level(spec)}},
    }
