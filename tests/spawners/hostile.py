"""Pods of people with any names at all, made by way of everything that makes one: gate, plan, volumes, pod."""

from __future__ import annotations

from typing import Any

from mlabhub.cluster.volumes import Claim, get_pod_volumes
from mlabhub.core.admission import Placement
from mlabhub.core.identity import GroupId, Identity
from mlabhub.core.kubernetes import KubernetesSpec
from mlabhub.core.plan import make_plan
from mlabhub.core.profiles import Catalog
from mlabhub.core.resolve import resolve
from mlabhub.core.storage import Storage
from mlabhub.spawners.kube.manifest import Surroundings, get_pod_manifest

LAUNCH = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
SIZE = {"cpu": {"min": 1, "max": 8, "default": 1}, "memory_gib": {"min": 1, "max": 64, "default": 1}}
WORKERS = {"display_name": "Workers", "variable": "WORKERS", "min": 0, "max": 8, "default": 2}
CATALOG = Catalog.model_validate(
    {
        "profiles": [
            {"slug": "cpu", "display_name": "CPU", "images": ["base"], "mounts": True, "egress": "closed", **SIZE},
            {
                "slug": "gpu",
                "display_name": "GPU",
                "images": ["base"],
                "gpus": [1, 2],
                "gpu_types": ["t4"],
                "options": {"workers": WORKERS},
                "typed_images": [{"registry": "registry.example.org", "repository": "lab/*"}],
                **SIZE,
            },
            {"slug": "board", "display_name": "Board", "images": ["base"], "kind": "tensorboard", **SIZE},
        ],
        "images": [
            {
                "slug": "base",
                "display_name": "Base",
                "reference": "localhost/mlabhub/base:latest",
                "tools": ["lab", "tensorboard"],
            }
        ],
        "storage": {
            "user_root": "/nas/user",
            "share_root": "/nas/share",
            "mount_prefixes": ["/data"],
            "shares": {
                "imagenet": {
                    "display_name": "I",
                    "source": "/nas/imagenet",
                    "target": "/mnt/data/imagenet",
                    "read_only": True,
                }
            },
        },
    }
)
STORAGE: Storage = CATALOG.storage
NAS = KubernetesSpec.model_validate({"volumes": [{"folder": "/nas", "claim": "nas"}]})
CLAIMS = KubernetesSpec.model_validate(
    {
        "volumes": [
            {"folder": "/nas/user", "claim_per_folder": {"size_gib": 1}},
            {"folder": "/nas/share", "claim_per_folder": {"size_gib": 1}},
            {"folder": "/nas/imagenet", "claim": "imagenet"},
        ]
    }
)


def make_pod(user: str, server: str = "", **more: Any) -> dict[str, Any]:
    """Return the pod that these options lead to; ``more`` as for `make_objects`. Raises `MLabError`."""
    return make_objects(user, server, **more)[0]


def make_objects(
    user: str,
    server: str = "",
    *,
    groups: tuple[str, ...] = (),
    options: object = None,
    display_name: str = "",
    spec: KubernetesSpec = NAS,
    namespace: str = "people",
    instance: str = "abc12",
) -> tuple[dict[str, Any], tuple[Claim, ...]]:
    """Return the pod and the claims that it needs. Raises `MLabError`."""
    request = resolve(CATALOG, user, groups, options or {}, server)
    identity = Identity(user, 200000, 200000, tuple(GroupId(name, 200001 + n) for n, name in enumerate(groups)))
    gpus = tuple(f"node1/nvidia.com/gpu/{number}" for number in range(request.gpus))
    plan = make_plan(
        request,
        launch_id=LAUNCH,
        identity=identity,
        placement=Placement("node1", gpus, request.gpu_type),
        storage=STORAGE,
        display_name=display_name,
        gpu_products=("Tesla-T4",) if gpus else (),
    )
    volumes = get_pod_volumes(plan, spec, instance)
    around = Surroundings(
        instance=instance,
        namespace=namespace,
        spec=spec,
        image=plan.image_reference,
        command=("jupyterhub-singleuser",),
        hub_environment={"JUPYTERHUB_USER": user, "JUPYTERHUB_SERVER_NAME": server},
        volumes=volumes,
    )
    return get_pod_manifest(plan, around), volumes.claims
