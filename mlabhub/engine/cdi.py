"""CDI: what a GPU is to a container engine, and a made specification for GPUs that are only simulated.

Guarantees: the made file names this installation, so that two do not overwrite each other's; what a device should look
like inside a container is read from the same specification that the engine uses.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mlabhub.settings import replace_file

NVIDIA_CDI_KIND = "nvidia.com/gpu"
SIMULATED_PREFIX = "GPU-sim-"
CDI_DIRS = (Path("/etc/cdi"), Path("/var/run/cdi"))
CDI_VERSION = "0.5.0"
_DRIVER_FILE = re.compile(r"\.so\.(\d{3,}\.\d+(?:\.\d+)?)$|/nvidia/(\d{3,}\.\d+(?:\.\d+)?)/")


@dataclass(frozen=True)
class Expected:
    """What a container that was given a device must show: paths of device nodes, entries of the environment."""

    nodes: tuple[str, ...]
    environment: tuple[str, ...]


@dataclass(frozen=True)
class NvidiaSpec:
    """NVIDIA's specification: names of devices, versions of the driver in files' names, and all paths on the host."""

    devices: frozenset[str]
    drivers: frozenset[str]
    paths: tuple[str, ...]


def cdi_name(uuid: str, instance: str) -> str:
    """Return the CDI name of a GPU."""
    kind = simulated_kind(instance) if uuid.startswith(SIMULATED_PREFIX) else NVIDIA_CDI_KIND
    return f"{kind}={uuid}"


def simulated_kind(instance: str) -> str:
    """Return the CDI kind of an installation's simulated GPUs; a device that two files have counts as none."""
    return f"mlabhub-{instance}.sim/gpu"


def make_simulated_spec(instance: str, uuids: Sequence[str]) -> dict[str, Any]:
    """Return a CDI specification for simulated GPUs: a harmless device and a variable for each.

    It is a mount, not a device node: in a user namespace a node must be there on the machine under the same name.
    """
    return {
        "cdiVersion": CDI_VERSION,
        "kind": simulated_kind(instance),
        "devices": [
            {
                "name": uuid,
                "containerEdits": {
                    "mounts": [
                        {
                            "hostPath": "/dev/null",
                            "containerPath": f"/dev/mlabgpu{number}",
                            "options": ["bind", "nosuid", "noexec"],
                        }
                    ],
                    "env": [f"MLABHUB_SIM_GPU_{number}={uuid}"],
                },
            }
            for number, uuid in enumerate(uuids)
        ],
    }


def simulated_spec_file(instance: str) -> Path:
    """Return where an installation's made specification is."""
    return CDI_DIRS[1] / f"mlabhub-{instance}.json"


def write_simulated_spec(instance: str, uuids: Sequence[str]) -> Path | None:
    """Write the specification of simulated GPUs, or remove it if there are none. Return its file."""
    file = simulated_spec_file(instance)
    if not uuids:
        remove_simulated_spec(instance)
        return None
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_file(file, json.dumps(make_simulated_spec(instance, uuids), indent=1))
    return file


def remove_simulated_spec(instance: str) -> None:
    """Remove the specification of simulated GPUs."""
    simulated_spec_file(instance).unlink(missing_ok=True)


def expected_of(names: Iterable[str], dirs: Sequence[Path] = CDI_DIRS) -> dict[str, Expected]:
    """Return what each named device must show in a container; a name that no specification has is absent."""
    wanted = set(names)
    found: dict[str, Expected] = {}
    for spec in _read_specs(dirs):
        for device in spec.get("devices") or ():
            name = f"{spec.get('kind')}={device.get('name')}"
            if name in wanted:
                found[name] = _expected(device.get("containerEdits") or {})
    return found


def read_nvidia(dirs: Sequence[Path] = CDI_DIRS) -> NvidiaSpec:
    """Return what NVIDIA's specification says of this machine; it is empty if there is none."""
    devices: set[str] = set()
    paths: dict[str, None] = {}
    for spec in _read_specs(dirs):
        if spec.get("kind") != NVIDIA_CDI_KIND:
            continue
        listed = spec.get("devices") or ()
        devices.update(str(device.get("name")) for device in listed)
        for edits in (spec.get("containerEdits"), *(device.get("containerEdits") for device in listed)):
            mounts = (edits or {}).get("mounts") or ()
            nodes = (edits or {}).get("deviceNodes") or ()
            paths.update((str(mount.get("hostPath")), None) for mount in mounts)
            paths.update((str(node.get("hostPath") or node.get("path")), None) for node in nodes)
    drivers = (found[1] or found[2] for path in paths if (found := _DRIVER_FILE.search(path)))
    return NvidiaSpec(frozenset(devices), frozenset(drivers), tuple(paths))


def _expected(edits: dict[str, Any]) -> Expected:
    nodes = (str(node["path"]) for node in edits.get("deviceNodes") or ())
    mounts = (str(mount["containerPath"]) for mount in edits.get("mounts") or ())
    return Expected(
        nodes=tuple(path for path in (*nodes, *mounts) if path.startswith("/dev/")),
        environment=tuple(str(entry) for entry in edits.get("env") or ()),
    )


def _read_specs(dirs: Sequence[Path]) -> Iterable[dict[str, Any]]:
    for folder in dirs:
        for file in sorted(folder.glob("*")):
            if file.suffix not in {".json", ".yaml", ".yml"}:
                continue
            try:
                text = file.read_text()
                spec = json.loads(text) if file.suffix == ".json" else YAML(typ="safe").load(text)
            except (OSError, ValueError, YAMLError):
                continue  # The engine itself skips, or reports, what it cannot read.
            if isinstance(spec, dict):
                yield spec
