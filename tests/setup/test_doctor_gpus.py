"""What doctor says of machines whose GPUs lack something: a broken case for each, with the fix in words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlabhub.cli import doctor_gpus
from mlabhub.cli.doctor_gpus import (
    Seen,
    assess,
    count_nvidia_cards,
    cuda_check,
    cuda_in,
    driver_version,
    look_at_gpus,
    see,
)
from mlabhub.cli.findings import Check
from mlabhub.engine.cdi import NvidiaSpec
from mlabhub.engine.driver import UPDATED
from mlabhub.inventory.nvml import Facts
from mlabhub.messages import Message
from tests.inventory.standin import Standin, slice_of, whole

VERSION = "570.86.15"
LINE = f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {VERSION}  Thu Jan 23 2025"
GPU: dict[str, Any] = {"index": 0, "uuid": "GPU-0", "name": "Tesla T4", "memory": [1, 0], "errors": {}}
SPEC = NvidiaSpec(frozenset({"GPU-0", "all"}), frozenset({VERSION}), ("/usr/lib/libcuda.so.570.86.15",))
WELL = Seen(1, LINE, Facts((GPU,), VERSION, "12.8"), SPEC, toolkit="/usr/bin/nvidia-ctk")
CDI = "GPUs in containers (CDI)"
NVML = "NVIDIA's library (NVML)"


def finding(seen: Seen, name: str) -> Check:
    """Return one finding."""
    return {check.name: check for check in assess(seen)}[name]


def test_a_machine_that_lacks_nothing() -> None:
    checks = assess(replace(WELL, images={"lab/torch": "12.4.1"}))
    assert [(check.name, check.status, check.fix) for check in checks] == [
        ("GPUs", "ok", ""),
        (NVML, "ok", ""),
        (CDI, "ok", ""),
        ("nvidia-ctk", "ok", ""),
        ("CUDA of lab/torch", "ok", ""),
    ]
    assert checks[0].found == "1 with driver 570.86.15"
    assert checks[1].found == "driver 570.86.15, CUDA up to 12.8"


@pytest.mark.parametrize(
    ("seen", "name", "status", "found", "fix"),
    [
        (Seen(0), "GPUs", "info", "no NVIDIA card", "--simulate-gpus"),
        (Seen(2), "GPUs", "missing", "2 without a driver", "apt-get install nvidia-driver"),
        (replace(WELL, cards=2), "GPUs", "better", "tells of 1 only", "dmesg"),
        (
            replace(WELL, facts=Facts(fault=Message(UPDATED))),
            NVML,
            "missing",
            "was updated, and the one from before is still loaded",
            "Restart the machine.",
        ),
        (
            replace(WELL, facts=Facts(fault=Message("It does not answer. Look at `dmesg`."))),
            NVML,
            "missing",
            "does not answer",
            "dmesg",
        ),
        (
            replace(WELL, facts=Facts(({**GPU, "persistence": 0},), VERSION, "12.8")),
            NVML,
            "better",
            "1 of 1 GPUs fall asleep",
            "nvidia-persistenced",
        ),
        (replace(WELL, facts=Facts(has_driver=False)), NVML, "missing", "libnvidia-ml.so.1 is not there", "apt-get"),
        (
            replace(WELL, facts=Facts(({**GPU, "ecc_volatile": 2},))),
            "GPU 0",
            "better",
            "not handed out (GPU-0)",
            "could not correct 2 memory errors",
        ),
        (replace(WELL, spec=NvidiaSpec(frozenset(), frozenset(), ())), CDI, "missing", "no CDI", "nvidia-ctk cdi"),
        (
            replace(WELL, spec=replace(SPEC, drivers=frozenset({"565.57.01"}))),
            CDI,
            "missing",
            "is of driver 565.57.01, and 570.86.15 runs",
            "nvidia-ctk cdi generate",
        ),
        (
            replace(WELL, lost_files=("/usr/lib/libcuda.so.570.86.15",)),
            CDI,
            "missing",
            "files that are not there: /usr/lib/libcuda.so.570.86.15",
            "nvidia-ctk cdi generate",
        ),
        (
            replace(WELL, lost_files=("/dev/nvidia-uvm",)),
            CDI,
            "missing",
            "not there: /dev/nvidia-uvm",
            "nvidia-modprobe -u -c=0",
        ),
        (
            replace(WELL, spec=replace(SPEC, devices=frozenset({"0", "all"}))),
            CDI,
            "missing",
            "does not have GPU-0 by UUID",
            "--device-name-strategy=uuid",
        ),
        (replace(WELL, toolkit=""), "nvidia-ctk", "better", "not installed", "nvidia-container-toolkit"),
        (
            replace(WELL, toolkit="", spec=NvidiaSpec(frozenset(), frozenset(), ())),
            "nvidia-ctk",
            "missing",
            "not installed",
            "nvidia-container-toolkit",
        ),
        (replace(WELL, images={"a": "13.0.1"}), "CUDA of a", "missing", "13.0.1, and the driver", "newer driver"),
        (replace(WELL, images={"a": "12.9"}), "CUDA of a", "better", "knows up to 12.8", "run all the same"),
    ],
    ids=[
        "no card",
        "no driver",
        "a card is lost",
        "driver updated",
        "driver hangs",
        "no persistence",
        "no library",
        "a sick GPU",
        "no specification",
        "a specification of the driver before",
        "a specification of files that went",
        "device nodes that are not made yet",
        "a specification by number",
        "no toolkit, but a specification",
        "no toolkit",
        "an image too new",
        "an image a little newer",
    ],
)
def test_what_is_missing(seen: Seen, name: str, status: str, found: str, fix: str) -> None:
    check = finding(seen, name)
    assert check.status == status
    assert found in check.found
    assert fix in check.fix


def test_what_is_worth_knowing_and_not_broken() -> None:
    facts = Facts(({**GPU, "ecc_aggregate": 1},), VERSION, "12.8")
    check = finding(replace(WELL, facts=facts), "GPU 0")
    assert (check.status, check.fix) == ("info", "")


def test_a_specification_needs_slices_and_not_their_gpu() -> None:
    divided = {**GPU, "mig": [1, 1], "slices": [{"index": 0, "uuid": "MIG-1", "name": "T4 MIG 1g.5gb"}]}
    seen = replace(WELL, facts=Facts((divided,), VERSION, "12.8"))
    assert "does not have MIG-1 by UUID" in finding(seen, CDI).found
    sliced = replace(SPEC, devices=frozenset({"MIG-1"}))
    assert finding(replace(seen, spec=sliced), CDI).status == "ok"


def test_without_containers_no_specification_is_needed() -> None:
    assert [check.name for check in assess(replace(WELL, containers=False))] == ["GPUs", NVML]


def test_simulated_gpus_are_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_gpus, "see", lambda *_: Seen())
    [check] = look_at_gpus("4xA100", None, ())
    assert (check.name, check.status) == ("GPUs (simulated)", "info")
    assert "4xA100" in check.found
    monkeypatch.setattr(doctor_gpus, "see", lambda *_: WELL)
    assert [check.name for check in look_at_gpus("4xA100", None, ())][:2] == ["GPUs (simulated)", "GPUs"]


@pytest.mark.parametrize(
    ("config", "cuda"),
    [
        ({"Labels": {"org.mlabhub.cuda": "12.8"}, "Env": ["CUDA_VERSION=11.0"]}, "12.8"),
        ({"Labels": None, "Env": ["PATH=/bin", "CUDA_VERSION=12.4.1"]}, "12.4.1"),
        ({"Labels": {}, "Env": None}, ""),
        ({}, ""),
    ],
)
def test_the_cuda_of_an_image(config: dict[str, object], cuda: str) -> None:
    assert cuda_in(config) == cuda


@pytest.mark.parametrize(("cuda", "newest"), [("", "12.8"), ("cpu", "12.8"), ("12.8", ""), ("none", "")])
def test_what_says_nothing_is_not_compared(cuda: str, newest: str) -> None:
    assert cuda_check("a", cuda, newest) is None


@pytest.mark.parametrize(
    ("line", "version"),
    [
        (LINE, VERSION),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build", "580.65.06"),
        ("a line of another shape", ""),
    ],
)
def test_versions_of_drivers(line: str, version: str) -> None:
    assert driver_version(line) == version


def test_cards_are_counted_on_the_bus(tmp_path: Path) -> None:
    for number, (vendor, kind) in enumerate([("0x10de", "0x030200"), ("0x10de", "0x040300"), ("0x1002", "0x030000")]):
        make_card(tmp_path, number, vendor, kind)
    assert count_nvidia_cards(tmp_path) == 1


def make_card(root: Path, number: int, vendor: str = "0x10de", kind: str = "0x030200") -> None:
    """Put a device on the bus of a machine."""
    device = root / "sys/bus/pci/devices" / str(number)
    device.mkdir(parents=True)
    (device / "vendor").write_text(f"{vendor}\n")
    (device / "class").write_text(f"{kind}\n")


@pytest.fixture
def root(tmp_path: Path, machine: Standin) -> Path:
    """A machine's files: two cards, a driver, a CDI specification as nvidia-ctk makes it, its library."""
    folder = tmp_path / "root"
    for number in range(2):
        make_card(folder, number)
    (folder / "proc/driver/nvidia").mkdir(parents=True)
    (folder / "proc/driver/nvidia/version").write_text(f"{LINE}\nGCC version: 12\n")
    for path in (
        "dev/nvidia0",
        "dev/nvidiactl",
        f"usr/lib/libcuda.so.{VERSION}",
        f"lib/firmware/nvidia/{VERSION}/gsp.bin",
    ):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    spec = {
        "cdiVersion": "0.5.0",
        "kind": "nvidia.com/gpu",
        "devices": [
            {"name": name, "containerEdits": {"deviceNodes": [{"path": "/dev/nvidia0"}]}}
            for name in ("GPU-00000000", "MIG-1-0")
        ],
        "containerEdits": {
            "deviceNodes": [{"path": "/dev/nvidiactl", "hostPath": "/dev/nvidiactl"}],
            "mounts": [
                {"hostPath": f"/usr/lib/libcuda.so.{VERSION}", "containerPath": f"/usr/lib/libcuda.so.{VERSION}"},
                {"hostPath": f"/lib/firmware/nvidia/{VERSION}/gsp.bin", "containerPath": "/lib/firmware/gsp.bin"},
            ],
        },
    }
    (folder / "etc/cdi").mkdir(parents=True)
    (folder / "etc/cdi/nvidia.json").write_text(json.dumps(spec))
    machine.write(whole(0), whole(1, mig="1 1"), slice_of(1, 0))
    return folder


def test_a_machine_is_looked_at(root: Path) -> None:
    seen = see(root, "no-such-engine", ["lab/torch"])
    assert (seen.cards, seen.facts.driver, seen.facts.cuda) == (2, VERSION, "12.8")
    assert (seen.spec.drivers, seen.lost_files, seen.images) == ({VERSION}, (), {})
    assert finding(seen, CDI).status == "ok"


def test_a_driver_that_was_updated_below_its_specification(root: Path) -> None:
    (root / "proc/driver/nvidia/version").write_text(LINE.replace(VERSION, "580.65.06"))
    assert "is of driver 570.86.15, and 580.65.06 runs" in finding(see(root, "no-such-engine", ()), CDI).found
    (root / f"usr/lib/libcuda.so.{VERSION}").unlink()
    assert see(root, "no-such-engine", ()).lost_files == (f"/usr/lib/libcuda.so.{VERSION}",)
