"""A small lab that the tests of the core share: two groups, three profiles, one or more machines."""

from __future__ import annotations

from typing import Any

from mlabhub.core.admission import Capacity, Decision, Gpu, Holding, Holdings, Node, decide
from mlabhub.core.profiles import Catalog, LaunchRequest
from mlabhub.core.quotas import Quotas
from mlabhub.core.resolve import resolve

TORCH = "registry.example.org:5000/torch@sha256:" + "0123456789abcdef" * 4
LAUNCH_ID = "01JD3XK7Q8W9E0R1T2Y3V4B5N6"

SMALL = {"cpu": {"min": 1, "max": 16, "default": 2}, "memory_gib": {"min": 1, "max": 64, "default": 4}}

CATALOG = Catalog.model_validate(
    {
        "profiles": [
            {"slug": "cpu", "display_name": "CPU", "images": ["base", "torch"], **SMALL},
            {
                "slug": "gpu",
                "display_name": "GPU",
                "images": ["torch"],
                **SMALL,
                "gpus": [1, 2, 4],
                "gpu_types": ["a100", "t4"],
                "shm_gib": {"min": 1, "max": 16, "default": 8},
                "choose_gpu": True,
            },
            {
                "slug": "lab",
                "display_name": "Lab",
                "groups": ["research"],
                "images": ["base"],
                **SMALL,
                "gpus": {"min": 0, "max": 8},
                "gpu_types": ["any"],
                "sudo": True,
            },
        ],
        "images": [
            {"slug": "base", "display_name": "Base", "reference": "localhost/mlabhub/base:latest"},
            {"slug": "torch", "display_name": "Torch", "reference": TORCH},
        ],
        "quotas": {"groups": {"vision": {"limit": {"gpu:a100": 6}}}, "users": {"default": {"gpu": 8}}},
    }
)


def make_request(**values: Any) -> LaunchRequest:
    """Return a request for two cores and 4 GiB, changed by ``values``."""
    usual: dict[str, Any] = {
        "user": "alice",
        "server_name": "",
        "profile": "cpu",
        "image": "base",
        "image_reference": "localhost/mlabhub/base:latest",
        "group": None,
        "gpu_type": None,
        "gpus": 0,
        "gpu_ids": None,
        "cpu": 2.0,
        "memory_gib": 4.0,
        "shm_gib": 2.0,
        "pids": 4096,
        "sudo": False,
    }
    return LaunchRequest(**{**usual, **values})


def resolve_for(groups: list[str], options: object, user: str = "alice") -> LaunchRequest:
    """Resolve options with the small lab's catalogue."""
    return resolve(CATALOG, user, groups, options)


def make_node(name: str, gpus: int = 0, gpu_type: str = "a100", cpu: float = 64, memory_gib: float = 512) -> Node:
    """Return a machine with some GPUs of one type."""
    return Node(name, cpu, memory_gib, make_gpus(name, gpus, gpu_type))


def make_gpus(node: str, count: int, gpu_type: str = "a100") -> tuple[Gpu, ...]:
    """Return GPUs whose ids tell where they are: ``n1-a100-0``."""
    return tuple(Gpu(f"{node}-{gpu_type}-{index}", gpu_type, node, gpu_type.upper()) for index in range(count))


def make_holding(launch_id: str, user: str = "alice", **values: Any) -> Holding:
    """Return a holding of two cores and 4 GiB on ``n1``, changed by ``values``."""
    usual: dict[str, Any] = {
        "server": launch_id,
        "group": None,
        "cpu": 2.0,
        "memory_gib": 4.0,
        "gpu_type": None,
        "gpus": (),
        "node": "n1",
    }
    return Holding(user=user, launch_id=launch_id, **{**usual, **values})


def judge(
    request: LaunchRequest, capacity: Capacity, holdings: Holdings | None = None, quotas: Quotas | None = None
) -> Decision:
    """Decide without a queue, at a time that does not matter."""
    return decide(request, quotas or Quotas(), holdings or Holdings(), (), capacity, 0.0)


def hold(holdings: Holdings, request: LaunchRequest, decision: Decision, launch_id: str) -> Holding:
    """Count what was admitted."""
    assert decision.placement is not None
    holding = Holding(
        user=request.user,
        server=request.server_name or launch_id,
        launch_id=launch_id,
        group=request.group,
        cpu=request.cpu,
        memory_gib=request.memory_gib,
        gpu_type=decision.placement.gpu_type,
        gpus=decision.placement.gpus,
        node=decision.placement.node,
    )
    holdings.add(holding)
    return holding
