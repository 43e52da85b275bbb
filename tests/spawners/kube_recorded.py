"""Pods and their events as a real cluster (Kubernetes 1.34, containerd) told of them in all kinds of trouble.

Each line of `kube_recorded.jsonl` is one pod and what was new at each look, ``at`` seconds after it was made.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("kube_recorded.jsonl")
Json = dict[str, Any]


@dataclass(frozen=True)
class Look:
    """What the cluster told at one time."""

    at: float
    pod: Json
    events: list[Json]


@cache
def _lines() -> dict[str, Json]:
    lines = [json.loads(line) for line in FILE.read_text().splitlines()]
    return {line["metadata"]["name"]: line for line in lines}


def names() -> list[str]:
    """Return the names of all that was recorded."""
    return sorted(_lines())


def looks(name: str, **metadata: Any) -> Iterator[Look]:
    """Yield every look at one pod; ``metadata`` is put into the pod's."""
    line = _lines()[name]
    pod: Json = {"metadata": {**line["metadata"], **metadata}, "spec": dict(line["spec"]), "status": {}}
    events: dict[int, Json] = {}
    for step in line["steps"]:
        pod = {**pod, "status": step.get("status", pod["status"])}
        if "nodeName" in step:
            pod["spec"] = {**pod["spec"], "nodeName": step["nodeName"]}
        if "deletionTimestamp" in step:
            pod["metadata"] = {**pod["metadata"], "deletionTimestamp": step["deletionTimestamp"]}
        for event in step.get("events", ()):
            known = events.get(event["id"], {"involvedObject": _about(line["metadata"], event)})
            events[event["id"]] = {**known, **{key: event[key] for key in event if key not in ("id", "of")}}
        yield Look(step["at"], pod, list(events.values()))


def last(name: str) -> Look:
    """Return the last look at one pod."""
    return list(looks(name))[-1]


def _about(metadata: Mapping[str, Any], event: Mapping[str, Any]) -> Json:
    if "of" in event:
        return {"kind": "PersistentVolumeClaim", "name": event["of"], "uid": "of-the-claim"}
    return {"kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
