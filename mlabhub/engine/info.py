"""What an engine tells of containers, images and networks, as values: from the JSON that Docker and Podman answer.

Guarantees: pure; what an engine may leave out is empty or None here, never a guess.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class ContainerInfo:
    """A container as the engine sees it. ``state`` is the engine's word: created, running, exited, ..."""

    id: str
    name: str
    state: str
    labels: Mapping[str, str]
    image_id: str
    networks: Mapping[str, str]
    pid: int = 0
    exit_code: int | None = None
    oom_killed: bool = False
    created: float | None = None
    """Seconds since the epoch; every start makes a new container."""
    environment: tuple[str, ...] = ()
    layer: str = ""
    """Folder with what it wrote, where the engine says so."""

    @property
    def running(self) -> bool:
        """Return whether its processes live."""
        return self.state in {"running", "paused", "stopping"}


@dataclass(frozen=True)
class ImageInfo:
    """An image as the engine sees it."""

    id: str
    references: tuple[str, ...]
    labels: Mapping[str, str]
    config: Mapping[str, Any]
    architecture: str = ""
    """The engine's word: amd64, arm64; empty if it does not say."""
    layers: int = 0
    size: int = 0
    created: float | None = None

    @property
    def environment(self) -> tuple[str, ...]:
        """Variables of the image."""
        return tuple(self.config.get("Env") or ())


def inspected_container(answer: Mapping[str, Any]) -> ContainerInfo:
    """Return a container that was asked for by itself."""
    state = answer["State"]
    return ContainerInfo(
        id=str(answer["Id"]),
        name=str(answer["Name"]).lstrip("/"),
        state=str(state["Status"]),
        labels=dict(answer["Config"].get("Labels") or {}),
        image_id=_bare(answer["Image"]),
        networks=_addresses(answer.get("NetworkSettings")),
        pid=int(state.get("Pid") or 0),
        exit_code=None if state.get("Running") else int(state.get("ExitCode") or 0),
        oom_killed=bool(state.get("OOMKilled")),
        created=_seconds(answer.get("Created")),
        environment=tuple(answer["Config"].get("Env") or ()),
        layer=str(((answer.get("GraphDriver") or {}).get("Data") or {}).get("UpperDir") or ""),
    )


def listed_container(item: Mapping[str, Any]) -> ContainerInfo:
    """Return a container of a list, which says less."""
    return ContainerInfo(
        id=str(item["Id"]),
        name=str((item.get("Names") or [""])[0]).lstrip("/"),
        state=str(item["State"]),
        labels=dict(item.get("Labels") or {}),
        image_id=_bare(item.get("ImageID") or ""),
        networks=_addresses(item.get("NetworkSettings")),
        created=_seconds(item.get("Created")),
    )


def inspected_image(answer: Mapping[str, Any]) -> ImageInfo:
    """Return an image that was asked for by itself."""
    config = answer.get("Config") or {}
    return ImageInfo(
        _bare(answer["Id"]),
        tuple(answer.get("RepoTags") or ()),
        dict(config.get("Labels") or {}),
        config,
        architecture=str(answer.get("Architecture") or ""),
        layers=len((answer.get("RootFS") or {}).get("Layers") or ()),
        size=int(answer.get("Size") or 0),
        created=_seconds(answer.get("Created")),
    )


def listed_image(item: Mapping[str, Any]) -> ImageInfo:
    """Return an image of a list, which says less."""
    return ImageInfo(
        _bare(item["Id"]),
        tuple(item.get("RepoTags") or ()),
        dict(item.get("Labels") or {}),
        {},
        size=int(item.get("Size") or 0),
        created=_seconds(item.get("Created")),
    )


def _seconds(moment: Any) -> float | None:
    """Return an engine's time: a number, or a text whose nanoseconds Python 3.10 cannot read; None if it has none."""
    if isinstance(moment, (int, float)):
        return float(moment)
    try:
        return datetime.fromisoformat(str(moment)[:19] + "+00:00").timestamp()
    except ValueError:
        return None


def _addresses(settings: Mapping[str, Any] | None) -> dict[str, str]:
    networks = (settings or {}).get("Networks") or {}
    return {str(name): str((network or {}).get("IPAddress") or "") for name, network in networks.items()}


def subnets_of(network: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the subnets of a network."""
    configs = (network.get("IPAM") or {}).get("Config") or ()
    return tuple(str(config["Subnet"]) for config in configs if config.get("Subnet"))


def by_labels(labels: Mapping[str, str]) -> str:
    """Return a filter by the first label; `has_labels` does the rest, as Podman 4.3 finds no image by two."""
    name, value = next(iter(labels.items()))
    return json.dumps({"label": [f"{name}={value}" if value else name]})


def has_labels(item: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Return whether an item has these labels; an empty value stands for any."""
    found = item.get("Labels") or {}
    return all(name in found and value in {"", found[name]} for name, value in labels.items())


def _bare(image_id: str) -> str:
    return str(image_id).removeprefix("sha256:")
