"""What a pod from an outside image gets besides: the folder that such images lack, and a name for its person.

Guarantees: pure; what is added has the rights and the limits of the pod's own container and no more; the image's
variables keep neither our interpreter nor the server from starting. Those of `LOADER` an outside image does not get.

A pod cannot mount another image. So a first container copies ``/opt/runtime`` out of our image `runtime`, and a second
one, of the outside image itself, enters the person beside the accounts that the image has.
"""

from __future__ import annotations

from typing import Any

from mlabhub.engine import runtime

Manifest = dict[str, Any]

RUNTIME = "runtime"
"""The volume, and the container that fills it."""
ACCOUNTS = "accounts"
FILLED = "/mnt/runtime"
"""Where the volume is while it is filled."""
ENTERED = "/mnt/accounts"
LOADER = ("LD_AUDIT", "LD_PRELOAD")
PERSON = ("MLABHUB_GID", "MLABHUB_GROUPS", "MLABHUB_HOME", "MLABHUB_SUDO", "MLABHUB_UID", "MLABHUB_USER")
GIVEN = "MLABHUB_GIVEN"
"""Names of variables that look like an image's to be set aside, but are the site's or the hub's."""
COPY = ("sh", "-c", f"exec cp --recursive --preserve=mode,timestamps,links {runtime.INSIDE}/* {FILLED}")
"""What is in it, and not the folder itself: the volume's own modes and times are not the person's to set."""
NO_GPUS = {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"}
"""Many images ask for all GPUs of their node: to have a name entered needs none, and a plan's are for the server."""
ENTER = (f"{runtime.PLACE}/bin/python3", "-I", "-m", "mlabhub_outside.accounts", ENTERED)
_ADDED = (
    {"name": RUNTIME, "mountPath": runtime.PLACE, "readOnly": True},
    # An empty list of libraries, over the image's own, for the loader to load into every program.
    {"name": RUNTIME, "mountPath": "/etc/ld.so.preload", "subPath": "etc/empty", "readOnly": True},
)
_NAMES = tuple(
    {"name": ACCOUNTS, "mountPath": f"/etc/{file}", "subPath": file, "readOnly": True} for file in ("passwd", "group")
)


def add_outside(pod: Manifest, runtime_image: str) -> Manifest:
    """Return a pod's specification, whose image is an outside one, with all that it needs; root enters itself."""
    [container] = pod["containers"]
    is_root = pod["securityContext"]["runAsUser"] == 0
    own_accounts = [mount for mount in container["volumeMounts"] if mount["name"] != ACCOUNTS]
    return {
        **pod,
        "initContainers": [
            _fill(container, runtime_image),
            *([] if is_root else [_enter(container)]),
        ],
        "containers": [
            {
                **container,
                "command": list(runtime.ENTRYPOINT),
                "workingDir": "/",  # the image's may be closed to anybody but root
                "env": [*container["env"], *_quiet(), *_given(container["env"])],
                "volumeMounts": [*own_accounts, *_ADDED, *(() if is_root else _NAMES)],
            }
        ],
        "volumes": [*pod["volumes"], {"name": RUNTIME, "emptyDir": {}}],
    }


def _fill(container: Manifest, runtime_image: str) -> Manifest:
    return {
        "name": RUNTIME,
        "image": runtime_image,
        "command": list(COPY),
        "volumeMounts": [{"name": RUNTIME, "mountPath": FILLED}],
        **_like(container),
    }


def _enter(container: Manifest) -> Manifest:
    return {
        "name": ACCOUNTS,
        "image": container["image"],
        "command": list(ENTER),
        "workingDir": "/",
        "env": [*(one for one in container["env"] if one["name"] in PERSON), *_quiet(), NO_GPUS],
        "volumeMounts": [{"name": ACCOUNTS, "mountPath": ENTERED}, *_ADDED],
        **_like(container),
    }


def _like(container: Manifest) -> Manifest:
    """Return what a container has of the pod's own: when it is pulled, its rights, and its limits without GPUs."""
    limits = {
        kind: {key: value for key, value in given.items() if key in ("cpu", "memory")}
        for kind, given in container["resources"].items()
    }
    return {
        "imagePullPolicy": container["imagePullPolicy"],
        "resources": limits,
        "securityContext": container["securityContext"],
    }


def _quiet() -> list[Manifest]:
    """Return variables without which our interpreter might not come as far as to set the image's others aside."""
    return [{"name": name, "value": ""} for name in LOADER]


def _given(environment: list[Manifest]) -> list[Manifest]:
    names = sorted(one["name"] for one in environment if runtime.DISTURBING.fullmatch(one["name"]))
    return [{"name": GIVEN, "value": ",".join(names)}] if names else []
