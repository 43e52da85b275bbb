"""The site's settings for people's pods: the files that containers get of the hub's machine, in one ConfigMap.

Guarantees: pure; without any file there is neither volume nor mount.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlabhub.cluster import labels
from mlabhub.site import inside

Manifest = dict[str, Any]
VOLUME = "site"
CA = "ca.pem"


@dataclass(frozen=True)
class PodSite:
    """What a pod gets of the site."""

    environment: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[Manifest, ...] = ()
    mounts: tuple[Manifest, ...] = ()


def get_site_manifest(instance: str, namespace: str, files: Mapping[str, bytes]) -> Manifest:
    """Return the ConfigMap with the files, which are named as in the site's folder."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": config_map(instance),
            "namespace": namespace,
            "labels": {labels.INSTANCE: instance, labels.PART: labels.PART_SITE},
        },
        "binaryData": {key_of(name): base64.b64encode(content).decode() for name, content in sorted(files.items())},
    }


def make_pod_site(instance: str, files: Mapping[str, bytes], environment: Mapping[str, str]) -> PodSite:
    """Return the volume with these files, where they are mounted, and the variables that lead to them."""
    if not files:
        return PodSite(environment)
    items = [{"key": key_of(name), "path": name} for name in sorted(files)]
    volume = {"name": VOLUME, "configMap": {"name": config_map(instance), "items": items}}
    places = {**inside.PLACES, CA: inside.CA_INSIDE}
    single = (_mount(place, name) for name, place in places.items() if name in files)
    return PodSite(environment, (volume,), (_mount(inside.FOLDER), *single))


def config_map(instance: str) -> str:
    """Return the ConfigMap's name."""
    return labels.object_name(instance, VOLUME)


def key_of(name: str) -> str:
    """Return a file's key, which has no slashes; no name of the site's files has two underscores."""
    return name.replace("/", "__")


def _mount(place: str, name: str = "") -> Manifest:
    return {"name": VOLUME, "mountPath": place, "readOnly": True, **({"subPath": name} if name else {})}
