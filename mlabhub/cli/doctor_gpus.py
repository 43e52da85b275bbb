"""What doctor says of GPUs: cards, driver, NVIDIA's library, health, the CDI specification, CUDA of the images.

Guarantees: nothing is changed by looking; a driver that hangs is said after `PATIENCE_S`; what people get inside a
container is compared with what runs outside: the same driver, by the versions in the names of its files.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlabhub.cli.findings import Check, Status, ask, read_text
from mlabhub.core.quote import quote_all
from mlabhub.engine.cdi import CDI_DIRS, NvidiaSpec, read_nvidia
from mlabhub.engine.driver import UPDATED
from mlabhub.images.build import CUDA_LABEL
from mlabhub.inventory.gpus import make_gpus
from mlabhub.inventory.nvml import Facts, NvmlReader
from mlabhub.inventory.tenants import Tenants

PATIENCE_S = 30.0
NVIDIA_VENDOR = "0x10de"
CUDA_VARIABLE = "CUDA_VERSION"
MOST_NAMED = 3
GENERATE = "`nvidia-ctk cdi generate --device-name-strategy=uuid --output=/etc/cdi/nvidia.yaml`"
NODES = "`nvidia-modprobe -u -c=0` makes them, and at each boot nvidia-persistenced does."
TOOLKIT = "Install NVIDIA's package nvidia-container-toolkit (https://docs.nvidia.com/datacenter/cloud-native/)."
NO_SPEC = NvidiaSpec(frozenset(), frozenset(), ())


@dataclass(frozen=True)
class Seen:
    """What there is. ``driver`` is the first line that the loaded driver says of itself; ``images``: their CUDA."""

    cards: int = 0
    driver: str = ""
    facts: Facts = field(default_factory=lambda: Facts(has_driver=False))
    spec: NvidiaSpec = NO_SPEC
    lost_files: tuple[str, ...] = ()
    toolkit: str = ""
    images: Mapping[str, str] = field(default_factory=dict)
    containers: bool = True


def look_at_gpus(simulated: str, engine: str | None, references: Sequence[str]) -> list[Check]:
    """Return all findings on GPUs of this machine; ``engine`` is the program that knows the images."""
    seen = see(Path("/"), engine, references)
    marked = [say_simulated(simulated)] if simulated else []
    return [*marked, *assess(seen)] if seen.cards or seen.driver or not simulated else marked


def see(root: Path, engine: str | None, references: Sequence[str]) -> Seen:
    """Look at the machine; without a driver there is less to see."""
    cards = count_nvidia_cards(root)
    driver = next(iter(read_text(root / "proc/driver/nvidia/version").splitlines()), "")
    if not driver:
        return Seen(cards)
    spec = read_nvidia([root / str(folder).lstrip("/") for folder in CDI_DIRS])
    return Seen(
        cards,
        driver,
        NvmlReader(PATIENCE_S).read(),
        spec,
        tuple(path for path in spec.paths if not (root / path.lstrip("/")).exists()),
        shutil.which("nvidia-ctk") or "",
        {one: cuda for one in references if (cuda := cuda_of(one, engine))} if engine else {},
        containers=engine is not None,
    )


def assess(seen: Seen) -> list[Check]:
    """Return the findings on what was seen."""
    if not seen.driver:
        return [_without_driver(seen.cards)]
    version = driver_version(seen.driver)
    found = [_card_check(seen, version), _library_check(seen), *_health_checks(seen)]
    if seen.containers:
        found += [_spec_check(seen, version), _toolkit_check(seen)]
        found += [check for image, cuda in seen.images.items() if (check := cuda_check(image, cuda, seen.facts.cuda))]
    return found


def say_simulated(simulated: str) -> Check:
    """Return the mark of simulated GPUs."""
    return Check(
        "GPUs (simulated)",
        "info",
        f"{simulated}: handed out and counted, but nothing computes on them",
        "Start `mlabhub up` without --simulate-gpus to use real ones.",
    )


def driver_version(line: str) -> str:
    """Return the version in the first line of ``/proc/driver/nvidia/version``; empty if it has another shape."""
    found = re.search(r"\b\d{3,}\.\d+(\.\d+)?\b", line)
    return found[0] if found else ""


def count_nvidia_cards(root: Path) -> int:
    """Return how many NVIDIA display or compute devices are on the PCI bus."""
    devices = (root / "sys/bus/pci/devices").glob("*")
    return sum(
        read_text(device / "vendor").strip() == NVIDIA_VENDOR and read_text(device / "class").startswith("0x03")
        for device in devices
    )


def _without_driver(cards: int) -> Check:
    if not cards:
        return Check("GPUs", "info", "no NVIDIA card", "To try the pages without one: `--simulate-gpus 4xA100`.")
    fix = "Install NVIDIA's driver: `apt-get install nvidia-driver`"
    return Check("GPUs", "missing", f"{cards} without a driver", fix)


def _card_check(seen: Seen, version: str) -> Check:
    found = f"{seen.cards} with driver {version or 'of an unknown version'}"
    listed = len(seen.facts.gpus)
    if seen.facts.fault is None and seen.facts.has_driver and listed < seen.cards:
        fix = "Look at `dmesg` for NVRM and Xid; restart the machine; then look at the card's seat, power and cooling."
        return Check("GPUs", "better", f"{found}, but the driver tells of {listed} only", fix)
    return Check("GPUs", "ok", found)


def _library_check(seen: Seen) -> Check:
    """NVML answers, and is of the driver that is loaded."""
    facts = seen.facts
    if facts.fault is not None:
        first, _, rest = str(facts.fault).partition(". ")
        fix = "Restart the machine." if facts.fault.template == UPDATED else rest
        return Check("NVIDIA's library (NVML)", "missing", first, fix or "Restart the machine.")
    if not facts.has_driver:
        fix = "Install it in the driver's version, on Debian: `apt-get install libnvidia-ml1`."
        return Check("NVIDIA's library (NVML)", "missing", "libnvidia-ml.so.1 is not there", fix)
    sleepy = sum(gpu.get("persistence") == 0 for gpu in facts.gpus)
    if sleepy:
        found = f"{sleepy} of {len(facts.gpus)} GPUs fall asleep when nothing uses them, and take seconds to wake"
        return Check("NVIDIA's library (NVML)", "better", found, "`systemctl enable --now nvidia-persistenced`")
    return Check("NVIDIA's library (NVML)", "ok", f"driver {facts.driver}, CUDA up to {facts.cuda or '?'}")


def _health_checks(seen: Seen) -> Iterator[Check]:
    """What is known against single GPUs."""
    for gpu in make_gpus(seen.facts.gpus, "", "", Tenants(known=False)):
        if gpu.health and not gpu.parent:
            words = " ".join(map(str, gpu.health))
            name = f"GPU {gpu.index}"
            yield (
                Check(name, "info", words)
                if gpu.healthy
                else Check(name, "better", f"not handed out ({gpu.uuid})", words)
            )


def _spec_check(seen: Seen, version: str) -> Check:
    """The CDI specification: there, of the driver that runs, with every GPU by its UUID."""
    name, spec = "GPUs in containers (CDI)", seen.spec
    if not spec.devices:
        return Check(name, "missing", "no CDI specification: containers cannot get GPUs", GENERATE)
    stale = sorted(spec.drivers - {version}) if version else []
    if stale:
        return Check(
            name,
            "missing",
            f"the specification is of driver {stale[0]}, and {version} runs",
            f"Make it anew: {GENERATE}",
        )
    if seen.lost_files:
        files = quote_all(seen.lost_files, MOST_NAMED)
        nodes = all(path.startswith("/dev/") for path in seen.lost_files)
        fix = NODES if nodes else f"Make it anew: {GENERATE}"
        return Check(name, "missing", f"the specification names files that are not there: {files}", fix)
    there = make_gpus(seen.facts.gpus, "", "", Tenants(known=False))
    unnamed = [gpu.uuid for gpu in there if not gpu.divided and gpu.uuid not in spec.devices]
    if unnamed:
        found = f"the specification does not have {quote_all(unnamed, MOST_NAMED)} by UUID"
        return Check(name, "missing", found, f"Make it anew, also after each change of MIG slices: {GENERATE}")
    return Check(name, "ok", f"{len(spec.devices)} devices, of driver {next(iter(spec.drivers), 'unknown')}")


def _toolkit_check(seen: Seen) -> Check:
    if seen.toolkit:
        return Check("nvidia-ctk", "ok", seen.toolkit)
    status: Status = "better" if seen.spec.devices else "missing"
    return Check("nvidia-ctk", status, "not installed: the CDI specification cannot be made", TOOLKIT)


def cuda_of(reference: str, engine: str) -> str:
    """Return the CUDA that an image names, by our label or NVIDIA's variable; empty for none, or no such image."""
    try:
        config = json.loads(ask(engine, "image", "inspect", "--format", "{{json .Config}}", reference) or "{}")
    except ValueError:
        return ""
    return cuda_in(config if isinstance(config, dict) else {})


def cuda_in(config: Mapping[str, object]) -> str:
    """Return the CUDA that an image's configuration names."""
    labels, environment = config.get("Labels"), config.get("Env")
    label = labels.get(CUDA_LABEL) if isinstance(labels, Mapping) else None
    entries = environment if isinstance(environment, list) else []
    variables = (str(entry).partition("=") for entry in entries)
    return str(label or next((value for name, _, value in variables if name == CUDA_VARIABLE), ""))


def cuda_check(image: str, cuda: str, newest: str) -> Check | None:
    """Compare an image's CUDA with the newest that the driver knows; None where one of them says nothing."""
    has, knows = _numbers(cuda), _numbers(newest)
    if has is None or knows is None:
        return None
    name, found = f"CUDA of {image}", f"{cuda}, and the driver knows up to {newest}"
    newer = "Install a newer driver, or an image with an older CUDA."
    if has[0] > knows[0]:
        return Check(name, "missing", found, newer)
    if has > knows:
        most = "Most programs run all the same; those that compile for the GPU while they run may not. "
        return Check(name, "better", found, most + newer)
    return Check(name, "ok", found)


def _numbers(version: str) -> tuple[int, int] | None:
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else None
