"""GPUs: simulated ones as asked for, real ones as NVML tells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlabhub.core.capacity import Gpu
from mlabhub.engine import cdi
from mlabhub.engine.cdi import Expected, cdi_name, expected_of, make_simulated_spec
from mlabhub.errors import InvalidConfiguration
from mlabhub.inventory.gpus import gpu_type_of
from mlabhub.inventory.machine import Inventory
from mlabhub.inventory.simulated import make_gpu, make_simulated, parse_simulated, prepare_simulated
from mlabhub.inventory.tenants import Tenants
from tests.engine.podman import make_settings


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("", {}),
        ("4xA100", {"a100": 4}),
        ("4xA100,4xT4", {"a100": 4, "t4": 4}),
        (" 2 x H100 , 1*l4,", {"h100": 2, "l4": 1}),
        ("1xA100,2xa100", {"a100": 3}),
        ("8xRTX-4090", {"rtx-4090": 8}),
    ],
)
def test_what_can_be_simulated(text: str, counts: dict[str, int]) -> None:
    assert parse_simulated(text) == counts


@pytest.mark.parametrize(
    "text", ["A100", "4", "xA100", "0xA100", "-1xA100", "1.5xA100", "4xA100;rm", "999xA100", "4x4"]
)
def test_what_cannot_is_a_sentence(text: str) -> None:
    with pytest.raises(InvalidConfiguration, match="--simulate-gpus"):
        parse_simulated(text)


def test_a_simulated_gpu() -> None:
    assert make_gpu("a100", 3, "n1", "0123abcd") == Gpu(
        uuid="GPU-sim-a100-3",
        type="a100",
        node="n1",
        name="A100 (simulated)",
        memory_gib=80.0,
        simulated=True,
        healthy=True,
        cdi="mlabhub-0123abcd.sim/gpu=GPU-sim-a100-3",
    )
    assert len({gpu.uuid for gpu in make_simulated("4xA100,4xT4", "n1", "0123abcd")}) == 8


def test_what_is_simulated_is_marked_wherever_its_id_goes(tmp_path: Path) -> None:
    """The ledger, labels of containers and environments of servers have nothing of a GPU but its id."""
    settings = make_settings(tmp_path, "0123abcd").model_copy(update={"simulate_gpus": "2xA100,1xT4"})
    [node] = Inventory(settings).read(None, Tenants()).nodes
    assert [gpu.simulated for gpu in node.gpus] == [True] * 3
    assert all(gpu.uuid.startswith(cdi.SIMULATED_PREFIX) and "(simulated)" in gpu.name for gpu in node.gpus)


@pytest.mark.parametrize(
    ("product", "slug"),
    [
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("NVIDIA A100 80GB PCIe", "a100"),
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H200", "h200"),
        ("Tesla V100-SXM2-32GB", "v100"),
        ("Tesla T4", "t4"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
        ("NVIDIA GeForce RTX 3080 Ti", "rtx-3080-ti"),
        ("NVIDIA RTX A6000", "rtx-a6000"),
        ("NVIDIA L40S", "l40s"),
        ("NVIDIA", "nvidia"),
        ("", "gpu"),
    ],
)
def test_types_by_product(product: str, slug: str) -> None:
    assert gpu_type_of(product) == slug


def test_the_made_specification(tmp_path: Path) -> None:
    spec = make_simulated_spec("0123abcd", ["GPU-sim-a100-0", "GPU-sim-t4-0"])
    assert spec == {
        "cdiVersion": "0.5.0",
        "kind": "mlabhub-0123abcd.sim/gpu",
        "devices": [
            {
                "name": name,
                "containerEdits": {
                    "mounts": [
                        {
                            "hostPath": "/dev/null",
                            "containerPath": f"/dev/mlabgpu{number}",
                            "options": ["bind", "nosuid", "noexec"],
                        }
                    ],
                    "env": [f"MLABHUB_SIM_GPU_{number}={name}"],
                },
            }
            for number, name in enumerate(["GPU-sim-a100-0", "GPU-sim-t4-0"])
        ],
    }
    (tmp_path / "made.json").write_text(json.dumps(spec))
    wanted = cdi_name("GPU-sim-t4-0", "0123abcd")
    assert expected_of([wanted, "nvidia.com/gpu=GPU-1"], [tmp_path]) == {
        wanted: Expected(("/dev/mlabgpu1",), ("MLABHUB_SIM_GPU_1=GPU-sim-t4-0",))
    }


def test_nvidias_specification_is_read(tmp_path: Path) -> None:
    (tmp_path / "nvidia.yaml").write_text(
        """
cdiVersion: 0.5.0
kind: nvidia.com/gpu
devices:
- name: GPU-1
  containerEdits:
    deviceNodes:
    - path: /dev/nvidia0
    mounts:
    - hostPath: /usr/lib/libcuda.so
      containerPath: /usr/lib/libcuda.so
"""
    )
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "README").write_text("not a specification")
    name = "nvidia.com/gpu=GPU-1"
    assert expected_of([name], [tmp_path, tmp_path / "nowhere"]) == {name: Expected(("/dev/nvidia0",), ())}


def test_preparing_writes_the_file_and_takes_it_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cdi, "CDI_DIRS", (tmp_path / "etc", tmp_path / "run"))
    settings = make_settings(tmp_path, "0123abcd")
    prepare_simulated(settings.model_copy(update={"simulate_gpus": "2xA100"}))
    file = tmp_path / "run" / "mlabhub-0123abcd.json"
    assert len(json.loads(file.read_text())["devices"]) == 2
    prepare_simulated(settings)
    assert not file.exists()
